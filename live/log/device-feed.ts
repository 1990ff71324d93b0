/**
 * What the database tells live of devices: all of them at the start, and every change by NOTIFY. When the connection is
 * lost it is opened anew, and all are read once more: what changed in between was not heard.
 */
import pg from 'pg'
import type { Logger } from 'pino'
import type { LiveDevice } from './last-positions.ts'

const CHANNEL = 'devices'
const GEOFENCES_CHANNEL = 'geofences'
const RECONNECT_MS_MIN = 100
const RECONNECT_MS_MAX = 10_000
const CONNECT_TIMEOUT_MS = 10_000
/** Devices that one query asks for: bounds what an answer takes of memory, and for how long it keeps the thread. */
const DEVICES_MAX = 1_000

/** A device as the database has it. */
export interface FeedDevice extends LiveDevice {
  /** Ids of the groups that it is in. */
  readonly groups: readonly number[]
}

export interface DeviceFeedOptions {
  /** Connection string of the owner of the schema. */
  readonly databaseUrl: string
  readonly log: Logger
  /** Devices as they are now. */
  onDevices(devices: readonly FeedDevice[]): void
  /** All ids there are, when everything was read: devices known before that are not among them are gone. */
  onAll(ids: ReadonlySet<number>): void
  /** Ids of devices that are not there. */
  onGone(ids: readonly number[]): void
  /** Geofences have changed, as the payload of the notification says; `*` = any of them may have. */
  onGeofences(payload: string): void
  /** Whether changes are heard. */
  onUp(up: boolean): void
}

export class DeviceFeed {
  private readonly options: DeviceFeedOptions
  private client: pg.Client | undefined
  private readonly changed = new Set<number>()
  private reading = false
  private retry: NodeJS.Timeout | undefined
  private retryMs = RECONNECT_MS_MIN
  private closed = false

  constructor(options: DeviceFeedOptions) {
    this.options = options
  }

  /**
   * Reads all devices, and listens from then on.
   * @throws Error if the database can not be reached or read; nothing is tried again then.
   */
  async start(): Promise<void> {
    try {
      await this.connect()
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Reads the devices anew, soon. */
  check(ids: Iterable<number>): void {
    for (const id of ids) this.changed.add(id)
    if (this.changed.size > 0) void this.readChanged()
  }

  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.retry)
    await this.client?.end().catch(() => undefined)
  }

  private async connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.options.databaseUrl,
      application_name: 'fleetflow live',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
    })
    this.client = client
    this.reading = true
    client.on('notification', ({ channel, payload = '' }) => {
      if (channel === GEOFENCES_CHANNEL) this.options.onGeofences(payload)
      else this.check([Number(payload)].filter(Number.isSafeInteger))
    })
    client.on('error', (error) => this.options.log.warn({ err: error }, 'live lost its database connection'))
    // Also follows an error, and a connection that could not be made whole.
    client.on('end', () => this.reconnect(client))
    await client.connect()
    // First to listen: what changes while all are read is told, and read again.
    await client.query(`LISTEN ${CHANNEL}; LISTEN ${GEOFENCES_CHANNEL}`)
    await this.readAll(client)
    this.options.onGeofences('*')
    this.reading = false
    this.retryMs = RECONNECT_MS_MIN
    this.options.onUp(true)
    void this.readChanged()
  }

  private reconnect(client: pg.Client): void {
    if (this.closed || this.client !== client || this.retry !== undefined) return
    this.options.onUp(false)
    this.retry = setTimeout(() => {
      this.retry = undefined
      this.connect().catch(async (error: Error) => {
        this.options.log.warn({ err: error }, 'live can not read the database: it tries again')
        await this.client?.end().catch(() => undefined)
        // Where the connection was never made, no end is told.
        if (this.client !== undefined) this.reconnect(this.client)
      })
    }, this.retryMs)
    this.retryMs = Math.min(RECONNECT_MS_MAX, this.retryMs * 2)
  }

  private async readAll(client: pg.Client): Promise<void> {
    const { options } = this
    const { rows } = await client.query<FeedDevice>(SELECT)
    const ids = rows.map(({ id }) => id)
    options.onDevices(rows)
    options.onAll(new Set(ids))
  }

  /** One query at a time; what is told meanwhile goes into the next. */
  private async readChanged(): Promise<void> {
    const { client, options, changed } = this
    if (this.reading || client === undefined) return
    this.reading = true
    try {
      while (changed.size > 0 && this.client === client) {
        await this.readDevices(client, take(changed, DEVICES_MAX))
      }
      if (this.client === client) this.reading = false
    } catch (error) {
      if (this.closed) return
      options.log.warn({ err: error }, 'changed devices could not be read: all are read anew')
      await client.end().catch(() => undefined)
    }
  }

  private async readDevices(client: pg.Client, ids: number[]): Promise<void> {
    const read = client.query<FeedDevice>(`${SELECT} WHERE id = ANY ($1)`, [ids])
    const { rows } = await read.catch((error) => {
      // All that are there are read anew. Of one that is not, nobody else would say so to whoever waits for it.
      for (const id of ids) this.changed.add(id)
      throw error
    })
    this.options.onDevices(rows)
    const found = new Set(rows.map(({ id }) => id))
    const gone = ids.filter((id) => !found.has(id))
    if (gone.length > 0) this.options.onGone(gone)
  }
}

/** Takes some out of a set. */
function take(set: Set<number>, count: number): number[] {
  const taken = [...set].slice(0, count)
  for (const value of taken) set.delete(value)
  return taken
}

const SELECT = `SELECT id, organization_id AS "organizationId", disabled,
  ARRAY(SELECT group_id FROM device_group_members WHERE device_id = devices.id) AS groups FROM devices`
