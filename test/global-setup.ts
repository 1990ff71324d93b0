/** One database server for a run of the tests: its folder is made here, the first test that needs it starts it. */
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { PostmasterLock } from '../storage/embedded/postmaster-lock.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Data folder of the server that all test files share. */
    databaseDir: string
  }
}

const STOP_TIMEOUT_MS = 30_000

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await realpath(await mkdtemp(join(tmpdir(), 'fleetflow-test-')))
  // Run by root, the server is another user and must be able to enter.
  await chmod(dataDir, 0o755)
  project.provide('databaseDir', dataDir)
  return async () => {
    // The worker that started the server is gone by now.
    const lock = new PostmasterLock(join(dataDir, 'postgres', 'cluster', 'data'))
    const running = await lock.running()
    if (running !== undefined) {
      process.kill(running.pid, 'SIGINT')
      await lock.gone(running.pid, STOP_TIMEOUT_MS)
    }
    await rm(dataDir, { recursive: true, force: true })
  }
}
