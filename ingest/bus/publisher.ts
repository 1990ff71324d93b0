/**
 * Publishes what is stored to Redis, for live in other processes. Ingest never waits for it: while Redis is away or slow,
 * what is stored is not published and nothing of it is kept. Live sees by the numbers of the commits that something is
 * missing, and reads it from the database.
 */
import type { Logger } from 'pino'
import { Counter, Gauge, type Registry } from 'prom-client'
import { BusMessageError, encodeBusMessage, type StoredMessage } from '../../schemas/bus-message.ts'
import type { BusAddress } from '../../storage/redis/bus-address.ts'
import { RedisLink } from '../../storage/redis/redis-link.ts'

/** Bytes that Redis has not confirmed yet, at most; of further messages none is sent until it is fewer. */
export const PENDING_BYTES_MAX = 32 * 1024 * 1024
/** How long what is under way may take at the end, ms. */
const CLOSE_TIMEOUT_MS = 2_000

export interface PublisherOptions {
  readonly redisUrl: string
  readonly address: BusAddress
  readonly log: Logger
  readonly registry: Registry
  /** Called when Redis comes and goes. */
  readonly onChange?: (up: boolean) => void
  /** {@link PENDING_BYTES_MAX} by default. */
  readonly pendingBytesMax?: number
}

export class Publisher {
  private readonly address: BusAddress
  private readonly pendingBytesMax: number
  private readonly log: Logger
  private readonly link: RedisLink
  private readonly metrics: ReturnType<typeof publisherMetrics>
  private pendingBytes = 0
  private onIdle: (() => void) | undefined

  constructor(options: PublisherOptions) {
    const { redisUrl, address, log, registry, onChange } = options
    this.address = address
    this.log = log
    this.pendingBytesMax = options.pendingBytesMax ?? PENDING_BYTES_MAX
    this.metrics = publisherMetrics(registry)
    this.link = new RedisLink({
      url: redisUrl,
      name: 'fleetflow-ingest',
      probe: (redis) => redis.spublish(address.probeChannel, ''),
      onChange: (up) => {
        this.metrics.up.set({ side: 'ingest' }, up ? 1 : 0)
        onChange?.(up)
      },
      log,
    })
  }

  /** @param source Whose it is: what a source publishes comes in its order. */
  publish(source: number, message: StoredMessage): void {
    const { link, metrics } = this
    if (!link.up) metrics.dropped.inc({ reason: 'away' })
    else if (this.pendingBytes >= this.pendingBytesMax) metrics.dropped.inc({ reason: 'slow' })
    else this.send(source, message)
  }

  /** Waits for what is under way, but not for long. */
  async close(): Promise<void> {
    if (this.pendingBytes > 0 && this.link.up) {
      const idle = new Promise<void>((resolve) => {
        this.onIdle = resolve
      })
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSE_TIMEOUT_MS)
      })
      await Promise.race([idle, late])
      clearTimeout(timer)
    }
    this.link.close()
  }

  private send(source: number, message: StoredMessage): void {
    const { channels, key } = this.address
    const { metrics } = this
    let bytes: Buffer
    try {
      bytes = encodeBusMessage(message, key)
    } catch (error) {
      if (!(error instanceof BusMessageError)) throw error
      this.log.warn({ reason: error.message }, 'stored positions are too many for one message to live')
      metrics.dropped.inc({ reason: error.reason })
      return
    }
    this.pendingBytes += bytes.length
    const settled = () => {
      this.pendingBytes -= bytes.length
      if (this.pendingBytes === 0) this.onIdle?.()
    }
    this.link.redis.spublish(channels[source % channels.length]!, bytes).then(
      () => {
        metrics.messages.inc()
        metrics.bytes.inc(bytes.length)
        settled()
      },
      () => {
        metrics.dropped.inc({ reason: 'away' })
        settled()
      },
    )
  }
}

function publisherMetrics(registry: Registry) {
  const registers = [registry]
  return {
    up: new Gauge({
      name: 'fleetflow_bus_up',
      help: '1 if Redis can be used.',
      labelNames: ['side'],
      registers,
    }),
    messages: new Counter({
      name: 'fleetflow_bus_published_total',
      help: 'Batches that were published to Redis.',
      registers,
    }),
    bytes: new Counter({
      name: 'fleetflow_bus_published_bytes_total',
      help: 'Bytes that were published to Redis.',
      registers,
    }),
    dropped: new Counter({
      name: 'fleetflow_bus_dropped_total',
      help: 'Batches that were not published, since Redis was away or slow, or they were too long; live reads them from the database.',
      labelNames: ['reason'],
      registers,
    }),
  }
}
