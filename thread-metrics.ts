/** Metrics of a worker thread, which has a registry of its own and answers when it is asked for them. */
import type { Worker } from 'node:worker_threads'
import type { MetricObjectWithValues, MetricValue } from 'prom-client'

export type Metrics = MetricObjectWithValues<MetricValue<string>>[]

export class ThreadMetrics {
  private readonly worker: Worker
  private readonly exited: Promise<unknown>
  private readonly asked = new Map<number, (metrics: Metrics) => void>()
  private nextId = 1

  /** @param exited Resolves when the thread has ended. */
  constructor(worker: Worker, exited: Promise<unknown>) {
    this.worker = worker
    this.exited = exited
    worker.on('message', (message: { type: string; id: number; metrics: Metrics }) => {
      if (message.type !== 'metrics') return
      this.asked.get(message.id)?.(message.metrics)
      this.asked.delete(message.id)
    })
  }

  /** None from a thread that is ending. */
  read(): Promise<Metrics> {
    const id = this.nextId++
    return new Promise((resolve) => {
      this.asked.set(id, resolve)
      this.worker.postMessage({ type: 'metrics', id })
      void this.exited.then(() => resolve([]))
    })
  }
}
