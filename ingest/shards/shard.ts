/**
 * Main thread's side of a shard: collects rows in an open batch and hands it over when the shard can take it. What is in
 * flight is bounded: one batch being stored, one being encoded. What does not fit waits in the sockets, and where it
 * would wait for long, it is left to the journal: the shard is behind then, until it has stored what it holds.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { FenceMapUpdate } from '../../geofence/index/fence-map.ts'
import { PositionBatch, type PositionBatchMark, transferables } from '../../schemas/position-batch.ts'
import { threadUrl } from '../../storage/project-root.ts'
import type { JournalPosition } from '../journal/journal.ts'
import { Backlog } from './backlog.ts'
import type {
  FromShard,
  JournalRange,
  RefusedFrame,
  ShardOptions,
  StoredRows,
  ToShard,
} from './shard-messages.ts'

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

/** How long rows and frames may wait here. */
export interface ShardPace {
  /** Rows for others to join their batch, ms; 0 = those of one turn of the event loop. */
  readonly gatherMs: number
  /** Frames for room, before the shard falls behind, ms; Infinity = it never does. */
  readonly spillAfterMs: number
}

/** Called once when the batch that holds the rows is committed. */
export type Committed = () => void

export interface ShardEvents {
  onStored(stored: StoredRows): void
  onRefused(frames: readonly RefusedFrame[]): void
  onDamage(lost: number, message: string): void
  onDatabase(shard: number, up: boolean, message: string): void
  /** There is room again after {@link Shard.full} said no. */
  onRoom(): void
  /** The shard leaves frames to the journal from now on, or does no more. */
  onBehind(shard: number, behind: boolean): void
  /** The thread died: nothing is acknowledged any more. */
  onFailure(error: Error): void
}

/** A batch that takes no more rows. */
interface Sealed {
  readonly number: number
  readonly range: JournalRange
  readonly receivedMs: number
  readonly waiting: readonly Committed[]
  /** Undefined once it was handed over. */
  batch: PositionBatch | undefined
}

export class Shard {
  /** The batch that rows are added to, by `PositionBatch.add` or `appendFrom`; see {@link added}. */
  open = new PositionBatch(BATCH_CAPACITY_MIN)
  private readonly index: number
  private readonly shards: number
  private readonly pace: ShardPace
  private readonly worker: Worker
  private readonly events: ShardEvents
  private readonly backlog = new Backlog()
  private openFrom: JournalPosition = 0
  private openTo: JournalPosition = 0
  private openReceivedMs = 0
  private openFrameBytes = 0
  private waiting: Committed[] = []
  /** In the order of the journal; those at the end may not be durable yet and are not handed over. */
  private readonly inFlight: Sealed[] = []
  private durable: JournalPosition = 0
  private batchNumber = 0
  private flushPlanned = false
  private behind = false
  /** Until the thread says otherwise. */
  private databaseUp = true
  private spillTimer: NodeJS.Timeout | undefined
  private readonly exited: Promise<true>
  private ending = false

