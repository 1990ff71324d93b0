/** What the main thread and a shard's thread tell each other. Batches and drains are numbered by the main thread. */
import type { MessagePort } from 'node:worker_threads'
import type { FenceMapUpdate } from '../../geofence/index/fence-map.ts'
import type { GeofenceEventType } from '../../schemas/geofence-event.ts'
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
  /** Devices of which it is in memory where they are in geofences, at most. */
  readonly geofenceDevicesMax: number
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

/** What evaluation against geofences did since it was told last. */
export interface EvaluationFigures {
  /** Devices whose state is in memory now. */
  readonly devices: number
  /** Devices whose state had to leave for want of room. */
  readonly evicted: number
  /** Evaluations of a device that had to look at what is stored. */
  readonly revisions: number
  /** Pieces of batches that were stored without their evaluation, since the database did not take it. */
  readonly failures: number
  /** What it said the last time; empty if it took all. */
  readonly failure: string
  /** Time that positions waited for it, s. */
  readonly seconds: number
  /** By type. */
  readonly events: Readonly<Partial<Record<GeofenceEventType, number>>>
}

/** What was committed at once. */
export interface StoredRows {
  readonly rows: number
  readonly duplicates: number
  readonly refused: number
  readonly storeMs: number
  /** Undefined where there is no geofence. */
  readonly evaluation?: EvaluationFigures | undefined
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
