/** A fleet of processes by role, from dist/, with a database and a Redis of their own, and what a test does to them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { projectRoot } from '../../storage/project-root.ts'
import { type TestDatabase, testDatabase } from '../database.ts'
import { RedisServer } from './redis-server.ts'

/** Time between two reports of the feed, ms. */
const REPORT_MS = 20
/** Of Redis. */
export const REDIS_PASSWORD = 'open-sesame'
const ADMIN_EMAIL = 'admin@fleetflow.test'
const ADMIN_PASSWORD = 'a password of the tests'

/** One process. */
export class Process {
  /** What it has written, standard output and log. */
  said = ''
  readonly child: ChildProcess
  readonly ready: Promise<void>

  constructor(role: string, environment: Readonly<Record<string, string>>) {
    const command = fileURLToPath(new URL('dist/fleetflow.js', projectRoot))
    this.child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', command, 'start', '--role', role],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH, ...environment } },
    )
    this.ready = new Promise((resolve, reject) => {
      this.child.once('exit', (code) => reject(new Error(`${role} ended with ${code}: ${this.said}`)))
      this.child.stderr!.on('data', (bytes: Buffer) => {
        this.said += bytes
      })
      this.child.stdout!.on('data', (bytes: Buffer) => {
        this.said += bytes
        if (/^ready$/m.test(this.said)) resolve()
      })
    })
    this.ready.catch(() => undefined)
  }

  /** Address of what it said that it listens on, such as `stream`. */
  address(name: string): string {
    return new RegExp(`^${name} +\\S+ +(\\S+)$`, 'm').exec(this.said)![1]!
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exit = once(this.child, 'exit')
    this.child.kill(signal)
    await exit
  }

  /** `/ready`: its status and what it says of each part. */
  async readiness(): Promise<{ status: number; parts: Record<string, { status: string; detail: string }> }> {
    const response = await fetch(`${this.address('(?:api|health)')}/ready`)
    return { status: response.status, parts: (await response.json()) as never }
  }

  /** Sum of a metric over its labels; 0 where there is none. */
  async metric(name: string): Promise<number> {
    const body = await (await fetch(`${this.address('(?:api|health)')}/metrics`)).text()
    const values = [...body.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)`, 'gm'))]
    return values.reduce((sum, [, value]) => sum + Number(value), 0)
  }
}

export class Fleet {
  readonly database: TestDatabase
  readonly redis: RedisServer
  readonly owner: pg.Client
  private readonly dataDir: string
  readonly processes: Process[] = []
  private readonly environment: Record<string, string>

  private constructor(database: TestDatabase, redis: RedisServer, owner: pg.Client, dataDir: string) {
    this.database = database
    this.redis = redis
    this.owner = owner
    this.dataDir = dataDir
    this.environment = {
      PORT: '0',
      STREAM_PORT: '0',
      PROTOCOLS: 'json-lines:0',
      DATABASE_URL: database.url,
      REDIS_URL: redis.url(`:${REDIS_PASSWORD}@`),
      JWT_SECRET: 'a secret of the tests that is long enough',
      ADMIN_EMAIL,
      ADMIN_PASSWORD,
      UNKNOWN_DEVICES: 'register',
      DEFAULT_ORGANIZATION: 'Bus',
      SHARDS: '2',
      DATA_DIR: dataDir,
    }
  }

  static async open(): Promise<Fleet> {
    const database = await testDatabase()
    const owner = new pg.Client({ connectionString: database.url })
    await owner.connect()
    // Dropping the database ends the connection.
    owner.on('error', () => undefined)
    return new Fleet(
      database,
      await RedisServer.start('--requirepass', REDIS_PASSWORD),
      owner,
      await mkdtemp(join(tmpdir(), 'fleetflow-bus-')),
    )
  }

  /** Starts a process, and waits until it is ready. */
  async start(role: string, environment: Readonly<Record<string, string>> = {}): Promise<Process> {
    // Clients of the tests know where processes of live are.
    const elsewhere = role.includes('live') ? {} : { STREAM_URL: 'ws://stream.fleetflow.test' }
    const started = new Process(role, { ...this.environment, ...elsewhere, ...environment })
    this.processes.push(started)
    await started.ready
    return started
  }

  /** An access token of the super admin, who sees all. */
  async logIn(api: Process): Promise<string> {
    const response = await fetch(`${api.address('api')}/api/v1/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: ADMIN_EMAIL, password: ADMIN_PASSWORD }),
    })
    return ((await response.json()) as { accessToken: string }).accessToken
  }

  /** Every stored row: its device and fix time, ms UTC. */
  async stored(): Promise<[device: number, fixTimeMs: number][]> {
    const { rows } = await this.owner.query<{ device: number; fixed: number }>(
      `SELECT device_id AS device, (extract(epoch FROM fix_time) * 1000)::float8 AS fixed FROM positions
       ORDER BY device_id, fix_time`,
    )
    return rows.map(({ device, fixed }) => [device, fixed])
  }

  async close(): Promise<void> {
    await Promise.all(this.processes.map((one) => one.stop('SIGKILL')))
    await this.redis.stop()
    await this.owner.end()
    await this.database.drop()
    await rm(this.dataDir, { recursive: true })
  }
}

/** Devices that report, each a second later than before, until they are told to stop. */
export class Feed {
  private readonly url: string
  private readonly devices: number
  private readonly running: Promise<void>
  private ending = false
  private step = 0

  /** @param address Of the listener, `127.0.0.1:PORT`. */
  constructor(address: string, devices: number) {
    this.url = `http://${address}/v1/positions`
    this.devices = devices
    this.running = this.run()
    this.running.catch(() => undefined)
  }

  /**
   * @returns Rows that were sent, all of them acknowledged.
   * @throws Error if something was not.
   */
  async stop(): Promise<number> {
    this.ending = true
    await this.running
    return this.step * this.devices
  }

  private async run(): Promise<void> {
    while (!this.ending) {
      const fixTime = new Date(Date.UTC(2026, 0, 1) + this.step++ * 1000).toISOString()
      const lines = Array.from({ length: this.devices }, (_, device) =>
        JSON.stringify({
          id: `van-${device}`,
          fixTime,
          latitude: 52 + device / 1e3,
          longitude: 13,
          speed: 40,
        }),
      )
      const response = await fetch(this.url, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: lines.join('\n'),
      })
      if (!response.ok) throw new Error(`a report was answered ${response.status}: ${await response.text()}`)
      await response.text()
      await delay(REPORT_MS)
    }
  }
}
