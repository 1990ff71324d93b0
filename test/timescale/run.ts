/**
 * `npm run test:timescale [-- ARGUMENTS OF VITEST]`: runs the tests that use a database and the crash suite against a
 * real TimescaleDB, Debian's, in a folder made by debootstrap. With arguments, the former only.
 *
 * `TIMESCALE_ROOT` names a folder that is kept, which makes the next run faster by the minute that debootstrap takes.
 * Ends with 69 where TimescaleDB cannot be had, with 130 when interrupted, else as the tests do.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { projectRoot } from '../../storage/project-root.ts'
import { debianRoot, TimescaleUnavailable } from './debian-root.ts'
import { startTimescaleServer, type TimescaleServer } from './timescale-server.ts'

const EXIT_UNAVAILABLE = 69
const EXIT_INTERRUPTED = 130
const EXIT_FAILURE = 1

const interrupted = new AbortController()
/** The tests under way. */
let running: ChildProcess | undefined

const say = (line: string) => process.stdout.write(`timescale: ${line}\n`)

/**
 * @param suite A configuration of Vitest.
 * @returns The exit code.
 */
async function runSuite(
  suite: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  interrupted.signal.throwIfAborted()
  const vitest = fileURLToPath(new URL('node_modules/vitest/vitest.mjs', projectRoot))
  running = spawn(process.execPath, [vitest, 'run', '--config', suite, ...args], {
    cwd: fileURLToPath(projectRoot),
    env: { ...process.env, ...environment },
    stdio: 'inherit',
  })
  const [code] = await once(running, 'close')
  return code ?? EXIT_FAILURE
}

/** The exit code of the first suite that failed, else 0. With arguments only the first suite runs. */
async function runSuites(server: TimescaleServer, args: readonly string[]): Promise<number> {
  const environment = { TEST_DATABASE_URL: server.url }
  const code = await runSuite('vitest.timescale.config.ts', args, environment)
  if (args.length > 0) return code
  const crashCode = await runSuite('vitest.crash.config.ts', [], {
    ...environment,
    TEST_DATABASE_KILL: server.killCommand,
    TEST_DATABASE_START: server.startCommand,
    // Where CI wants the counts: those of each suite.
    ...(process.env.TEST_REPORT && { TEST_REPORT: `${process.env.TEST_REPORT}.crash.json` }),
  })
  return code || crashCode
}

async function main(): Promise<number> {
  const root = await debianRoot(process.env.TIMESCALE_ROOT || undefined, interrupted.signal, say)
  try {
    const server = await startTimescaleServer(root.path)
    try {
      say(`server is ready at ${new URL(server.url).host}`)
      return await runSuites(server, process.argv.slice(2))
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
