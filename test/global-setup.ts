/** One database server for a run of the tests: its folder is made here, the first test that needs it starts it. */
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { startEmbeddedPostgres } from '../storage/embedded-postgres.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Data folder of the server that all test files share. */
    databaseDir: string
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'fleetflow-test-'))
  // Run by root, the server is another user and must be able to enter.
  await chmod(dataDir, 0o755)
  project.provide('databaseDir', dataDir)
  return async () => {
    if (existsSync(join(dataDir, 'postgres', 'data', 'postmaster.pid'))) {
      // The worker that started the server is gone, so this adopts it.
      await (await startEmbeddedPostgres({ dataDir })).stop()
    }
    await rm(dataDir, { recursive: true, force: true })
  }
}
