/** A database with a fleet in it, and replays of it on a clock that the test moves. */
import { setImmediate as turn } from 'node:timers/promises'
import type pg from 'pg'
import { pino } from 'pino'
import { encodingOf, type RowShape } from '../live/format/encoding.ts'
import { jsonFormat } from '../live/format/stream-format.ts'
import { LIVE_LIMITS, type LiveLimits } from '../live/options.ts'
import type { ReplayFeed } from '../live/replay/replay-feed.ts'
import { type OpenReplay, Replays } from '../live/replay/replays.ts'
import type { Encoding, Feed, Outlet } from '../live/subscriptions/feed.ts'
import type { ServerMessage } from '../schemas/stream.ts'
import { createPool } from '../storage/pools.ts'
import type { Tenant } from '../storage/tenancy.ts'
import { type TestDatabase, testDatabase } from './database.ts'
import { insertTenant, type TenantFixture } from './tenants.ts'

/** Of the time of the wall: replays read further ahead than that. */
const STEP_MS = 1_000

/** Outlet that keeps what is written, as a client reads it, and is full when the test says so. */
export class KeptOutlet implements Outlet {
  readonly id = 7
  readonly organizationId: number | null
  readonly encoding: Encoding
  readonly messages: ServerMessage[] = []
  full = false
  /** Positions that it takes before it is full. */
  room = Number.POSITIVE_INFINITY
  ended = false

  constructor(organizationId: number | null, shape: RowShape = 'objects') {
    this.organizationId = organizationId
    this.encoding = encodingOf(jsonFormat, shape)
  }

  writeRows(message: Buffer, type: 'positions' | 'events', count: number): boolean {
    const decoded = jsonFormat.decode(message) as ServerMessage
    if (decoded.type !== type || decoded.rows.length !== count) throw new Error('a message of other rows')
    this.messages.push(decoded)
    if (type === 'positions') this.room -= count
    this.full ||= this.room <= 0
    return !this.ended
  }

  send(message: ServerMessage): boolean {
    this.messages.push(message)
    return !this.ended
  }

  end(): void {
    this.ended = true
  }
}

/** `device@seconds since T0` of positions and `type:device@seconds` of events, in the order in which they came. */
export function itemsOf(messages: readonly ServerMessage[], t0Ms: number): string[] {
  const seconds = (time: string) => (Date.parse(time) - t0Ms) / 1_000
  return messages.flatMap((message) => {
    if (message.type === 'positions') {
      return message.rows.map(({ device, fixTime }) => `${device}@${seconds(fixTime)}`)
    }
    if (message.type === 'events') {
      return message.rows.map(({ device, time, type }) => `${type}:${device}@${seconds(time)}`)
    }
    return []
  })
}

export class ReplayHarness {
  readonly database: TestDatabase
  readonly owner: pg.Pool
  readonly fixture: TenantFixture
  readonly replays: Replays
  readonly limitsMet: string[] = []
  readonly clocked = new Set<Feed>()
  /** Time of the wall. */
  nowMs = Date.UTC(2026, 11, 24)

  private constructor(
    database: TestDatabase,
    owner: pg.Pool,
    fixture: TenantFixture,
    limits: Partial<LiveLimits>,
  ) {
    this.database = database
    this.owner = owner
    this.fixture = fixture
    this.replays = new Replays({
      databaseUrl: database.url,
      limits: { ...LIVE_LIMITS, ...limits },
      log: pino({ level: 'silent' }),
      limitMet: (limit) => this.limitsMet.push(limit),
      nowMs: () => this.nowMs,
    })
  }

  static async create(limits: Partial<LiveLimits> = {}): Promise<ReplayHarness> {
    const database = await testDatabase()
    const owner = createPool(database.url, { max: 2, applicationName: 'replay harness' })
    return new ReplayHarness(database, owner, await insertTenant(owner, 'mine'), limits)
  }

  get tenant(): Tenant {
    return this.fixture.tenant
  }

  /** Devices of the organisation. */
  async devices(count: number, organizationId = this.tenant.organizationId): Promise<number[]> {
    const { rows } = await this.owner.query<{ id: number }>(
      `INSERT INTO devices (organization_id, unique_id, name)
       SELECT $1, gen_random_uuid(), 'replayed' FROM generate_series(1, $2) RETURNING id`,
      [organizationId, count],
    )
    return rows.map(({ id }) => id)
  }

  /** Rows of each device from a time on; the latitude counts the rows. */
  async rows(devices: readonly number[], fromMs: number, count: number, stepMs: number): Promise<void> {
    await this.owner.query(
      `INSERT INTO positions (device_id, fix_time, received_at, digest, quality, valid, latitude, longitude)
       SELECT device, timestamptz 'epoch' + ($2::float8 + i * $4::float8) * interval '1 ms', now(), 5 - i * 7, 0, true, i, 10
       FROM unnest($1::integer[]) device, generate_series(0, $3::integer - 1) i`,
      [devices, fromMs, count, stepMs],
    )
  }

  /** An event of a geofence. */
  async event(device: number, timeMs: number, type: string): Promise<void> {
    await this.owner.query(
      `INSERT INTO events (event_time, device_id, geofence_id, geofence_version, organization_id, type)
       VALUES ($1, $2, 1, 1, $3, $4)`,
      [new Date(timeMs), device, this.tenant.organizationId, type],
    )
  }

  /** @throws Error if a limit forbids it. */
  start(outlet: Outlet, request: Partial<OpenReplay> & Pick<OpenReplay, 'from'>): ReplayFeed {
    const feed = this.replays.start(
      {
        toMs: undefined,
        speed: 0,
        events: true,
        area: null,
        delayed: false,
        tenant: this.tenant,
        devices: () => null,
        socket: outlet,
        deviceCount: 0,
        openLive: () => Promise.reject(new Error('it went live')),
        onOpen: (feed) => this.clocked.add(feed),
        onClosed: (feed) => this.clocked.delete(feed),
        ...request,
      },
      outlet,
    )
    if (typeof feed === 'string') throw new Error(feed)
    return feed
  }

  tick(): void {
    for (const feed of [...this.clocked]) feed.tick()
  }

  /** Lets replays read and send until the condition holds. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      this.tick()
      await turn()
    }
  }

  /** Lets them read and send until nothing more comes of it while the clock stands. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      this.tick()
      await turn()
      quiet = this.replays.readingCount > 0 ? 0 : quiet + 1
    }
  }

  /** Lets the time of the wall go on, as far as replays take it with them. */
  async advance(ms: number): Promise<void> {
    await this.settle()
    for (let left = ms; left > 0; left -= STEP_MS) {
      this.nowMs += Math.min(STEP_MS, left)
      await this.settle()
    }
  }

  async close(): Promise<void> {
    await this.replays.close()
    await this.owner.end()
    await this.database.drop()
  }
}
