/** Ingest on a database of its own, and devices that talk to it over real sockets. */
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { expect } from 'vitest'
import type { Adapter } from '../device-adapters/adapter.ts'
import { crc16Ibm } from '../device-adapters/checksums.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { type Ingest, startIngest } from '../ingest/engine.ts'
import type { Limits } from '../ingest/limits.ts'
import { ENGINE_STOP_SPEED_KMH_MAX } from '../schemas/device-command.ts'
import { createPool } from '../storage/pools.ts'
import { testDatabase } from './database.ts'

/** Lower than the defaults, so that tests meet them. */
export const TEST_LIMITS = { firstFrameTimeoutMs: 1_500, faultsPerConnectionMax: 3, quarantineRowsMax: 50 }

export interface HarnessOptions {
  /** Beside those of the project. */
  readonly adapters?: readonly Adapter[]
  /** Beside {@link TEST_LIMITS}. */
  readonly limits?: Partial<Limits>
  readonly ackAfter?: 'journal' | 'database'
  /** Also listens on the port that finds out the protocol, any free one. */
  readonly detects?: boolean
  /** Folder of the journal, which then outlives the ingest; default: one of its own. */
  readonly journalFolder?: string
  /** Also what is stored stays in the journal. */
  readonly keepsJournal?: boolean
}

export class IngestHarness {
  readonly databaseUrl: string
  readonly pool: pg.Pool
  readonly organizationId: number
  readonly ingest: Ingest
  private readonly registry: Registry
  private readonly options: HarnessOptions
  private readonly release: () => Promise<void>
  private readonly sockets: Socket[] = []

  private constructor(
    databaseUrl: string,
    pool: pg.Pool,
    organizationId: number,
    ingest: Ingest,
    registry: Registry,
    options: HarnessOptions,
    release: () => Promise<void>,
  ) {
    this.databaseUrl = databaseUrl
    this.pool = pool
    this.organizationId = organizationId
    this.ingest = ingest
    this.registry = registry
    this.options = options
    this.release = release
  }

  static async start(options: HarnessOptions = {}): Promise<IngestHarness> {
    const database = await testDatabase()
    const pool = createPool(database.url, { max: 5, applicationName: 'ingest test' })
    const { rows } = await pool.query("INSERT INTO organizations (name) VALUES ('Test') RETURNING id")
    const organizationId = rows[0].id
    const registry = new Registry()
    const ingest = await startOn(database.url, pool, undefined, registry, options)
    return new IngestHarness(database.url, pool, organizationId, ingest, registry, options, async () => {
      await ingest.close()
      await pool.end()
      await database.drop()
    })
  }

  /** A second ingest on the same database which registers unknown devices. */
  startRegistering(): Promise<Ingest> {
    return startOn(this.databaseUrl, this.pool, this.organizationId, new Registry(), this.options)
  }

  /** A second ingest on the same database. */
  another(options: HarnessOptions = {}): Promise<Ingest> {
    return startOn(this.databaseUrl, this.pool, undefined, new Registry(), { ...this.options, ...options })
  }

  async stop(): Promise<void> {
    this.hangUp()
    await this.release()
  }

  /** Closes the sockets of all devices. */
  hangUp(): void {
    for (const socket of this.sockets.splice(0)) socket.destroy()
  }

  portOf(protocol: string, transport = 'tcp', ingest = this.ingest): number {
    return ingest.listeners.find(
      (listener) => listener.protocol === protocol && listener.transport === transport,
    )!.port
  }

  device(port: number): Device {
    const device = new Device(port)
    this.sockets.push(device.socket)
    return device
  }

  async register(uniqueId: string, secretHash: Buffer | null = null): Promise<number> {
    const { rows } = await this.pool.query(
      'INSERT INTO devices (organization_id, unique_id, name, secret_hash) VALUES ($1, $2, $2, $3) RETURNING id',
      [this.organizationId, uniqueId, secretHash],
    )
    // The registry hears of it by NOTIFY: wait until it has.
    const all = await this.count('SELECT count(*) FROM devices')
    await expect.poll(() => this.metric('fleetflow_devices')).toBe(all)
    return rows[0].id
  }

