/**
 * PostgreSQL under `DATA_DIR/postgres`, for installations that bring no database of their own.
 *
 *     cluster/data/   the cluster; it is there only when it is complete. What is in cluster/ is the server's user's
 *     postgres.log    what the server says
 *     port, owner     port of the last start; process that stops the server
 *
 * The server is a process of its own and outlives a killed parent; the next start adopts it. One that dies is
 * started again on the same port. Several processes may use one data folder: the first starts the server and
 * stops it when it ends, the others start it again if they still need it.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import type { Logger } from 'pino'
import { loadOrCreateSecret } from '../secrets.ts'
import { EmbeddedPostgresError, PostgresBinaries } from './postgres-binaries.ts'
import { createCluster } from './postgres-cluster.ts'
import { PostmasterLock, processExists } from './postmaster-lock.ts'

export interface EmbeddedPostgres {
  /** Connection string of the superuser; it holds the password. It stays the same while the server is restarted. */
  readonly url: string
  /** Stops the server, unless another process owns it. */
  stop(): Promise<void>
}

export interface EmbeddedPostgresOptions {
  readonly dataDir: string
  /** Server settings that go before ours, such as `{ fsync: 'off' }` where the data may be lost. */
  readonly settings?: Readonly<Record<string, string>>
  readonly log?: Logger | undefined
}

/** How often the state of a starting server is looked at, ms. */
const POLL_MS = 20
/** How often an adopted server, which is no child of ours, is looked at, ms. */
const WATCH_MS = 500
/** Starts that fail for a passing cause (a port taken, processes of a killed server not yet gone) are tried again. */
const START_ATTEMPTS = 40
const RETRY_MS = 250
/** Pause between attempts to bring back a server that died, ms. */
const RESTART_MS = 1_000
/** A fast shutdown that takes longer becomes an immediate one, which the next start recovers from, ms. */
const STOP_TIMEOUT_MS = 60_000
const SELECT_TIMEOUT_MS = 10_000
/** A log that is longer at a start is put aside, bytes. */
const LOG_LIMIT_BYTES = 10_000_000

