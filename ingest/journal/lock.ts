/**
 * Lock of a journal's folder: a file `lock-N` that names its owner. Each owner's number is one more than the last one's,
 * and a file is made with its whole content at once, only if there is none of its name. So of those who find the same
 * owner dead, one makes the next file. The newest file is never removed, so a number is never used twice; an owner that
 * is done empties it.
 */
import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { JournalError } from './journal.ts'

/** How often an owner shows that it is alive to those who cannot see its process, ms. */
export const HEARTBEAT_MS = 2_000
/** An owner that did not show it for so long is dead. */
export const HEARTBEAT_DEAD_MS = 10_000
const NAME = /^lock-(\d+)$/
const FILE_MODE = 0o600

interface Owner {
  readonly pid: number
  /** Clock ticks from boot to its start; a process that has the pid later has another. Empty where not known. */
  readonly started: string
  readonly bootId: string
  readonly pidNamespace: string
  readonly host: string
}

export class FolderLock {
  private readonly descriptor: number

  private constructor(descriptor: number) {
    this.descriptor = descriptor
  }

  /**
   * Takes the lock; at once if its owner can be seen to be dead, else after `deadMs` without a sign of it.
   * @throws JournalError `journal-locked`
   */
  static async take(folder: string, deadMs = HEARTBEAT_DEAD_MS): Promise<FolderLock> {
    for (;;) {
      const newest = newestNumber(folder)
      if (newest !== undefined) await assertDead(lockPath(folder, newest), deadMs)
      const own = (newest ?? 0) + 1
      const path = lockPath(folder, own)
      if (!makeWhole(path, JSON.stringify(describe(process.pid)))) continue
      // Who looked at the folder long ago may have made a file that was removed since: a newer one is there then.
      if (newestNumber(folder) === own) {
        removeOlder(folder, own)
        return new FolderLock(fs.openSync(path, 'r+'))
      }
      fs.rmSync(path, { force: true })
    }
  }

  /** Shows that the owner is alive. @returns Whether it still is the owner: another one removes its file. */
  touch(): boolean {
    const now = new Date()
    fs.futimesSync(this.descriptor, now, now)
    return this.held
  }

  get held(): boolean {
    return fs.fstatSync(this.descriptor).nlink > 0
  }

  release(): void {
    fs.ftruncateSync(this.descriptor, 0)
    fs.closeSync(this.descriptor)
  }
}

function lockPath(folder: string, number: number): string {
  return join(folder, `lock-${number}`)
}

function lockNumbers(folder: string): number[] {
  return fs.readdirSync(folder).flatMap((name) => {
    const match = NAME.exec(name)
    return match === null ? [] : [Number(match[1])]
  })
}

function newestNumber(folder: string): number | undefined {
  const numbers = lockNumbers(folder)
  return numbers.length === 0 ? undefined : Math.max(...numbers)
}

function removeOlder(folder: string, than: number): void {
  for (const number of lockNumbers(folder)) {
    if (number < than) fs.rmSync(lockPath(folder, number), { force: true })
  }
}

/** Makes a file that is never seen without its text. @returns Whether it was made; not if there was one. */
function makeWhole(path: string, text: string): boolean {
  const made = `${path}.${randomUUID()}`
  fs.writeFileSync(made, text, { mode: FILE_MODE, flag: 'wx' })
  try {
    fs.linkSync(made, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    fs.rmSync(made, { force: true })
  }
}

/** @throws JournalError `journal-locked` if the owner lives. */
async function assertDead(path: string, deadMs: number): Promise<void> {
  const text = readText(path)
  // Emptied by its owner, or removed for a newer one.
  if (text === undefined || text === '') return
  const owner = parseOwner(text)
  // The file was made whole, so only a power cut can have damaged it, which its owner did not survive.
  if (owner === undefined) return
  const self = describe(process.pid)
  const same = (key: keyof Owner) => owner[key] === self[key]
  const visible = same('bootId') && same('pidNamespace') && (self.bootId !== '' || same('host'))
  let alive: boolean
  if (visible) alive = isAlive(owner)
  else if (!same('bootId') && same('host')) alive = false
  else alive = await showsSign(path, deadMs)
  if (!alive) return
  const where = visible ? '' : ` on ${owner.host}`
  throw new JournalError(
    'journal-locked',
    `process ${owner.pid}${where} is using the journal in ${dirname(path)}: stop it, or give another DATA_DIR`,
  )
}

function parseOwner(text: string): Owner | undefined {
  try {
    return JSON.parse(text) as Owner
  } catch {
    return undefined
  }
}

function isAlive({ pid, started }: Owner): boolean {
  if (started === '') return canSignal(pid)
  if (describe(pid).started !== started) return false
  // The first thread of a killed process may have ended while another one is still in a write.
  const state = stat(pid)?.[0]
  return state !== 'Z' && state !== 'X' ? state !== undefined : threads(pid) > 1
}

function canSignal(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Waits whether a process that is out of sight touches its lock; the clocks of both need not agree. */
async function showsSign(path: string, deadMs: number): Promise<boolean> {
  const modifiedMs = () => fs.statSync(path, { throwIfNoEntry: false })?.mtimeMs
  const before = modifiedMs()
  const endMs = performance.now() + deadMs
  while (performance.now() < endMs) {
    await delay(Math.min(HEARTBEAT_MS / 4, deadMs / 4))
    // Gone or emptied: another one has it, or nobody; the next look tells.
    if (modifiedMs() !== before) return readText(path) !== ''
  }
  return false
}

function describe(pid: number): Owner {
  return {
    pid,
    started: stat(pid)?.[19] ?? '',
    bootId: readText('/proc/sys/kernel/random/boot_id')?.trim() ?? '',
    pidNamespace: readLink('/proc/self/ns/pid'),
    host: hostname(),
  }
}

/** Fields of /proc/PID/stat from the state on, which is the third: the name before it may have spaces in it. */
function stat(pid: number): string[] | undefined {
  const text = readText(`/proc/${pid}/stat`)
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')
}

function threads(pid: number): number {
  try {
    return fs.readdirSync(`/proc/${pid}/task`).length
  } catch {
    return 0
  }
}

function readText(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function readLink(path: string): string {
  try {
    return fs.readlinkSync(path)
  } catch {
    return ''
  }
}
