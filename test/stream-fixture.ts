/** A live stream on a database of its own, and clients of it, for tests. */

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import pg from 'pg'
import { WebSocket } from 'ws'
import { commitStatement } from '../ingest/shards/commit-statement.ts'
import { jsonFormat, STREAM_FORMATS } from '../live/format/stream-format.ts'
import type { LiveOptions } from '../live/options.ts'
import { type LiveServer, startLive } from '../live/server.ts'
import { orderCommit } from '../schemas/commit-order.ts'
import type { LiveEvent, ShardToLive } from '../schemas/live-port.ts'
import { PositionBatch, transferables } from '../schemas/position-batch.ts'
import type { Role } from '../schemas/roles.ts'
import { type ClientMessage, type ServerMessage, STREAM_PATH, STREAM_PROTOCOLS } from '../schemas/stream.ts'
import type { StoredEvent } from '../storage/geofences/stored-event.ts'
import { type TestDatabase, testDatabase } from './database.ts'
import { openSession, sessionToken } from './sessions.ts'

export const JWT_SECRET = 'a secret of the tests that is long enough'
export const ALLOWED_ORIGIN = 'https://fleet.example'

/** A position as a shard would hand it over. */
export interface TestRow {
  readonly device: number
  readonly fixTimeMs: number
  readonly quality?: number
  /** Degrees; 10 by default. */
  readonly longitude?: number
  /** Its place among the rows by default, counted from 1. */
  readonly digest?: number
  readonly attributes?: Readonly<Record<string, string | number | boolean>>
}

export function testBatch(rows: readonly TestRow[]): PositionBatch {
  const batch = new PositionBatch(8)
  const receivedMs = Date.now()
  for (const { device, fixTimeMs, quality = 0, attributes = {}, digest, longitude = 10 } of rows) {
    const row = batch.add(fixTimeMs, 50 + device / 1e4, longitude)
    batch.device[row] = device
    batch.receivedMs[row] = receivedMs
    batch.speedKmh[row] = 36
    batch.quality[row]! |= quality
    batch.digestLow[row] = digest ?? row + 1
    for (const [key, value] of Object.entries(attributes)) batch.set(row, key, value)
  }
  return batch
}

/** An event as a shard would hand it over. */
export function testEvent(
  event: Pick<LiveEvent, 'id' | 'device' | 'organizationId'> & Partial<LiveEvent>,
): LiveEvent {
  return {
    geofence: 1,
    geofenceVersion: 1,
    type: 'enter',
    time: '2026-01-02T03:04:05.000Z',
    fixTime: '2026-01-02T03:04:05.000Z',
    latitude: 50.5,
    longitude: 10,
    speed: 36.5,
    crossing: false,
    revision: 0,
    replaces: null,
    retracted: false,
    current: true,
    recordedAt: '2026-01-02T03:04:06.000Z',
    ...event,
  }
}

/** As the database keeps it. */
function storedEvent({ time, fixTime, recordedAt, ...event }: LiveEvent): StoredEvent {
  return {
    ...event,
    timeMs: Date.parse(time),
    fixTimeMs: fixTime === null ? null : Date.parse(fixTime),
    recordedAtMs: Date.parse(recordedAt),
  }
}

export class StreamFixture {
  readonly database: TestDatabase
  /** Connected as owner of the schema. */
  readonly owner: pg.Client
  private server: LiveServer | undefined
  private toLive: MessagePort | undefined
  private readonly clients: StreamClient[] = []
  /** Of the last commit. */
  private sequence = 0

  private constructor(database: TestDatabase, owner: pg.Client) {
    this.database = database
    this.owner = owner
  }

  static async create(): Promise<StreamFixture> {
    const database = await testDatabase()
    const owner = new pg.Client({ connectionString: database.url })
    await owner.connect()
    // Dropping the database ends the connection.
    owner.on('error', () => undefined)
    return new StreamFixture(database, owner)
  }

  get live(): LiveServer {
    return this.server!
  }

  liveOptions(options: Partial<LiveOptions> = {}): LiveOptions {
    return {
      host: '127.0.0.1',
      port: 0,
      allowedOrigins: [ALLOWED_ORIGIN],
      databaseUrl: this.database.url,
      jwtSecret: JWT_SECRET,
      tickMs: 0,
      logLevel: 'silent',
      ...options,
    }
  }

