/** Thread of the live stream: starts the server of server.ts, and answers the thread that started it. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { MetricObjectWithValues, MetricValue } from 'prom-client'
import { LiveError, type LiveErrorCode } from './live-error.ts'
import type { LiveOptions } from './options.ts'
import { startLive } from './server.ts'

/** `workerData` of the thread; the ports also go into its transfer list. */
export interface LiveThreadData {
  readonly options: LiveOptions
  /** From the shards. */
  readonly ports: readonly MessagePort[]
}

/** Main to live. After `stop` the thread ends by itself. */
export type ToLive = { readonly type: 'metrics'; readonly id: number } | { readonly type: 'stop' }

/** Live to main: first `listening` or `failed`; after `failed` the thread ends by itself. */
export type FromLive =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'failed'; readonly code: LiveErrorCode; readonly message: string }
  | {
      readonly type: 'metrics'
      readonly id: number
      readonly metrics: MetricObjectWithValues<MetricValue<string>>[]
    }

const main = parentPort!
const post = (message: FromLive) => main.postMessage(message)
const { options, ports } = workerData as LiveThreadData

try {
  const live = await startLive(options, ports)
  main.on('message', async (message: ToLive) => {
    if (message.type === 'metrics') {
      post({ type: 'metrics', id: message.id, metrics: await live.registry.getMetricsAsJSON() })
    } else {
      await live.stop()
      // Nothing is open any more: the thread ends.
      main.close()
    }
  })
  post({ type: 'listening', port: live.port })
} catch (error) {
  if (!(error instanceof LiveError)) throw error
  post({ type: 'failed', code: error.code, message: error.message })
}
