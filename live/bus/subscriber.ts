/**
 * Hears from Redis what ingest in other processes has stored. Nothing is kept and nothing is asked for again: what does
 * not come, or is no message of this fleet, the sequencer misses by the numbers of the commits, and reads from the
 * database.
 */
import type { Logger } from 'pino'
import { Counter, Gauge, type Registry } from 'prom-client'
import { BusMessageError, decodeBusMessage, type StoredMessage } from '../../schemas/bus-message.ts'
import type { BusAddress } from '../../storage/redis/bus-address.ts'
import { RedisLink } from '../../storage/redis/redis-link.ts'

/** Refused messages are logged at most so often, ms: whoever sends them can send many. */
const REFUSED_LOG_MS = 60_000

export interface SubscriberOptions {
  readonly redisUrl: string
  readonly address: BusAddress
  /** Takes each message; those of a shard come in its order, but some may be missing, or come twice. */
  readonly onStored: (message: StoredMessage) => void
  /** Called when Redis comes and goes; the first time when either is known. */
  readonly onChange: (up: boolean) => void
  readonly log: Logger
  readonly registry: Registry
}

export interface Subscriber {
  close(): void
}

export function subscribe(options: SubscriberOptions): Subscriber {
  const { redisUrl, address, onStored, onChange, log, registry } = options
  const registers = [registry]
  const upGauge = new Gauge({
    name: 'fleetflow_bus_up',
    help: '1 if Redis can be used.',
    labelNames: ['side'],
    registers,
  })
  const received = new Counter({
    name: 'fleetflow_bus_received_total',
    help: 'Stored batches that came over Redis.',
    registers,
  })
  const refused = new Counter({
    name: 'fleetflow_bus_refused_total',
    help: 'Messages from Redis that were not taken.',
    labelNames: ['reason'],
    registers,
  })
  let refusedLogMs = Number.NEGATIVE_INFINITY
  const onMessage = (bytes: Buffer) => {
    let message: StoredMessage
    try {
      message = decodeBusMessage(bytes, address.key)
    } catch (error) {
      if (!(error instanceof BusMessageError)) throw error
      const { reason } = error
      refused.inc({ reason })
      const nowMs = performance.now()
      if (nowMs - refusedLogMs < REFUSED_LOG_MS) return
      refusedLogMs = nowMs
      log.warn({ reason, detail: error.message }, 'a message from Redis is not taken')
      return
    }
    received.inc()
    onStored(message)
  }
  const link = new RedisLink({
    url: redisUrl,
    name: 'fleetflow-live',
    prepare: (redis) => redis.ssubscribe(...address.channels),
    probe: (redis) => redis.ping(),
    onChange: (up) => {
      upGauge.set({ side: 'live' }, up ? 1 : 0)
      onChange(up)
    },
    log,
  })
  link.redis.on('smessageBuffer', (_channel: Buffer, bytes: Buffer) => onMessage(bytes))
  return { close: () => link.close() }
}
