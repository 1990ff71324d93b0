import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { threadUrl } from '../../storage/project-root.ts'
import { journalFolder } from './journal-fixture.ts'
import { FolderLock } from './lock.ts'

async function lockFolder(): Promise<string> {
  const folder = await journalFolder()
  mkdirSync(folder)
  return folder
}

/** A process that takes the lock of the folder each time it gets a message, and answers with the code of the error. */
function otherProcess(folder: string): ChildProcess {
  const code = `
    import { FolderLock } from ${JSON.stringify(threadUrl('ingest/journal/lock').href)}
    process.on('message', () => {
      FolderLock.take(${JSON.stringify(folder)}).then(() => process.send('taken'), (error) => process.send(error.code))
    })
    process.send('ready')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

async function answer(child: ChildProcess): Promise<string> {
  const [text] = (await once(child, 'message')) as [string]
  return text
}

async function ask(child: ChildProcess): Promise<string> {
  const answered = answer(child)
  child.send('take')
  return answered
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

const LOCKED = { name: 'JournalError', code: 'journal-locked' }

/** The newest lock file, with the owner that it names changed. */
function pretend(folder: string, owner: object): string {
  const [name] = readdirSync(folder).filter((one) => one.startsWith('lock-'))
  const path = join(folder, name!)
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...owner }))
  return path
}

test('a lock is held by one, until it is released', async () => {
  const folder = await lockFolder()
  const lock = await FolderLock.take(folder)
  expect(lock.touch()).toBe(true)
  await expect(FolderLock.take(folder)).rejects.toMatchObject(LOCKED)
  await expect(FolderLock.take(folder)).rejects.toThrow(
    `process ${process.pid} is using the journal in ${folder}: stop it`,
  )
  lock.release()
  const next = await FolderLock.take(folder)
  expect(readdirSync(folder)).toHaveLength(1)
  next.release()
})

test('the lock of a process that was killed is taken at once', async () => {
  const folder = await lockFolder()
  const child = otherProcess(folder)
  await answer(child)
  expect(await ask(child)).toBe('taken')
  await expect(FolderLock.take(folder)).rejects.toThrow(`process ${child.pid} is using`)
  await kill(child)
  const startMs = performance.now()
  const lock = await FolderLock.take(folder)
  expect(performance.now() - startMs).toBeLessThan(1_000)
  lock.release()
})

test('of many who find the owner dead, one gets the lock, again and again', {
  timeout: 120_000,
}, async () => {
  const folder = await lockFolder()
  let children = Array.from({ length: 4 }, () => otherProcess(folder))
  await Promise.all(children.map(answer))
  const first = await FolderLock.take(folder)
  for (let round = 0; round < 6; round++) {
    if (round === 0) first.release()
    const answers = await Promise.all(children.map(ask))
    expect(answers.toSorted()).toEqual(['journal-locked', 'journal-locked', 'journal-locked', 'taken'])
    const winner = children[answers.indexOf('taken')]!
    await kill(winner)
    const next = otherProcess(folder)
    await answer(next)
    children = [...children.filter((child) => child !== winner), next]
  }
})

test('a process that has the number of a dead owner is not taken for it', async () => {
  const folder = await lockFolder()
  await FolderLock.take(folder)
  pretend(folder, { started: '1' })
  await expect(FolderLock.take(folder)).resolves.toBeDefined()
})

test('an owner from before the last start of this machine is dead', async () => {
  const folder = await lockFolder()
  await FolderLock.take(folder)
  pretend(folder, { bootId: 'another' })
  await expect(FolderLock.take(folder)).resolves.toBeDefined()
})

test('a lock file that only a power cut can have damaged is no lock', async () => {
  const folder = await lockFolder()
  await FolderLock.take(folder)
  const path = pretend(folder, {})
  writeFileSync(path, Buffer.alloc(40))
  await expect(FolderLock.take(folder)).resolves.toBeDefined()
})

test.each([
  ['another container', { pidNamespace: 'pid:[1]' }],
  ['another machine', { bootId: 'another', host: 'another' }],
])('an owner in %s lives as long as it touches its lock', async (_, owner) => {
  const folder = await lockFolder()
  const lock = await FolderLock.take(folder)
  const path = pretend(folder, owner)
  // So that the sign is another one even within a tick of the clock of the disk.
  const before = new Date(Date.now() - 1_000)
  utimesSync(path, before, before)
  const taking = FolderLock.take(folder, 60_000)
  expect(lock.touch()).toBe(true)
  expect(statSync(path).mtime).not.toEqual(before)
  await expect(taking).rejects.toMatchObject(LOCKED)

  // The clock of the other may be wrong by years.
  utimesSync(path, new Date(0), new Date(0))
  const next = await FolderLock.take(folder, 200)
  // The one that gave no sign learns of it.
  expect(lock.touch()).toBe(false)
  expect(next.touch()).toBe(true)
})

test('an owner in another container that ends while one waits for its sign is not waited for any longer', async () => {
  const folder = await lockFolder()
  const lock = await FolderLock.take(folder)
  pretend(folder, { pidNamespace: 'pid:[1]' })
  const taking = FolderLock.take(folder, 60_000)
  lock.release()
  await expect(taking).resolves.toBeDefined()
})
