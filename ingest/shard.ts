/**
 * Main thread's side of a shard: collects rows in an open batch and hands it over when the shard can take it.
 * What is in flight is bounded: one batch being stored, one being encoded; what does not fit waits in the sockets.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type MessagePort, Worker } from 'node:worker_threads'
import { PositionBatch, transferables } from '../schemas/position-batch.ts'
import { threadUrl } from '../storage/project-root.ts'
import type { FromShard, ShardOptions, ToShard } from './shard-thread.ts'

/** Rows of a batch that is full. */
export const BATCH_ROWS_MAX = 8192
/** Bytes of the frames of a batch that is full: attributes and texts, which have no number of their own, come of them. */
const BATCH_FRAME_BYTES_MAX = 4 * 1024 * 1024
/** Names of attributes of a batch that is full. A frame adds fewer than are then left of the 65,536 that it can have. */
const BATCH_KEYS_MAX = 16_384
/** Behind a batch in flight another one follows only with so many rows: fewer, larger commits carry more. */
const BATCH_ROWS_BEHIND = 1024
const BATCHES_IN_FLIGHT_MAX = 2
const BATCH_CAPACITY_MIN = 256

/** Called once when the batch that holds the rows is committed (true) or refused by the database (false). */
export type Stored = (stored: boolean) => void

export interface ShardEvents {
  onStored(rows: number, duplicates: number, storeMs: number): void
  onRefused(rows: number, code: string, message: string): void
  onDatabase(shard: number, up: boolean, message: string): void
  /** There is room again after {@link Shard.full} said no. */
  onRoom(): void
  /** The thread died: nothing is acknowledged any more. */
  onFailure(error: Error): void
}

export class Shard {
  /** The batch that rows are added to, by `PositionBatch.add` or `appendFrom`; see {@link added}. */
  open = new PositionBatch(BATCH_CAPACITY_MIN)
  private readonly index: number
  private readonly worker: Worker
  private readonly events: ShardEvents
  private waiting: Stored[] = []
  private openFrameBytes = 0
  private readonly inFlight = new Map<number, Stored[]>()
  private batchNumber = 0
  private flushPlanned = false
  private readonly exited: Promise<true>
  private ending = false

  constructor(index: number, databaseUrl: string, livePort: MessagePort | undefined, events: ShardEvents) {
    this.index = index
    this.events = events
    const options: ShardOptions = { index, databaseUrl, livePort }
    this.worker = new Worker(threadUrl('ingest/shard-thread'), {
      workerData: options,
      transferList: livePort === undefined ? [] : [livePort],
      name: `shard ${index}`,
    })
    this.worker.on('message', (message: FromShard) => this.receive(message))
    this.worker.on('error', (error) => this.died(error))
    this.exited = new Promise((resolve) => {
      this.worker.once('exit', () => {
        resolve(true)
        this.died(new Error(`the thread of shard ${index} ended`))
      })
    })
  }

  /** Rows that are not stored yet. */
  get batchesInFlight(): number {
    return this.inFlight.size
  }

  /** Whether the open batch takes no more rows; `onRoom` tells when it does again. */
  get full(): boolean {
    return (
      this.open.length >= BATCH_ROWS_MAX ||
      this.openFrameBytes >= BATCH_FRAME_BYTES_MAX ||
      this.open.keys.length >= BATCH_KEYS_MAX
    )
  }

  /**
   * Call after rows were added to {@link open}: they are handed over soon. `stored` is called with their fate.
   * @param frameBytes Length of the frame that they are of.
   */
  added(frameBytes: number, stored: Stored): void {
    this.openFrameBytes += frameBytes
    this.waiting.push(stored)
    if (this.full) this.flush()
    else if (!this.flushPlanned) {
      this.flushPlanned = true
      // At the end of this turn of the event loop: what all sockets brought in it goes as one batch.
      setImmediate(() => {
        this.flushPlanned = false
        this.flush()
      })
    }
  }

  /**
   * Stores what is open, then ends the thread.
   * @returns Whether all was stored; if not within `timeoutMs`, the thread is ended and nothing more is acknowledged.
   */
  async stop(timeoutMs: number): Promise<boolean> {
    this.ending = true
    if (this.open.length > 0) this.send()
    this.post({ type: 'stop' })
    const inTime = await Promise.race([this.exited, delay(timeoutMs, false, { ref: false })])
    if (!inTime) await this.worker.terminate()
    return inTime && this.inFlight.size === 0
  }

  private died(error: Error): void {
    if (this.ending) return
    this.ending = true
    this.events.onFailure(error)
  }

  private flush(): void {
    const { inFlight, open } = this
    if (open.length === 0 || inFlight.size >= BATCHES_IN_FLIGHT_MAX) return
    if (inFlight.size > 0 && open.length < BATCH_ROWS_BEHIND && !this.full) return
    this.send()
  }

  private send(): void {
    const wasFull = this.full
    const batch = this.open
    const number = ++this.batchNumber
    this.inFlight.set(number, this.waiting)
    this.waiting = []
    this.openFrameBytes = 0
    // The next batch will likely be as large as this one.
    const capacity = 2 ** Math.ceil(Math.log2(batch.length + 1))
    this.open = new PositionBatch(Math.max(BATCH_CAPACITY_MIN, Math.min(BATCH_ROWS_MAX, capacity)))
    const message = batch.toMessage()
    this.post({ type: 'batch', number, batch: message }, transferables(message))
    if (wasFull) this.events.onRoom()
  }

  private post(message: ToShard, transfer: ArrayBuffer[] = []): void {
    this.worker.postMessage(message, transfer)
  }

  private receive(message: FromShard): void {
    switch (message.type) {
      case 'stored':
        this.events.onStored(message.rows, message.duplicates, message.storeMs)
        this.settle(message.number, true)
        return
      case 'refused':
        this.events.onRefused(message.rows, message.code, message.message)
        this.settle(message.number, false)
        return
      case 'database':
        this.events.onDatabase(this.index, message.up, message.message)
    }
  }

  private settle(number: number, stored: boolean): void {
    const waiting = this.inFlight.get(number) ?? []
    this.inFlight.delete(number)
    this.flush()
    for (const settled of waiting) settled(stored)
  }
}
