/**
 * What the API tells ingest through the database: one connection LISTENs on all channels. When it was lost, nobody knows
 * what was told meanwhile: each channel then reads anew what it is about.
 */
import pg from 'pg'
import type { Logger } from 'pino'

const RECONNECT_MS = 1_000
const CONNECT_TIMEOUT_MS = 10_000

/** Shown by the server in pg_stat_activity. */
export const NOTIFICATIONS_APPLICATION = 'fleetflow notifications'

export interface Channel {
  /** Of the NOTIFY. */
  readonly name: string
  /** Reads all that the channel is about, at the start and after a loss: what changes meanwhile is told afterwards. */
  read(client: pg.ClientBase): Promise<void>
  told(payload: string): void
}

export class Notifications {
  private readonly databaseUrl: string
  private readonly log: Logger
  private readonly channels = new Map<string, Channel>()
  private client: pg.Client | undefined
  private timer: NodeJS.Timeout | undefined
  private closed = false

  constructor(databaseUrl: string, log: Logger) {
    this.databaseUrl = databaseUrl
    this.log = log
  }

  /** Before {@link start}; channels are read in the order in which they are added. */
  add(channel: Channel): void {
    this.channels.set(channel.name, channel)
  }

  /** @throws pg.DatabaseError if the database cannot be reached or read. */
  async start(): Promise<void> {
    await this.listen()
  }

  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.timer)
    await this.client?.end().catch(() => undefined)
  }

  /** For a channel that could not read what it was told of: after a new connection all is read. */
  async reconnect(): Promise<void> {
    await this.client?.end().catch(() => undefined)
  }

  private async listen(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.databaseUrl,
      application_name: NOTIFICATIONS_APPLICATION,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
    })
    client.on('notification', ({ channel, payload = '' }) => this.channels.get(channel)?.told(payload))
    const lost = (error?: Error) => {
      if (this.closed || this.client !== client) return
      this.client = undefined
      this.log.warn({ err: error }, 'the connection for notifications is lost')
      this.listenSoon()
    }
    client.on('error', lost)
    client.on('end', () => lost())
    try {
      await client.connect()
      for (const name of this.channels.keys()) await client.query(`LISTEN ${client.escapeIdentifier(name)}`)
      for (const channel of this.channels.values()) await channel.read(client)
    } catch (error) {
      client.end().catch(() => undefined)
      throw error
    }
    // From here on its loss is noticed by `lost`; before, by the caller.
    this.client = client
    if (this.closed) await this.close()
  }

  private listenSoon(): void {
    this.timer = setTimeout(() => void this.listenAgain(), RECONNECT_MS)
  }

  private async listenAgain(): Promise<void> {
    if (this.closed) return
    try {
      await this.listen()
    } catch (error) {
      this.log.warn({ err: error }, 'the database can not be reached for notifications')
      this.listenSoon()
    }
  }
}
