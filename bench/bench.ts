/**
 * What a question works with: a folder, a database server and child processes of its own, all of which are gone when
 * the question is answered, has failed, or the run is interrupted.
 */
import { type ChildProcess, type ForkOptions, fork } from 'node:child_process'
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startEmbeddedPostgres } from '../storage/embedded/embedded-postgres.ts'
import { migrate } from '../storage/migrate.ts'

/** A child that does not end when told to is killed after this, ms. */
const END_TIMEOUT_MS = 20_000

export class Bench {
  /** Empty at first. */
  readonly folder: string
  private readonly stops: (() => Promise<unknown>)[] = []
  private readonly startMs: number
  private server: Promise<string> | undefined
  private databases = 0

  private constructor(folder: string, startMs: number) {
    this.folder = folder
    this.startMs = startMs
  }

  /** @param startMs Start of the run, `performance.now()`, for the progress. */
  static async open(startMs: number): Promise<Bench> {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'fleetflow-bench-')))
    // Run by root, PostgreSQL is another user and must be able to enter.
    await chmod(folder, 0o755)
    const bench = new Bench(folder, startMs)
    bench.defer(() => rm(folder, { recursive: true, force: true }))
    return bench
  }

  /** Has `stop` called at the end; what was deferred last is stopped first. */
  defer(stop: () => Promise<unknown>): void {
    this.stops.push(stop)
  }

  async close(): Promise<void> {
    for (let stop = this.stops.pop(); stop !== undefined; stop = this.stops.pop()) await stop()
  }

  /** One line on standard error. */
  progress(text: string): void {
    const seconds = Math.round((performance.now() - this.startMs) / 1000)
    process.stderr.write(`${String(seconds).padStart(4)} s  ${text}\n`)
  }

  /**
   * Connection string of a fresh, migrated database, on an embedded server that is as durable as the engine's own or
   * on the server of `BENCH_DATABASE_URL` (a superuser's connection string).
   */
  async database(): Promise<string> {
    const given = process.env.BENCH_DATABASE_URL
    this.server ??= given === undefined ? this.startServer() : Promise.resolve(given)
    const server = await this.server
    const name = `fleetflow_bench_${process.pid}_${++this.databases}`
    await query(server, `CREATE DATABASE ${name} TEMPLATE template0`)
    if (given !== undefined) this.defer(() => query(server, `DROP DATABASE ${name} WITH (FORCE)`))
    const url = new URL(server)
    url.pathname = `/${name}`
    await migrate(url.href)
    return url.href
  }

  /** Open connection, closed at the end. */
  async connect(url: string): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    this.defer(() => client.end())
    return client
  }

  /** Runs a file of bench/ as a child process; it ends at the latest with the question. */
  fork(name: string, options: unknown, forkOptions: ForkOptions = {}): ChildProcess {
    const child = fork(new URL(`./${name}.js`, import.meta.url), [JSON.stringify(options)], forkOptions)
    this.defer(() => end(child))
    return child
  }

  /** Runs a file of bench/ as a child process, up to its first message. @throws Error if it ends without one. */
  async result<Result>(name: string, options: unknown): Promise<Result> {
    const child = this.fork(name, options)
    const result = await nextMessage<Result>(child, name)
    await end(child)
    return result
  }

  private async startServer(): Promise<string> {
    const postgres = await startEmbeddedPostgres({ dataDir: this.folder })
    this.defer(() => postgres.stop())
    return postgres.url
  }
}

/** The next message of the child. @throws Error if it ends without one. */
export function nextMessage<Message>(child: ChildProcess, name: string): Promise<Message> {
  return new Promise((resolve, reject) => {
    const done = () => {
      child.off('message', message)
      child.off('error', failed)
      child.off('exit', exited)
    }
    const message = (received: unknown) => {
      done()
      resolve(received as Message)
    }
    const failed = (error: Error) => {
      done()
      reject(error)
    }
    const exited = (code: number | null, signal: string | null) =>
      failed(new Error(`${name} ended without an answer: ${signal ?? `exit ${code}`}`))
    child.on('message', message)
    child.on('error', failed)
    child.on('exit', exited)
  })
}

/** Tells a process to end and waits until it has. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const kill = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS)
  await ended
  clearTimeout(kill)
}

export async function query(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client.query(sql).finally(() => client.end())
}
