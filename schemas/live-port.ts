/**
 * What shards and the timers of geofences send to live: stored rows and events, and where live is too slow for that, of
 * which devices they are.
 */
import type { GeofenceEvent } from './geofence-event.ts'
import type { PositionBatchMessage } from './position-batch.ts'

/** An event with the organisation of its geofence, the only one that may see it. */
export interface LiveEvent extends GeofenceEvent {
  readonly organizationId: number
}

/** Events of a device that were left out. */
export interface MissedEvents {
  readonly organizationId: number
  readonly device: number
  readonly count: number
}

/** What one transaction stored. */
export interface Commit {
  /**
   * Its place in the order in which the database committed: a later commit has a greater number. Numbers without a commit
   * are rare, and stay so. See migrations/0008-commit-order.sql.
   */
  readonly sequence: number
  /** Rows of the batch that it stored, in the order of their keys: device, fix time, digest. */
  readonly rows: Uint32Array
  /** Events that it stored, by id. */
  readonly events: readonly LiveEvent[]
}

export type ShardToLive =
  /** What was stored of a batch, in the order of the commits; null where there are only events. */
  | {
      readonly type: 'stored'
      readonly batch: PositionBatchMessage | null
      readonly commits: readonly Commit[]
    }
  /** Rows that are committed. */
  | PositionBatchMessage
  /** Events that are committed, after the rows of the same transaction. */
  | { readonly type: 'events'; readonly events: readonly LiveEvent[] }
  /**
   * First, if the sender keeps count: batches of rows and of events that live has not taken yet; live counts down by one
   * for each it has.
   */
  | { readonly type: 'count'; readonly untaken: Int32Array }
  /** Devices of rows that are committed and were left out: live reads their last positions from the database. */
  | { readonly type: 'missed'; readonly devices: Uint32Array }
  /** Events that are committed and were left out: live tells its clients how many. */
  | { readonly type: 'missed-events'; readonly missed: readonly MissedEvents[] }
