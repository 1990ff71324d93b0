/** What main and the thread that does backfills tell each other. */
import type { BackfillRun } from './backfill-runs.ts'

/** `workerData` of the thread. */
export interface BackfillThreadOptions {
  readonly databaseUrl: string
}

export interface BackfillTask {
  readonly run: BackfillRun
  /** Stored positions that are read in a second at most. */
  readonly fixesPerSecondMax: number
  /** One number in shared memory, see {@link WISH}. */
  readonly wish: Int32Array
}

/** What main wishes of the run; the thread looks at it between pages of positions. */
export const WISH = {
  goOn: 0,
  /** The user has cancelled it. */
  cancel: 1,
  /** The engine stops: the run is put back. */
  giveBack: 2,
} as const

export interface BackfillResult {
  /** `lost`: somebody else has taken it over, or it is gone with its geofence. */
  readonly end: 'done' | 'cancelled' | 'failed' | 'given back' | 'lost'
  readonly devicesDone: number
  readonly eventsAdded: number
  readonly eventsRetracted: number
  readonly fixes: number
  /** Whether `fixesPerSecondMax` was met. */
  readonly held: boolean
  /** Of a run that failed. */
  readonly failure?: string
}