  async start(options: Partial<LiveOptions> = {}): Promise<void> {
    const { port1, port2 } = new MessageChannel()
    this.toLive = port1
    this.server = await startLive(this.liveOptions(options), [port2])
  }

  /** Stops live, and starts it anew: what it had in memory is gone. */
  async restart(options: Partial<LiveOptions> = {}): Promise<void> {
    this.toLive!.close()
    await this.server!.stop()
    await this.start(options)
  }

  /** Stores a commit, and hands it to live. */
  async commit(rows: readonly TestRow[], events: readonly LiveEvent[] = []): Promise<void> {
    this.tell(rows, events, await this.storeCommit(rows, events))
  }

  /** Hands rows to live as one commit, as a shard does; storage knows nothing of it. */
  publish(...rows: readonly TestRow[]): void {
    this.tell(rows, [])
  }

  /** Hands events to live as one commit. */
  publishEvents(...events: readonly LiveEvent[]): void {
    this.tell([], events)
  }

  /**
   * Hands a commit to live.
   * @param sequence The next by default.
   */
  tell(rows: readonly TestRow[], events: readonly LiveEvent[], sequence = this.sequence + 1): void {
    this.sequence = Math.max(this.sequence, sequence)
    const batch = rows.length === 0 ? null : testBatch(rows)
    const order = Uint32Array.from(rows.keys())
    if (batch !== null) orderCommit(batch, order)
    const message = batch?.toMessage() ?? null
    const stored: ShardToLive = {
      type: 'stored',
      batch: message,
      commits: [{ sequence, rows: order, events }],
    }
    this.toLive!.postMessage(stored, message === null ? [] : transferables(message))
  }

  /**
   * Stores rows and events as one commit, of which live is told nothing.
   * @returns Its sequence.
   */
  async storeCommit(rows: readonly TestRow[], events: readonly LiveEvent[] = []): Promise<number> {
    const batch = testBatch(rows)
    const of = (column: ArrayLike<number>) => rows.map((_, row) => column[row]!)
    const dates = (column: ArrayLike<number>) => of(column).map((timeMs) => new Date(timeMs))
    const { owner } = this
    await owner.query('BEGIN')
    // Commits that only live was told of have taken their numbers.
    if (this.sequence > 0) await owner.query("SELECT setval('batch_sequence', $1)", [this.sequence])
    const { rows: numbers } = await owner.query("SELECT nextval('batch_numbers') AS batch")
    const { batch: number } = numbers[0]!
    await owner.query(
      `INSERT INTO positions (device_id, fix_time, received_at, latitude, longitude, speed_kmh, digest, quality, valid, batch)
       SELECT device, fix_time, received_at, latitude, 10, 36, digest, quality, true, $7
       FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[], $4::float8[], $5::bigint[], $6::int2[])
         AS row (device, fix_time, received_at, latitude, digest, quality)`,
      [
        of(batch.device),
        dates(batch.fixTimeMs),
        dates(batch.receivedMs),
        of(batch.latitudeDeg),
        of(batch.digestLow),
        of(batch.quality),
        number,
      ],
    )
    await owner.query('SELECT keep_batch_events($1, $2)', [number, JSON.stringify(events.map(storedEvent))])
    const order = Uint32Array.from(rows.keys())
    orderCommit(batch, order)
    const { rows: stored } = await owner.query(commitStatement(batch, order, number))
    await owner.query('COMMIT')
    this.sequence = Number(stored[0]!.commit_batch)
    return this.sequence
  }

  async organization(name = randomBytes(4).toString('hex')): Promise<number> {
    return this.insert('organizations (name) VALUES ($1)', [name])
  }

  async user(organizationId: number | null, role: Role): Promise<number> {
    return this.insert(
      `users (organization_id, email, role, password_hash) VALUES ($1, $2, $3, 'none of the tests logs in')`,
      [organizationId, `${randomBytes(6).toString('hex')}@fleet.example`, role],
    )
  }

  async devices(organizationId: number, count: number): Promise<number[]> {
    const { rows } = await this.owner.query<{ id: number }>(
      `INSERT INTO devices (organization_id, unique_id, name)
       SELECT $1, gen_random_uuid(), 'test' FROM generate_series(1, $2) RETURNING id`,
      [organizationId, count],
    )
    return rows.map(({ id }) => id)
  }

