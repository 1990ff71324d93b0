/**
 * Runs of backfills in their table. Who runs one says so once a second, and each time by the moment of the time before:
 * where that is another, somebody took the run over, since nothing was heard of it for long.
 */
import type pg from 'pg'

/** A run is taken over when nothing was heard of it for so long, ms. */
export const BACKFILL_UNHEARD_MS = 10_000

export interface BackfillRun {
  readonly id: number
  readonly geofenceId: number
  readonly organizationId: number
  /** Window of fix times, `toMs` not included, ms UTC. */
  readonly fromMs: number
  readonly toMs: number
  /** Moment of the last time that it was heard of, as the database writes it: microseconds count. */
  readonly heardAt: string
  readonly progress: BackfillProgress
}

export interface BackfillProgress {
  /** Those with a greater id are still to do. */
  readonly lastDevice: number
  readonly devicesDone: number
  readonly eventsAdded: number
  readonly eventsRetracted: number
}

/** How a run ends for good. */
export type BackfillEnd =
  | { readonly state: 'done' | 'cancelled' }
  | { readonly state: 'failed'; readonly failure: string }

interface RunRow {
  readonly id: number
  readonly geofence_id: number
  readonly organization_id: number
  readonly from_time: Date
  readonly to_time: Date
  readonly heard_at: string
  readonly devices_done: number
  readonly last_device_id: number
  readonly events_added: number
  readonly events_retracted: number
}

/**
 * Takes the first run that waits, or that nothing was heard of for {@link BACKFILL_UNHEARD_MS}.
 * @returns undefined if there is none.
 */
export async function claimRun(pool: pg.Pool): Promise<BackfillRun | undefined> {
  const { rows } = await pool.query<RunRow>(
    // What was done with the geofence as it was before has to be done again.
    `UPDATE geofence_backfills b
     SET state = 'running', started_at = coalesce(started_at, now()), heard_at = clock_timestamp(),
       last_device_id = CASE WHEN started_at > (SELECT updated_at FROM geofences g WHERE g.id = b.geofence_id)
         THEN last_device_id ELSE 0 END
     WHERE id = (
       SELECT id FROM geofence_backfills
       WHERE state IN ('queued', 'running') AND NOT (state = 'queued' AND cancel_asked)
         AND (state = 'queued' OR heard_at IS NULL OR heard_at < clock_timestamp() - $1 * interval '1 ms')
       ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
     RETURNING id, geofence_id, organization_id, from_time, to_time, heard_at::text AS heard_at, devices_done,
       last_device_id, events_added, events_retracted`,
    [BACKFILL_UNHEARD_MS],
  )
  const row = rows[0]
  if (row === undefined) return undefined
  return {
    id: row.id,
    geofenceId: row.geofence_id,
    organizationId: row.organization_id,
    fromMs: row.from_time.getTime(),
    toMs: row.to_time.getTime(),
    heardAt: row.heard_at,
    progress: {
      lastDevice: row.last_device_id,
      devicesDone: row.devices_done,
      eventsAdded: row.events_added,
      eventsRetracted: row.events_retracted,
    },
  }
}

/** Ends the runs that were cancelled before anybody began them. */
export async function endCancelled(pool: pg.Pool): Promise<void> {
  await pool.query(
    `UPDATE geofence_backfills SET state = 'cancelled', ended_at = now() WHERE state = 'queued' AND cancel_asked`,
  )
}

export async function isCancelAsked(pool: pg.Pool, id: number): Promise<boolean> {
  const { rows } = await pool.query<{ cancel_asked: boolean }>(
    'SELECT cancel_asked FROM geofence_backfills WHERE id = $1',
    [id],
  )
  return rows[0]?.cancel_asked ?? false
}

/** A run as the one who runs it tells of it. */
export class RunRecord {
  private readonly client: pg.ClientBase
  private readonly id: number
  private heardAt: string

  constructor(client: pg.ClientBase, { id, heardAt }: BackfillRun) {
    this.client = client
    this.id = id
    this.heardAt = heardAt
  }

  /**
   * Says how far the run is.
   * @returns `lost` when it is no longer ours: taken over, or gone with its geofence.
   */
  async hear(progress: BackfillProgress, devicesTotal: number | null): Promise<'go' | 'cancel' | 'lost'> {
    const { rows } = await this.client.query<{ heard_at: string; cancel_asked: boolean }>(
      `UPDATE geofence_backfills
       SET heard_at = clock_timestamp(), last_device_id = $3, devices_done = $4, events_added = $5,
         events_retracted = $6, devices_total = coalesce($7, devices_total)
       WHERE id = $1 AND state = 'running' AND heard_at = $2::timestamptz
       RETURNING heard_at::text AS heard_at, cancel_asked`,
      [
        this.id,
        this.heardAt,
        progress.lastDevice,
        progress.devicesDone,
        progress.eventsAdded,
        progress.eventsRetracted,
        devicesTotal,
      ],
    )
    const row = rows[0]
    if (row === undefined) return 'lost'
    this.heardAt = row.heard_at
    return row.cancel_asked ? 'cancel' : 'go'
  }

  /** Ends the run, if it is still ours. */
  async end(end: BackfillEnd): Promise<void> {
    await this.client.query(
      `UPDATE geofence_backfills SET state = $3, failure = $4, ended_at = now()
       WHERE id = $1 AND state = 'running' AND heard_at = $2::timestamptz`,
      [this.id, this.heardAt, end.state, 'failure' in end ? end.failure : null],
    )
  }

  /** Puts the run back, to be gone on with by another process or later. */
  async giveBack(): Promise<void> {
    await this.client.query(
      `UPDATE geofence_backfills SET state = 'queued', heard_at = NULL
       WHERE id = $1 AND state = 'running' AND heard_at = $2::timestamptz`,
      [this.id, this.heardAt],
    )
  }
}
