/** Thread of the live stream: starts the server of server.ts, and answers the thread that started it. */
import { setImmediate } from 'node:timers/promises'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { type MetricObjectWithValues, type MetricValue, Registry } from 'prom-client'
import type { StatusMessage } from './bus/bus.ts'
import { LiveError, type LiveErrorCode } from './live-error.ts'
import type { LiveOptions } from './options.ts'
import { startLive } from './server.ts'

/** `workerData` of the thread; the ports also go into its transfer list. */
export interface LiveThreadData {
  readonly options: LiveOptions
  /** From the shards. */
  readonly ports: readonly MessagePort[]
  /** One int32 in shared memory: becomes 1 when the process may end without being aborted, see below. */
  readonly closed?: Int32Array
}

/** Main to live. After `stop` the thread ends by itself. */
export type ToLive = { readonly type: 'metrics'; readonly id: number } | { readonly type: 'stop' }

/** Live to main: `listening` or `failed`, after which the thread ends by itself; `status` whenever it changes. */
export type FromLive =
  | StatusMessage
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'failed'; readonly code: LiveErrorCode; readonly message: string }
  | {
      readonly type: 'metrics'
      readonly id: number
      readonly metrics: MetricObjectWithValues<MetricValue<string>>[]
    }

const main = parentPort!
const post = (message: FromLive) => main.postMessage(message)
const { options, ports, closed } = workerData as LiveThreadData

/**
 * Waits until the handles of uWebSockets are closed, after its sockets were: a thread that ends with one open takes the
 * process with it, by abort. Handles close at the end of a turn of the event loop, after its immediates.
 */
async function handlesClosed(): Promise<void> {
  await setImmediate()
  await setImmediate()
  if (closed === undefined) return
  Atomics.store(closed, 0, 1)
  Atomics.notify(closed, 0)
}

try {
  const live = await startLive(options, ports, new Registry(), post)
  main.on('message', async (message: ToLive) => {
    if (message.type === 'metrics') {
      post({ type: 'metrics', id: message.id, metrics: await live.registry.getMetricsAsJSON() })
      return
    }
    const stopped = live.stop()
    await handlesClosed()
    await stopped
    // Nothing is open any more: the thread ends.
    main.close()
  })
  // What is unexpected ends the thread, and the main thread is told: but not before the sockets are closed.
  process.once('uncaughtException', async (error) => {
    live.stop().catch(() => undefined)
    await handlesClosed()
    throw error
  })
  post({ type: 'listening', port: live.port })
} catch (error) {
  if (!(error instanceof LiveError)) throw error
  post({ type: 'failed', code: error.code, message: error.message })
}
