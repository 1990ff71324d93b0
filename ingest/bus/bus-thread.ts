/**
 * Thread that stands where live would: it takes what the shards have stored, and publishes it. Encoding and sealing
 * cost the shards and the sockets nothing there.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { pino } from 'pino'
import { type MetricObjectWithValues, type MetricValue, Registry } from 'prom-client'
import { discard } from '../../schemas/discard.ts'
import type { ShardToLive } from '../../schemas/live-port.ts'
import { transferables } from '../../schemas/position-batch.ts'
import type { BusAddress } from '../../storage/redis/bus-address.ts'
import { Publisher } from './publisher.ts'

/** `workerData` of the thread; the ports also go into its transfer list. */
export interface BusThreadData {
  readonly redisUrl: string
  readonly address: BusAddress
  readonly logLevel: string
  /** From the shards, and from the timers. */
  readonly ports: readonly MessagePort[]
}

/** Main to the thread. After `stop` it ends by itself. */
export type ToBus = { readonly type: 'metrics'; readonly id: number } | { readonly type: 'stop' }

/** The thread to main. */
export type FromBus =
  | { readonly type: 'bus'; readonly up: boolean }
  | {
      readonly type: 'metrics'
      readonly id: number
      readonly metrics: MetricObjectWithValues<MetricValue<string>>[]
    }

const main = parentPort!
const post = (message: FromBus) => main.postMessage(message)
const { redisUrl, address, logLevel, ports } = workerData as BusThreadData
const registry = new Registry()
// Standard output is for people and scripts, standard error for the log.
const log = pino({ level: logLevel, base: { name: 'bus' } }, pino.destination({ fd: 2, sync: true }))
const publisher = new Publisher({
  redisUrl,
  address,
  log,
  registry,
  onChange: (up) => post({ type: 'bus', up }),
})

for (const [source, port] of ports.entries()) {
  let untaken: Int32Array | undefined
  port.on('message', (message: ShardToLive) => {
    if (message.type === 'count') untaken = message.untaken
    else {
      publisher.publish(source, message)
      if (message.batch !== null) discard(transferables(message.batch))
      if (untaken !== undefined) Atomics.sub(untaken, 0, 1)
    }
  })
}

main.on('message', async (message: ToBus) => {
  if (message.type === 'metrics') {
    post({ type: 'metrics', id: message.id, metrics: await registry.getMetricsAsJSON() })
    return
  }
  for (const port of ports) port.close()
  await publisher.close()
  // Nothing is open any more: the thread ends.
  main.close()
})
