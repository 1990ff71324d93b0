/** What a shard sends to live: its stored rows, and where live is too slow for that, the devices that they are of. */
import type { PositionBatchMessage } from './position-batch.ts'

export type ShardToLive =
  /** Rows that are committed. */
  | PositionBatchMessage
  /** First, if the shard keeps count: batches that live has not taken yet; live counts down by one for each it has. */
  | { readonly type: 'count'; readonly untaken: Int32Array }
  /** Devices of rows that are committed and were left out: live reads their last positions from the database. */
  | { readonly type: 'missed'; readonly devices: Uint32Array }
