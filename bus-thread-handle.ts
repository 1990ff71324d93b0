/** Main thread's side of the bus thread. */
import { Worker } from 'node:worker_threads'
import type { BusThreadData, FromBus } from './ingest/bus/bus-thread.ts'
import { threadUrl } from './storage/project-root.ts'
import { type Metrics, ThreadMetrics } from './thread-metrics.ts'

export class BusThread {
  /** Whether Redis can be used. */
  up = false
  private readonly worker: Worker
  private readonly exited: Promise<unknown>
  private readonly threadMetrics: ThreadMetrics

  /** Starts it, and does not wait for Redis. */
  constructor(options: BusThreadData, onFailure: (error: Error) => void) {
    this.worker = new Worker(threadUrl('ingest/bus/bus-thread'), {
      workerData: options,
      transferList: [...options.ports],
      name: 'bus',
    })
    this.exited = new Promise((resolve) => this.worker.once('exit', resolve))
    this.threadMetrics = new ThreadMetrics(this.worker, this.exited)
    this.worker.on('error', onFailure)
    this.worker.on('message', (message: FromBus) => {
      if (message.type === 'bus') this.up = message.up
    })
  }

  metrics(): Promise<Metrics> {
    return this.threadMetrics.read()
  }

  /** Publishes what is on its way, for a short while, and waits until the thread has ended. */
  async stop(): Promise<void> {
    this.worker.postMessage({ type: 'stop' })
    await this.exited
  }
}