/** Durability is on; the rest suits many small commits and an occasional large read beside the engine. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '256MB',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  wal_compression: 'on',
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
  checkpoint_completion_target: '0.9',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Leaves out the errors of statements: whoever sent the statement reports them.
  log_min_messages: 'log',
  log_checkpoints: 'off',
} as const

/**
 * Starts, or adopts, the PostgreSQL server of `dataDir` and waits until it answers.
 * @throws EmbeddedPostgresError
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  await mkdir(options.dataDir, { recursive: true })
  const dataDir = await realpath(options.dataDir)
  const password = await loadOrCreateSecret(dataDir, 'postgres')
  const folder = join(dataDir, 'postgres')
  await mkdir(folder, { recursive: true, mode: 0o755 })
  const server = new Server(folder, password, options)
  await server.start()
  return { url: server.url, stop: () => server.stop() }
}

class Server {
  url = ''
  private readonly folder: string
  private readonly cluster: string
  private readonly data: string
  private readonly lock: PostmasterLock
  private readonly password: string
  private readonly log: Logger | undefined
  private readonly settings: Readonly<Record<string, string>>
  /** What the owner file holds while this instance owns the server: process id, then what tells instances apart. */
  private readonly token = `${process.pid} ${randomBytes(8).toString('hex')}`
  private port = 0
  private watch: NodeJS.Timeout | undefined
  private restarting: Promise<void> | undefined
  private stopping = false

  constructor(folder: string, password: string, options: EmbeddedPostgresOptions) {
    this.folder = folder
    this.cluster = join(folder, 'cluster')
    this.data = join(this.cluster, 'data')
    this.lock = new PostmasterLock(this.data)
    this.password = password
    this.log = options.log
    this.settings = { ...SETTINGS, ...options.settings }
  }

  async start(): Promise<void> {
    if (!(await this.adopt())) {
      const binaries = await PostgresBinaries.find(this.folder, this.cluster)
      await createCluster(binaries, this.cluster, this.data, {
        password: this.password,
        durable: this.settings.fsync !== 'off',
      })
      await this.launch(binaries)
    }
    this.url = this.urlOf(this.port)
  }

  async stop(): Promise<void> {
    this.stopping = true
    clearInterval(this.watch)
    await this.restarting
    if (!(await this.isOwner())) return
    const running = await this.lock.running()
    if (running !== undefined) await this.shutDown(running.pid)
    await rm(join(this.folder, 'owner'), { force: true })
  }

  private async shutDown(pid: number): Promise<void> {
    if (process.platform === 'win32') {
      const binaries = await PostgresBinaries.find(this.folder, this.cluster)
      const { file, args, options } = binaries.command('pg_ctl', ['stop', '-m', 'fast', '-D', this.data])
      await promisify(execFile)(file, args, options)
      return
    }
    process.kill(pid, 'SIGINT')
    if (await this.lock.gone(pid, STOP_TIMEOUT_MS)) return
    this.log?.warn({ pid }, 'PostgreSQL did not stop in time; it will recover at the next start')
    process.kill(pid, 'SIGQUIT')
    await this.lock.gone(pid, STOP_TIMEOUT_MS)
  }

  /** Runs the server until it is ready, or adopts that of a process that was faster. */
  private async launch(binaries: PostgresBinaries): Promise<void> {
    const logPath = join(this.folder, 'postgres.log')
    if ((await stat(logPath).catch(() => ({ size: 0 }))).size > LOG_LIMIT_BYTES) {
      await rename(logPath, `${logPath}.old`)
    }
    for (let attempt = 1; ; attempt++) {
      // Started again, it must be where the connections look for it.
      const port = this.port || (await freePort(await this.lastPort()))
      const settings = Object.entries({ ...this.settings, port: String(port) })
      const { file, args, options } = binaries.command('postgres', [
        ...['-D', this.data],
        ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ])
      const logStart = (await stat(logPath).catch(() => ({ size: 0 }))).size
      const logFile = openSync(logPath, 'a', 0o600)
      // Detached: Ctrl-C at a terminal must end us first, and the server after our last write.
      const child = spawn(file, args, { ...options, detached: true, stdio: ['ignore', logFile, logFile] })
      closeSync(logFile)
      child.unref()
      const ended = new Promise<string>((resolve) => {
        child.once('error', (error) => resolve(error.message))
        child.once('exit', (code, signal) => resolve(`exit ${signal ?? code}`))
      })
      const how = await Promise.race([ended, this.ready(child)])
      if (how === 'ready') {
        this.port = port
        await writeFile(join(this.folder, 'port'), String(port))
        await writeFile(join(this.folder, 'owner'), this.token)
        this.log?.info({ pid: child.pid, port }, 'PostgreSQL started')
        void ended.then(() => this.restarting).then(() => this.lost())
        return
      }
      if (await this.adopt()) return
      const said = (await readFile(logPath)).subarray(logStart).toString().trim()
      if (attempt === START_ATTEMPTS || this.stopping || !PASSING_CAUSES.test(said)) {
        throw new EmbeddedPostgresError(
          'postgres-start',
          `PostgreSQL does not start on ${this.data} (${how}): ${said.slice(-2000) || 'it said nothing'}. ` +
            `Mend the cause and start again, or set DATABASE_URL; the whole log is ${logPath}`,
        )
      }
      if (said.includes('lock file "postmaster.pid"')) await this.lock.removeStale()
      await delay(RETRY_MS)
    }
  }

  /** Recovery after a crash may take its time: as long as the process lives, it is waited for. */
  private async ready(child: ChildProcess): Promise<'ready'> {
    while (child.exitCode === null && child.signalCode === null) {
      const lock = await this.lock.read()
      if (lock?.pid === child.pid && lock?.ready) return 'ready'
      await delay(POLL_MS)
    }
    return new Promise(() => {})
  }

  /**
   * Takes a server that runs on our data folder already.
   * @returns False if there is none.
   */
  private async adopt(): Promise<boolean> {
    let running = await this.lock.running()
    while (running !== undefined && !running.ready) {
      await delay(POLL_MS)
      running = await this.lock.running()
    }
    if (running === undefined) return false
    const { pid, port } = running
    const client = new pg.Client({
      connectionString: this.urlOf(port),
      connectionTimeoutMillis: SELECT_TIMEOUT_MS,
      query_timeout: SELECT_TIMEOUT_MS,
    })
    client.on('error', () => {})
    try {
      await client.connect()
      await client.query('SELECT 1')
    } catch (error) {
      // It may have been on its way down.
      if (!(await this.lock.isOurs(pid))) return this.adopt()
      throw new EmbeddedPostgresError(
        'postgres-unresponsive',
        `PostgreSQL (process ${pid}, port ${port}) runs on ${this.data} but does not answer: ` +
          `${(error as Error).message}. Stop it ("kill -INT ${pid}") and start again`,
        { cause: error },
      )
    } finally {
      await client.end().catch(() => {})
    }
    if (this.url !== '' && port !== this.port) {
      this.log?.error({ was: this.port, port }, 'PostgreSQL came back on another port: restart fleetflow')
    }
    this.port = port
    const owned = await this.isOwner()
    if (owned) await writeFile(join(this.folder, 'owner'), this.token)
    this.log?.info({ pid, port, owned }, 'PostgreSQL was running already')
    this.watch = setInterval(() => {
      void this.lock.isOurs(pid).then((alive) => {
        if (!alive) this.lost()
      })
    }, WATCH_MS).unref()
    return true
  }

  /** Brings the server back after it died. */
  private lost(): void {
    clearInterval(this.watch)
    if (this.stopping || this.restarting !== undefined) return
    this.log?.error({ port: this.port }, 'PostgreSQL ended unexpectedly; it is started again')
    this.restarting = this.restart().finally(() => {
      this.restarting = undefined
    })
  }

  private async restart(): Promise<void> {
    while (!this.stopping) {
      try {
        if (await this.adopt()) return
        await this.launch(await PostgresBinaries.find(this.folder, this.cluster))
        return
      } catch (error) {
        this.log?.error({ err: error }, 'PostgreSQL could not be started again')
        await delay(RESTART_MS)
      }
    }
  }

  private urlOf(port: number): string {
    return `postgres://postgres:${this.password}@127.0.0.1:${port}/postgres`
  }

  /** Also when the process that was it is gone. */
  private async isOwner(): Promise<boolean> {
    const owner = await readFile(join(this.folder, 'owner'), 'utf8').catch(() => '')
    return owner === this.token || !processExists(Number.parseInt(owner, 10))
  }

  private async lastPort(): Promise<number> {
    return Number(await readFile(join(this.folder, 'port'), 'utf8').catch(() => '0'))
  }
}

/** Causes of a failed start that pass by themselves, in the server's words. */
const PASSING_CAUSES =
  /could not bind|could not create any TCP\/IP sockets|pre-existing shared memory block|lock file "postmaster.pid"/

/** The preferred port where it is free, else one that is. */
async function freePort(preferred: number): Promise<number> {
  const probe = (port: number) =>
    new Promise<number | undefined>((resolve) => {
      const server = createServer()
      server.once('error', () => resolve(undefined))
      server.listen(port, '127.0.0.1', () => {
        const address = server.address()
        server.close(() => resolve(typeof address === 'object' ? address?.port : undefined))
      })
    })
  return (await probe(preferred)) ?? (await probe(0)) ?? preferred
}
