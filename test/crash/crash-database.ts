/**
 * The database that the engine loses: its own embedded one, or a fresh one on the server of `TEST_DATABASE_URL` (a
 * superuser's connection string). That server is killed only where the shell commands `TEST_DATABASE_KILL` (ends all
 * its processes at once, as SIGKILL does) and `TEST_DATABASE_START` (starts it again, and returns) say how.
 */
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { startEmbeddedPostgres } from '../../storage/embedded/embedded-postgres.ts'
import { PostmasterLock } from '../../storage/embedded/postmaster-lock.ts'
import type { Lab } from './lab.ts'

/** `server`: the postmaster. `backend`: one of its processes, upon which it ends all others and recovers. */
export type DatabaseFault = 'server' | 'backend'

export interface CrashDatabase {
  /** Undefined = the engine's own. */
  readonly url: string | undefined
  /** What can be done to it. */
  readonly faults: readonly DatabaseFault[]
  /** Runs `work` on it before an engine starts, with the connection string of its owner. */
  prepare(work: (url: string) => Promise<void>): Promise<void>
  /** Finds what to kill. @returns Kills it at once; undefined where it does not run. */
  aim(fault: DatabaseFault, random: () => number): Promise<(() => void) | undefined>
  /** A connection of the owner, once the engine has stopped. */
  connect(): Promise<pg.Client>
}

/** How long a server that is about to start is waited for, so that starting ones are killed too, ms. */
const APPEARS_MS = 1500
const POLL_MS = 5
const STOP_TIMEOUT_MS = 30_000
/** Between a kill and the start, ms. */
const RESTART_MS_MAX = 1500

export async function crashDatabase(lab: Lab, dataDir: string): Promise<CrashDatabase> {
  const server = process.env.TEST_DATABASE_URL
  return server === undefined || server === ''
    ? embeddedDatabase(lab, dataDir)
    : serverDatabase(lab, server, process.env.TEST_DATABASE_KILL, process.env.TEST_DATABASE_START)
}

function embeddedDatabase(lab: Lab, dataDir: string): CrashDatabase {
  const lock = new PostmasterLock(join(dataDir, 'postgres', 'cluster', 'data'))
  const running = async () => (await lock.running())?.pid
  lab.defer(async () => {
    const pid = await running()
    if (pid === undefined) return
    process.kill(pid, 'SIGQUIT')
    await lock.gone(pid, STOP_TIMEOUT_MS)
  })
  return {
    url: undefined,
    faults: ['server', 'backend'],
    async prepare(work) {
      const postgres = await startEmbeddedPostgres({ dataDir })
      await work(postgres.url).finally(() => postgres.stop())
    },
    async aim(fault, random) {
      const end = performance.now() + APPEARS_MS
      let pid = await running()
      while (pid === undefined && performance.now() < end) {
        await delay(POLL_MS)
        pid = await running()
      }
      if (pid === undefined) return undefined
      const target = fault === 'server' ? pid : await childOf(pid, random)
      return target === undefined ? undefined : () => killIfThere(target)
    },
    async connect() {
      const postgres = await startEmbeddedPostgres({ dataDir })
      lab.defer(() => postgres.stop())
      return connected(lab, postgres.url)
    },
  }
}

async function serverDatabase(
  lab: Lab,
  server: string,
  kill: string | undefined,
  start: string | undefined,
): Promise<CrashDatabase> {
  const name = `crash_${randomBytes(6).toString('hex')}`
  const url = new URL(server)
  url.pathname = `/${name}`
  await query(server, `CREATE DATABASE ${name} TEMPLATE template0`)
  let starting: Promise<void> | undefined
  lab.defer(async () => {
    await starting
    await query(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  })
  const canKill = kill !== undefined && kill !== '' && start !== undefined && start !== ''
  return {
    url: url.href,
    faults: canKill ? ['server'] : [],
    prepare: (work) => work(url.href),
    async aim(_fault, random) {
      if (!canKill || starting !== undefined) return undefined
      const restartMs = random() * RESTART_MS_MAX
      return () => {
        const { status } = spawnSync('/bin/sh', ['-c', kill])
        lab.event(`the server was killed: exit ${status}`)
        starting = delay(restartMs)
          .then(() => started(lab, start))
          .finally(() => {
            starting = undefined
          })
      }
    },
    connect: () => connected(lab, url.href),
  }
}

async function started(lab: Lab, start: string): Promise<void> {
  const [code] = await once(spawn('/bin/sh', ['-c', start], { stdio: 'ignore' }), 'exit')
  lab.event(`the server was started again: exit ${code}`)
}

async function connected(lab: Lab, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  lab.defer(() => client.end())
  return client
}

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(sql).finally(() => client.end())
}

/** One of the processes of a server, of Linux. */
async function childOf(pid: number, random: () => number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const children = text.trim().split(' ').filter(Boolean).map(Number)
  return children[Math.floor(random() * children.length)]
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
