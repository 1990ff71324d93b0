/** Threads in which indexes of geofences are built: one for the base, one for deltas, both only while they are needed. */
import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import { threadUrl } from '../../../storage/project-root.ts'
import type { BuildTask, BuildThreadOptions, BuiltFences } from './build-messages.ts'

/** A thread that had nothing to do for so long ends, ms. */
const IDLE_TIMEOUT_MS = 10_000

/** What is built: all geofences, or those that have changed since. */
export type FencePart = 'base' | 'delta'

export class FenceBuilds {
  private readonly databaseUrl: string
  private readonly onFailure: (error: Error) => void
  private readonly pools = new Map<FencePart, Piscina<BuildTask, BuiltFences>>()

  /** @param onFailure A thread died, or cannot start. */
  constructor(databaseUrl: string, onFailure: (error: Error) => void) {
    this.databaseUrl = databaseUrl
    this.onFailure = onFailure
  }

  /** @throws Error of the database or the thread, also when it is ended meanwhile. */
  build(part: FencePart, task: BuildTask): Promise<BuiltFences> {
    return this.pool(part).run(task)
  }

  /** Ends all threads, whatever they do. */
  async close(): Promise<void> {
    await Promise.all([...this.pools.values()].map((pool) => pool.destroy()))
  }

  private pool(part: FencePart): Piscina<BuildTask, BuiltFences> {
    let pool = this.pools.get(part)
    if (pool === undefined) {
      const workerData: BuildThreadOptions = { databaseUrl: this.databaseUrl }
      pool = new Piscina({
        filename: fileURLToPath(threadUrl('ingest/geofences/fences/build-thread')),
        name: 'build',
        workerData,
        minThreads: 0,
        maxThreads: 1,
        idleTimeout: IDLE_TIMEOUT_MS,
      })
      pool.on('error', this.onFailure)
      this.pools.set(part, pool)
    }
    return pool
  }
}