  constructor(options: ShardOptions, pace: ShardPace, events: ShardEvents) {
    const { index, shards, livePort } = options
    this.index = index
    this.shards = shards
    this.pace = pace
    this.events = events
    this.worker = new Worker(threadUrl('ingest/shards/shard-thread'), {
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

  /** Whether the open batch takes no more rows; `onRoom` tells when it does again. */
  get full(): boolean {
    return !this.behind && this.overfull
  }

  /** Oldest record whose rows are not stored; undefined if all are. */
  get oldest(): { readonly position: JournalPosition; readonly receivedMs: number } | undefined {
    let oldest = this.backlog.oldest
    const earlier = (position: JournalPosition, receivedMs: number) => {
      if (oldest === undefined || position < oldest.position) oldest = { position, receivedMs }
    }
    const [first] = this.inFlight
    if (first !== undefined) earlier(first.range.from, first.receivedMs)
    if (this.open.length > 0) earlier(this.openFrom, this.openReceivedMs)
    return oldest
  }

  /** Evaluates by these geofences from now on; nothing is stored before the first call. */
  fences(update: FenceMapUpdate): void {
    this.post({ type: 'fences', update })
  }

  /** Has the thread read anew what it knows of these devices of its own; undefined = of all. */
  forget(devices: readonly number[] | undefined): void {
    const own = devices?.filter((device) => device % this.shards === this.index)
    if (own?.length !== 0) this.post({ type: 'forget', devices: own })
  }

  /** Has what is in the journal from before stored. */
  recover(range: JournalRange): void {
    this.durable = range.to
    if (range.from < range.to) this.backlog.add(range)
    this.drainBacklog()
  }

  /**
   * Call after rows were added to {@link open}: they are handed over soon.
   * @param mark Where they begin.
   * @param position Record of the journal that they are of; all before it were added before.
   * @param frameBytes Length of its frame.
   * @param committed Called when they are stored; not to be given where frames may be left to the journal.
   */
  added(
    mark: PositionBatchMark,
    position: JournalPosition,
    receivedMs: number,
    frameBytes: number,
    committed?: Committed,
  ): void {
    if (this.behind) {
      this.open.rollback(mark)
      this.backlog.skip(position, receivedMs)
      return
    }
    if (mark.rows === 0) {
      this.openFrom = position
      this.openReceivedMs = receivedMs
    }
    this.openTo = position + 1
    this.openFrameBytes += frameBytes
    if (committed !== undefined) this.waiting.push(committed)
    if (this.overfull) this.flush()
    else if (!this.flushPlanned) {
      this.flushPlanned = true
      const { gatherMs } = this.pace
      const flush = () => {
        this.flushPlanned = false
        this.flush()
      }
      // At the end of this turn of the event loop: what all sockets brought in it goes as one batch.
      if (gatherMs === 0) setImmediate(flush)
      else setTimeout(flush, gatherMs)
    }
  }

  /** All records before `position` are durable: what is of them may be stored. */
  synced(position: JournalPosition): void {
    this.durable = position
    for (const sealed of this.inFlight) this.handOver(sealed)
    this.drainBacklog()
  }

  /**
   * Stores what is open, then ends the thread; all that was appended must be durable.
   * @returns Whether all was stored; what is not within `timeoutMs`, the journal keeps.
   */
  async stop(timeoutMs: number): Promise<boolean> {
    this.ending = true
    clearTimeout(this.spillTimer)
    if (this.open.length > 0) this.seal()
    this.post({ type: 'stop' })
    const inTime = await Promise.race([this.exited, delay(timeoutMs, false, { ref: false })])
    if (!inTime) await this.worker.terminate()
    return this.oldest === undefined
  }

  private get overfull(): boolean {
    return (
      this.open.length >= BATCH_ROWS_MAX ||
      this.openFrameBytes >= BATCH_FRAME_BYTES_MAX ||
      this.open.keys.length >= BATCH_KEYS_MAX
    )
  }

  private died(error: Error): void {
    if (this.ending) return
    this.ending = true
    this.events.onFailure(error)
  }

  private flush(): void {
    const { inFlight, open } = this
    if (open.length === 0) return
    if (inFlight.length >= BATCHES_IN_FLIGHT_MAX) {
      if (this.overfull) this.spillSoon()
      return
    }
    if (inFlight.length > 0 && open.length < BATCH_ROWS_BEHIND && !this.overfull) return
    this.seal()
  }

  /** A database that is slow or away must not hold up replies: after a while, or at once, frames are left to the journal. */
  private spillSoon(): void {
    if (this.behind || this.pace.spillAfterMs === Infinity) return
    if (!this.databaseUp) this.fallBehind()
    else this.spillTimer ??= setTimeout(() => this.fallBehind(), this.pace.spillAfterMs)
  }

  private fallBehind(): void {
    clearTimeout(this.spillTimer)
    this.spillTimer = undefined
    this.behind = true
    this.events.onBehind(this.index, true)
    this.events.onRoom()
  }

  private seal(): void {
    const wasFull = this.full
    const batch = this.open
    const sealed: Sealed = {
      number: ++this.batchNumber,
      range: { from: this.openFrom, to: this.openTo },
      receivedMs: this.openReceivedMs,
      waiting: this.waiting,
      batch,
    }
    this.inFlight.push(sealed)
    this.waiting = []
    this.openFrameBytes = 0
    // The next batch will likely be as large as this one.
    const capacity = 2 ** Math.ceil(Math.log2(batch.length + 1))
    this.open = new PositionBatch(Math.max(BATCH_CAPACITY_MIN, Math.min(BATCH_ROWS_MAX, capacity)))
    this.handOver(sealed)
    clearTimeout(this.spillTimer)
    this.spillTimer = undefined
    if (wasFull) this.events.onRoom()
  }

  private handOver(sealed: Sealed): void {
    const { batch, number, range } = sealed
    if (batch === undefined || range.to > this.durable) return
    sealed.batch = undefined
    const message = batch.toMessage()
    this.post({ type: 'batch', number, batch: message, range }, transferables(message))
  }

  private drainBacklog(): void {
    const next = this.backlog.next(this.durable)
    if (next !== undefined) this.post({ type: 'drain', ...next })
  }

  private post(message: ToShard, transfer: ArrayBuffer[] = []): void {
    this.worker.postMessage(message, transfer)
  }

  private receive(message: FromShard): void {
    switch (message.type) {
      case 'stored':
        this.events.onStored(message)
        this.settle(message.number)
        return
      case 'drained':
        if (message.rows > 0) this.events.onStored(message)
        this.backlog.drained(message.number, message.next, message.nextReceivedMs)
        this.drainBacklog()
        return
      case 'refused':
        this.events.onRefused(message.frames)
        return
      case 'damage':
        this.events.onDamage(message.lost, message.message)
        return
      case 'database':
        this.databaseUp = message.up
        if (this.full) this.spillSoon()
        this.events.onDatabase(this.index, message.up, message.message)
    }
  }

  private settle(number: number): void {
    const at = this.inFlight.findIndex((sealed) => sealed.number === number)
    const [sealed] = this.inFlight.splice(at, 1)
    if (this.behind && this.inFlight.length === 0) {
      this.behind = false
      this.backlog.close()
      this.events.onBehind(this.index, false)
      this.drainBacklog()
    }
    if (!this.flushPlanned || this.overfull) this.flush()
    for (const committed of sealed!.waiting) committed()
  }
}
