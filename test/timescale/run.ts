/**
 * `npm run test:timescale [-- ARGUMENTS OF VITEST]`: runs the tests that use a database against a real TimescaleDB,
 * Debian's, in a folder made by debootstrap.
 *
 * `TIMESCALE_ROOT` names a folder that is kept, which makes the next run faster by the minute that debootstrap takes.
 * Ends with 69 where TimescaleDB cannot be had, with 130 when interrupted, else as the tests do.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { projectRoot } from '../../storage/project-root.ts'
import { debianRoot, TimescaleUnavailable } from './debian-root.ts'
import { startTimescaleServer } from './timescale-server.ts'

const EXIT_UNAVAILABLE = 69
const EXIT_INTERRUPTED = 130
const EXIT_FAILURE = 1

const interrupted = new AbortController()
/** The tests under way. */
let running: ChildProcess | undefined

const say = (line: string) => process.stdout.write(`timescale: ${line}\n`)

/** @returns The exit code. */
async function runTests(databaseUrl: string, args: readonly string[]): Promise<number> {
  interrupted.signal.throwIfAborted()
  const vitest = fileURLToPath(new URL('node_modules/vitest/vitest.mjs', projectRoot))
  running = spawn(process.execPath, [vitest, 'run', '--config', 'vitest.timescale.config.ts', ...args], {
    cwd: fileURLToPath(projectRoot),
    env: { ...process.env, TEST_DATABASE_URL: databaseUrl },
    stdio: 'inherit',
  })
  const [code] = await once(running, 'close')
  return code ?? EXIT_FAILURE
}

async function main(): Promise<number> {
  const root = await debianRoot(process.env.TIMESCALE_ROOT || undefined, interrupted.signal, say)
  try {
    const server = await startTimescaleServer(root.path)
    try {
      say(`server is ready at ${new URL(server.url).host}`)
      return await runTests(server.url, process.argv.slice(2))
    } finally {
      await server.stop()
    }
  } finally {
    await root.remove()
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    interrupted.abort()
    running?.kill('SIGTERM')
  })
}
try {
  const code = await main()
  process.exitCode = interrupted.signal.aborted ? EXIT_INTERRUPTED : code
} catch (error) {
  if (interrupted.signal.aborted) process.exitCode = EXIT_INTERRUPTED
  else if (error instanceof TimescaleUnavailable) {
    process.stderr.write(`timescale: not tested, TimescaleDB cannot be had here: ${error.message}\n`)
    process.exitCode = EXIT_UNAVAILABLE
  } else {
    process.stderr.write(`timescale: ${error instanceof Error ? error.stack : error}\n`)
    process.exitCode = EXIT_FAILURE
  }
}
