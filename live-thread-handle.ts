/** Main thread's side of the live thread. */
import { type MessagePort, Worker } from 'node:worker_threads'
import type { MetricObjectWithValues, MetricValue } from 'prom-client'
import type { LiveOptions } from './live/options.ts'
import { threadUrl } from './storage/project-root.ts'

/** How long a process that ends at once waits for the sockets of live to close, ms. */
const CLOSE_TIMEOUT_MS = 1_000

type Metrics = MetricObjectWithValues<MetricValue<string>>[]

export class LiveThread {
  /** Port it listens on. */
  readonly port: number
  private readonly worker: Worker
  private readonly exited: Promise<unknown>
  private readonly asked = new Map<number, (metrics: Metrics) => void>()
  private nextId = 1

  private constructor(worker: Worker, port: number, exited: Promise<unknown>) {
    this.worker = worker
    this.port = port
    this.exited = exited
    worker.on('message', (message: { type: string; id: number; metrics: Metrics }) => {
      if (message.type !== 'metrics') return
      this.asked.get(message.id)?.(message.metrics)
      this.asked.delete(message.id)
    })
  }

  /** @throws Error with the thread's own code and message if it cannot listen. */
  static async start(
    options: LiveOptions,
    ports: readonly MessagePort[],
    onFailure: (error: Error) => void,
  ): Promise<LiveThread> {
    const closed = new Int32Array(new SharedArrayBuffer(4))
    const worker = new Worker(threadUrl('live/live-thread'), {
      workerData: { options, ports, closed },
      transferList: [...ports],
      name: 'live',
    })
    const exited = new Promise((resolve) => worker.once('exit', resolve))
    const port = await new Promise<number>((resolve, reject) => {
      worker.once('error', reject)
      worker.on('message', (message: { type: string; port: number; code: string; message: string }) => {
        if (message.type === 'listening') resolve(message.port)
        else if (message.type === 'failed')
          reject(Object.assign(new Error(message.message), { code: message.code }))
      })
    })
    worker.on('error', onFailure)
    // process.exit with sockets of live open would be an abort.
    const closeNow = () => {
      worker.postMessage({ type: 'stop' })
      Atomics.wait(closed, 0, 0, CLOSE_TIMEOUT_MS)
    }
    process.on('exit', closeNow)
    worker.once('exit', () => process.off('exit', closeNow))
    return new LiveThread(worker, port, exited)
  }

  metrics(): Promise<Metrics> {
    const id = this.nextId++
    return new Promise((resolve) => {
      this.asked.set(id, resolve)
      this.worker.postMessage({ type: 'metrics', id })
      // A thread that is ending answers no more.
      void this.exited.then(() => resolve([]))
    })
  }

  /** Closes the sockets and waits until the thread has ended. */
  async stop(): Promise<void> {
    this.worker.postMessage({ type: 'stop' })
    await this.exited
  }
}
