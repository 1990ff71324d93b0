/** Main thread's side of the live thread. */
import { type MessagePort, Worker } from 'node:worker_threads'
import type { LiveOptions } from './live/options.ts'
import { threadUrl } from './storage/project-root.ts'
import { type Metrics, ThreadMetrics } from './thread-metrics.ts'

/** How long a process that ends at once waits for the sockets of live to close, ms. */
const CLOSE_TIMEOUT_MS = 1_000

export class LiveThread {
  /** Port it listens on. */
  readonly port: number
  private readonly worker: Worker
  private readonly exited: Promise<unknown>
  private readonly threadMetrics: ThreadMetrics
  /** Why rows come late; undefined = they do not. */
  private delay: string | undefined

  private constructor(worker: Worker, port: number, exited: Promise<unknown>) {
    this.worker = worker
    this.port = port
    this.exited = exited
    this.threadMetrics = new ThreadMetrics(worker, exited)
    worker.on('message', (message: { type: string; delayed: boolean; detail: string }) => {
      if (message.type === 'status') this.delay = message.delayed ? message.detail : undefined
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

  /** `degraded`: rows come late. */
  readiness(): { readonly ok: true; readonly degraded?: boolean; readonly detail?: string } {
    return this.delay === undefined ? { ok: true } : { ok: true, degraded: true, detail: this.delay }
  }

  metrics(): Promise<Metrics> {
    return this.threadMetrics.read()
  }

  /** Closes the sockets and waits until the thread has ended. */
  async stop(): Promise<void> {
    this.worker.postMessage({ type: 'stop' })
    await this.exited
  }
}
