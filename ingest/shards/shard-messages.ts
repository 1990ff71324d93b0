/** What the main thread and a shard's thread tell each other. Batches and drains are numbered by the main thread. */
import type { MessagePort } from 'node:worker_threads'
import type { FenceMapUpdate } from '../../geofence/fence-map.ts'
import type { PositionBatchMessage } from '../../schemas/position-batch.ts'
import type { JournalOptions, JournalPosition } from '../journal/journal.ts'

/** `workerData` of the thread; the port also goes into its transfer list. */
export interface ShardOptions {
  readonly index: number
  /** Of all shards: a device belongs to the shard of its id modulo this. */
  readonly shards: number
  readonly databaseUrl: string
  /** To live; undefined where no live runs in this process. */
  readonly livePort: MessagePort | undefined
  readonly journal: JournalOptions
  /** Id of the version of each adapter, see decoders.ts. */
  readonly decoders: ReadonlyMap<string, number>
}

/** Records of the journal, `to` not included. */
export interface JournalRange {
  readonly from: JournalPosition
  readonly to: JournalPosition
}

/** Main to shard. After `stop` the thread ends by itself. */
export type ToShard =
  /** Rows to store; they are of records in `range`. */
  | {
      readonly type: 'batch'
      readonly number: number
      readonly batch: PositionBatchMessage
      readonly range: JournalRange
    }
  /** Records of the shard's devices to read, decode and store, while batches go first. */
  | { readonly type: 'drain'; readonly number: number; readonly range: JournalRange }
  /** The geofences are other ones from now on. Nothing is stored before the first of these. */
  | { readonly type: 'fences'; readonly update: FenceMapUpdate }
  /** What a thread knows of these devices may hold no more; undefined = of all. */
  | { readonly type: 'forget'; readonly devices: readonly number[] | undefined }
  | { readonly type: 'stop' }

/** A position that the database refuses, or a frame that this version cannot read. */
export interface RefusedFrame {
  readonly protocol: string
  readonly uniqueId: string
  readonly code: string
  readonly message: string
  /** Empty if it is no longer in the journal. */
  readonly frame: Uint8Array
}

/** What was committed at once. */
export interface StoredRows {
  readonly rows: number
  readonly duplicates: number
  readonly refused: number
  readonly storeMs: number
}

/** Shard to main. */
export type FromShard =
  | ({ readonly type: 'stored'; readonly number: number } & StoredRows)
  /**
   * How far a drain is: all before `next` is stored. `nextReceivedMs` is when the record there came in, NaN if not known.
   * Comes at the start of a drain, after each commit, and with `next` = the end of the range when it is done.
   */
  | ({
      readonly type: 'drained'
      readonly number: number
      readonly next: JournalPosition
      readonly nextReceivedMs: number
    } & StoredRows)
  | { readonly type: 'refused'; readonly frames: readonly RefusedFrame[] }
  /** Records of the journal that cannot be read although they were synced. */
  | { readonly type: 'damage'; readonly lost: number; readonly message: string }
  | { readonly type: 'database'; readonly up: boolean; readonly message: string }
