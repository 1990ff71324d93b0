/**
 * A shard's end of its way to live, with a bound that ingest never waits for: while live has too many batches to take
 * yet, further ones are left out, and only the numbers of their devices are kept. When live has caught up it gets these,
 * and reads the last positions from the database, which are those left out or newer: what is published is committed.
 */
import type { MessagePort } from 'node:worker_threads'
import type { ShardToLive } from '../../schemas/live-port.ts'
import { type PositionBatch, transferables } from '../../schemas/position-batch.ts'

/** Batches that live has not taken yet, at most; of the largest these are 50 MB. */
export const LIVE_BATCHES_MAX = 16
/** Live has caught up when it has no more than so many to take. */
const LIVE_BATCHES_CAUGHT_UP = 4
/** How often it is looked at whether live has caught up, ms. */
const CATCH_UP_POLL_MS = 50

export class LiveOutlet {
  private readonly port: MessagePort
  private readonly untaken = new Int32Array(new SharedArrayBuffer(4))
  /** Devices of what was left out; at most all of the shard's. */
  private readonly missed = new Set<number>()
  private poll: NodeJS.Timeout | undefined

  constructor(port: MessagePort) {
    this.port = port
    this.post({ type: 'count', untaken: this.untaken })
  }

  /** Publishes rows that are committed. The batch must not be used afterwards. */
  publish(batch: PositionBatch): void {
    if (this.poll === undefined && Atomics.load(this.untaken, 0) < LIVE_BATCHES_MAX) {
      Atomics.add(this.untaken, 0, 1)
      const message = batch.toMessage()
      this.post(message, transferables(message))
      return
    }
    for (let row = 0; row < batch.length; row++) {
      if (batch.quality[row] === 0) this.missed.add(batch.device[row]!)
    }
    this.poll ??= setInterval(() => this.catchUp(), CATCH_UP_POLL_MS)
  }

  close(): void {
    clearInterval(this.poll)
    this.port.close()
  }

  private catchUp(): void {
    if (Atomics.load(this.untaken, 0) > LIVE_BATCHES_CAUGHT_UP) return
    clearInterval(this.poll)
    this.poll = undefined
    this.post({ type: 'missed', devices: Uint32Array.from(this.missed) })
    this.missed.clear()
  }

  private post(message: ShardToLive, transfer: ArrayBuffer[] = []): void {
    this.port.postMessage(message, transfer)
  }
}
