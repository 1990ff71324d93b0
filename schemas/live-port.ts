/** What shards and the timers of geofences send to live: what they have stored. */
import type { GeofenceEvent } from './geofence-event.ts'
import type { PositionBatchMessage } from './position-batch.ts'

/** An event with the organisation of its geofence, the only one that may see it. */
export interface LiveEvent extends GeofenceEvent {
  readonly organizationId: number
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
  /** First, if the sender keeps count: messages that live has not taken yet; live counts down by one for each it has. */
  | { readonly type: 'count'; readonly untaken: Int32Array }