  /** A stored position, with nothing but what every row has. */
  async store(device: number, fixTimeMs: number): Promise<void> {
    await this.owner.query(
      `INSERT INTO positions (device_id, fix_time, received_at, latitude, longitude, speed_kmh, satellites, digest,
         quality, valid, ignition, attributes)
       VALUES ($1, $2, $2, 50.5, 10, 36.5, 9, 1, 0, true, true, '{"driver":"Zoë","list":[1,{"a":null}]}')`,
      [device, new Date(fixTimeMs)],
    )
  }

  /** A ticket as the API gives it. */
  async ticket(userId: number, secondsLeft = 30): Promise<string> {
    const ticket = randomBytes(24).toString('base64url')
    await this.owner.query(
      `INSERT INTO stream_tickets (ticket_hash, user_id, session_id, expires_at)
       VALUES ($1, $2, $3, now() + $4 * interval '1 s')`,
      [
        createHash('sha256').update(ticket).digest(),
        userId,
        await openSession(this.owner, userId),
        secondsLeft,
      ],
    )
    return ticket
  }

  url(query = ''): string {
    return `ws://127.0.0.1:${this.live.port}${STREAM_PATH}${query}`
  }

  /** An open client of a user, new unless given. */
  async connect(
    user: { userId?: number; organizationId: number | null; role: Role },
    format: keyof typeof STREAM_PROTOCOLS = 'json',
  ): Promise<StreamClient> {
    const userId = user.userId ?? (await this.user(user.organizationId, user.role))
    const token = await sessionToken(this.owner, { ...user, userId }, JWT_SECRET)
    const client = new StreamClient(
      new WebSocket(this.url(), STREAM_PROTOCOLS[format], { headers: { Authorization: `Bearer ${token}` } }),
    )
    this.clients.push(client)
    await once(client.socket, 'open')
    return client
  }

  /** Value of a metric, summed over its labels that match. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const metric = await this.live.registry.getSingleMetric(name)!.get()
    return metric.values
      .filter((value) =>
        Object.entries(labels).every(
          ([key, wanted]) => String((value.labels as Record<string, unknown>)[key]) === wanted,
        ),
      )
      .reduce((sum, { value }) => sum + value, 0)
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.socket.terminate()
    await this.server?.stop()
    await this.owner.end()
    await this.database.drop()
  }

  private async insert(what: string, values: unknown[]): Promise<number> {
    return (await this.owner.query(`INSERT INTO ${what} RETURNING id`, values)).rows[0].id
  }
}

/** Reads the messages of a socket in their order. */
export class StreamClient {
  readonly socket: WebSocket
  /** Messages that nobody has taken yet. */
  readonly waiting: ServerMessage[] = []
  readonly closed: Promise<{ code: number; reason: string }>
  private wake: (() => void) | undefined

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (bytes: Buffer, isBinary) => {
      const format = STREAM_FORMATS.find((candidate) => candidate.isBinary === isBinary)!
      this.waiting.push(format.decode(bytes) as ServerMessage)
      this.wake?.()
    })
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))
    })
    socket.on('error', () => undefined)
  }

  send(message: ClientMessage): void {
    const format =
      STREAM_FORMATS.find(({ subprotocol }) => subprotocol === this.socket.protocol) ?? jsonFormat
    const bytes = format.encode(message as never)
    this.socket.send(bytes, { binary: format.isBinary })
  }

  /** The next message, whatever it is. */
  async next(): Promise<ServerMessage> {
    while (this.waiting.length === 0) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    return this.waiting.shift()!
  }

  /** All messages up to the first that the condition holds for, which is the last of them. */
  async until(condition: (message: ServerMessage) => boolean): Promise<ServerMessage[]> {
    const messages: ServerMessage[] = []
    do messages.push(await this.next())
    while (!condition(messages.at(-1)!))
    return messages
  }

  /** Subscribes to everything, or to the devices, and takes the snapshot. */
  async subscribe(id: number, devices?: readonly number[]): Promise<ServerMessage[]> {
    this.send({
      type: 'subscribe',
      id,
      scope: devices === undefined ? { all: true } : { devices: [...devices] },
    })
    return this.until(
      (message) => 'id' in message && message.id === id && ['live', 'error'].includes(message.type),
    )
  }
}

/** Device and fix time, ms UTC, of all positions of the messages. */
export function fixes(messages: readonly ServerMessage[]): [number, number][] {
  return messages.flatMap((message) =>
    message.type === 'positions'
      ? message.rows.map(({ device, fixTime }): [number, number] => [device, Date.parse(fixTime)])
      : [],
  )
}
