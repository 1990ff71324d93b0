/**
 * Ingest's end of a way to live, a shard's or that of the timers, with a bound that ingest never waits for: while live
 * has too much to take yet, further commits are left out, and nothing of them is kept. Live sees by their numbers that they
 * are not there, and reads them from the database.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Commit, ShardToLive } from '../../schemas/live-port.ts'
import { type PositionBatch, transferables } from '../../schemas/position-batch.ts'

/** Batches that live has not taken yet, at most; of the largest these are 50 MB. */
export const LIVE_BATCHES_MAX = 16

export class LiveOutlet {
  private readonly port: MessagePort
  private readonly untaken = new Int32Array(new SharedArrayBuffer(4))

  constructor(port: MessagePort) {
    this.port = port
    this.post({ type: 'count', untaken: this.untaken })
  }

  /**
   * Publishes what was committed, if live keeps up. The batch must not be used afterwards.
   * @param batch That the commits have rows of; null = they have none.
   */
  publish(batch: PositionBatch | null, commits: readonly Commit[]): void {
    if (commits.length === 0 || Atomics.load(this.untaken, 0) >= LIVE_BATCHES_MAX) return
    Atomics.add(this.untaken, 0, 1)
    const message = batch?.toMessage() ?? null
    this.post({ type: 'stored', batch: message, commits }, message === null ? [] : transferables(message))
  }

  close(): void {
    this.port.close()
  }

  private post(message: ShardToLive, transfer: ArrayBuffer[] = []): void {
    this.port.postMessage(message, transfer)
  }
}