  async count(sql: string, values: unknown[] = []): Promise<number> {
    return Number((await this.pool.query(sql, values)).rows[0].count)
  }

  storedOf(device: number): Promise<number> {
    return this.count('SELECT count(*) FROM positions WHERE device_id = $1', [device])
  }

  async quarantined(uniqueId: string): Promise<Record<string, unknown>[]> {
    return (await this.pool.query('SELECT * FROM quarantine WHERE unique_id = $1', [uniqueId])).rows
  }

  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const found = (await this.registry.getMetricsAsJSON()).find((candidate) => candidate.name === name)
    return (found?.values ?? [])
      .filter((value) => Object.entries(labels).every(([key, wanted]) => value.labels[key] === wanted))
      .reduce((sum, { value }) => sum + value, 0)
  }
}

async function startOn(
  databaseUrl: string,
  pool: pg.Pool,
  registerInto: number | undefined,
  registry: Registry,
  options: HarnessOptions,
): Promise<Ingest> {
  const adapters = await loadAdapters()
  for (const adapter of options.adapters ?? []) adapters.set(adapter.id, adapter)
  const journalFolder = options.journalFolder ?? (await mkdtemp(join(tmpdir(), 'fleetflow-journal-')))
  const keep = options.keepsJournal === true ? 1e9 : 0
  const ingest = await startIngest({
    host: '127.0.0.1',
    adapters,
    ports: new Map([...adapters.keys(), 'mqtt'].map((id) => [id, 0])),
    detectPort: options.detects === true ? 0 : undefined,
    databaseUrl,
    pool,
    journal: { folder: journalFolder, keepMs: keep, keepBytes: keep, segmentBytes: 8 * 1024 * 1024 },
    ackAfter: options.ackAfter ?? 'journal',
    livePorts: [undefined, undefined],
    registerInto,
    engineStopSpeedKmhMax: ENGINE_STOP_SPEED_KMH_MAX,
    limits: { ...TEST_LIMITS, ...options.limits },
    registry,
    log: pino({ level: 'silent' }),
    onFailure: (error) => {
      throw error
    },
  })
  const close = async () => {
    await ingest.close()
    if (options.journalFolder === undefined) await rm(journalFolder, { recursive: true, force: true })
  }
  return { ...ingest, close }
}

/** A device's end of a TCP connection. */
export class Device {
  readonly socket: Socket
  private received = Buffer.alloc(0)
  private wake = () => {}

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('error', () => undefined)
    this.socket.on('data', (bytes) => {
      this.received = Buffer.concat([this.received, bytes])
      this.wake()
    })
  }

  send(bytes: Buffer | string): void {
    this.socket.write(bytes)
  }

  /** The next bytes of the server, as hex. */
  async reply(bytes: number): Promise<string> {
    while (this.received.length < bytes) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    const reply = this.received.subarray(0, bytes).toString('hex')
    this.received = this.received.subarray(bytes)
    return reply
  }

  get silent(): boolean {
    return this.received.length === 0
  }

  async closed(): Promise<void> {
    // Not by events.once, which takes a reset for a failure: it is how a server closes on bytes that it did not read.
    if (!this.socket.closed) await new Promise((resolve) => this.socket.once('close', resolve))
  }
}

/** The login of a Teltonika device. */
export const login = (imei: string) => Buffer.concat([Buffer.from([0, imei.length]), Buffer.from(imei)])

/** A Codec 8 packet of `records` positions, a second apart from `timeMs` on. */
export function packet(records: number, timeMs: number): Buffer {
  const data = [Buffer.from([8, records])]
  for (let i = 0; i < records; i++) {
    const record = Buffer.alloc(30)
    record.writeBigUInt64BE(BigInt(timeMs + i * 1000), 0)
    record.writeInt32BE(-977_400_000, 9)
    record.writeInt32BE(302_700_000 + i, 13)
    record[21] = 9
    record.writeUInt16BE(36, 22)
    data.push(record)
  }
  data.push(Buffer.from([records]))
  const body = Buffer.concat(data)
  const frame = Buffer.alloc(body.length + 12)
  frame.writeUInt32BE(body.length, 4)
  body.copy(frame, 8)
  frame.writeUInt32BE(crc16Ibm(frame, 8, 8 + body.length), 8 + body.length)
  return frame
}
