/**
 * Commands as they stand in the table: every change of state is one statement, which finds the state before it, so that
 * of several processes exactly one makes it.
 */
import type pg from 'pg'
import type { CommandAnswer } from '../../device-adapters/adapter.ts'

/** A command that was taken out of the queue. */
export interface ClaimedCommand {
  readonly id: number
  readonly type: string
  readonly attributes: unknown
  readonly serial: number
  /** `failed`: it may not be sent any more. */
  readonly state: 'sent' | 'failed'
}

export interface Claim {
  readonly commands: readonly ClaimedCommand[]
  /** `sent_at` of all of them, which tells this claim from a later one. */
  readonly sentAt: string
  /** An `engineStop` is due, and the vehicle's last position is from before the device came back. */
  readonly stale: boolean
  /** It has to wait, and all behind it. */
  readonly held: boolean
}

/** What is known of the last position of a device whose commands are claimed. */
export interface ClaimPosition {
  /** When the device came back, ms since 1970-01-01T00:00Z. */
  readonly sinceMs: number
  /** A position from before keeps an `engineStop`, and all behind it, in the queue. */
  readonly waits: boolean
  /** Positions that were received may not be stored yet: they keep it there, too. */
  readonly unstored: boolean
}

/** Receivers' clocks and ours may differ by so much: an older fix is from before the device came back. */
const FIX_AGE_MS_MAX = 60_000

/** Expired by one statement at most; the next takes the others. */
const EXPIRE_ROWS = 1_000

export interface CommandStoreOptions {
  /** `engineStop` goes only to a device whose last speed is not above it. */
  readonly engineStopSpeedKmhMax: number
  /** An answer without a number belongs to no command that was sent longer ago. */
  readonly answerMs: number
}

export class CommandStore {
  private readonly pool: pg.Pool
  private readonly options: CommandStoreOptions

  constructor(pool: pg.Pool, options: CommandStoreOptions) {
    this.pool = pool
    this.options = options
  }

  /** Ids of devices that have a command to get. */
  static async queuedDevices(client: pg.ClientBase): Promise<number[]> {
    const { rows } = await client.query<{ id: number }>(
      "SELECT DISTINCT device_id AS id FROM commands WHERE state = 'queued'",
    )
    return rows.map(({ id }) => id)
  }

  /**
   * Takes the oldest commands of a device that have not expired out of the queue; from here on they count as sent.
   * An `engineStop` that waited until the vehicle moved fails instead, and that is audited.
   * @param serial Number of the first.
   */
  async claim(
    deviceId: number,
    serial: number,
    rowsMax: number,
    { sinceMs, waits, unstored }: ClaimPosition,
  ): Promise<Claim> {
    const { rows } = await this.pool.query<Claim>(
      // The position is looked up only where it matters: for the first engineStop, which is the only row that asks.
      `WITH stop AS (
         SELECT c.id, greatest(p.speed_kmh, present.speed_kmh) AS speed_kmh,
           coalesce(p.received_at < $5 OR p.fix_time < $7, false) AS stale
         FROM (SELECT min(id) AS id FROM commands
               WHERE device_id = $1 AND state = 'queued' AND expires_at > now() AND type = 'engineStop') c
         LEFT JOIN LATERAL last_position($1) p ON true
         -- A clock that was ahead must not hide what is reported since it was set.
         LEFT JOIN LATERAL (
           SELECT q.speed_kmh FROM positions q
           WHERE p.fix_time > now() AND q.device_id = $1 AND q.quality = 0
             AND q.fix_time <= now() AND q.fix_time > now() - interval '1 day'
           ORDER BY q.fix_time DESC LIMIT 1) present ON true
         WHERE c.id IS NOT NULL),
       due AS (
         SELECT id FROM commands WHERE device_id = $1 AND state = 'queued' AND expires_at > now()
           AND NOT EXISTS (SELECT FROM stop WHERE (stop.stale AND $6 OR $8) AND commands.id >= stop.id)
         ORDER BY id LIMIT $3 FOR UPDATE),
       judged AS (
         SELECT c.id, (row_number() OVER (ORDER BY c.id))::integer - 1 + $2 AS serial,
           CASE WHEN c.type = 'engineStop' THEN (SELECT speed_kmh FROM stop) END AS speed_kmh
         FROM due JOIN commands c USING (id)),
       claimed AS (
         UPDATE commands c SET
           state = CASE WHEN j.speed_kmh > $4::real THEN 'failed' ELSE 'sent' END,
           serial = CASE WHEN j.speed_kmh > $4::real THEN NULL ELSE j.serial END,
           sent_at = CASE WHEN j.speed_kmh > $4::real THEN NULL ELSE now() END,
           failure = CASE WHEN j.speed_kmh > $4::real THEN format(
             'vehicle-moving: the vehicle moved at %s km/h when the command could be sent; %s km/h are allowed',
             round(j.speed_kmh::numeric, 1), $4::real::text) END
         FROM judged j WHERE c.id = j.id AND c.state = 'queued'
         RETURNING c.id, c.organization_id, c.device_id, c.type, c.attributes, c.state, j.serial, j.speed_kmh),
       audited AS (
         INSERT INTO audit_events (organization_id, action, subject, details)
         SELECT organization_id, 'command-failed', 'device ' || device_id, jsonb_build_object(
           'command', id, 'type', type, 'code', 'vehicle-moving', 'speedKmh', speed_kmh, 'speedKmhMax', $4::real)
         FROM claimed WHERE state = 'failed')
       SELECT now()::text AS "sentAt", coalesce((SELECT stale FROM stop), false) AS stale,
         coalesce((SELECT stale AND $6 OR $8 FROM stop), false) AS held, coalesce((
         SELECT json_agg(json_build_object(
           'id', id, 'type', type, 'attributes', attributes, 'serial', serial, 'state', state) ORDER BY id)
         FROM claimed), '[]') AS commands`,
      [
        deviceId,
        serial,
        rowsMax,
        this.options.engineStopSpeedKmhMax,
        new Date(sinceMs),
        waits,
        new Date(sinceMs - FIX_AGE_MS_MAX),
        unstored,
      ],
    )
    return rows[0]!
  }

  /** Back into the queue, where they were: nothing of them was written. */
  async putBack(ids: readonly number[], { sentAt }: Claim): Promise<void> {
    await this.pool.query(
      `UPDATE commands SET state = 'queued', serial = NULL, sent_at = NULL
       WHERE id = ANY ($1) AND state = 'sent' AND sent_at = $2::timestamptz`,
      [ids, sentAt],
    )
  }

  /** @param failures Code and sentence of each, by id. */
  async fail(failures: ReadonlyMap<number, string>, { sentAt }: Claim): Promise<void> {
    await this.pool.query(
      `UPDATE commands c SET state = 'failed', serial = NULL, sent_at = NULL, failure = f.failure
       FROM unnest($1::bigint[], $2::text[]) AS f (id, failure) WHERE c.id = f.id AND c.state = 'sent' AND c.sent_at = $3::timestamptz`,
      [[...failures.keys()], [...failures.values()], sentAt],
    )
  }

  /**
   * Finds the command that an answer is about: the newest with its number; without one, the oldest without an answer.
   * @returns Whether there is one.
   */
  async answer(deviceId: number, { serial, ok, text }: CommandAnswer): Promise<boolean> {
    const found =
      serial === undefined
        ? `sent_at > now() - $5::double precision * interval '1 millisecond' ORDER BY id LIMIT 1`
        : 'serial = $5::bigint ORDER BY id DESC LIMIT 1'
    const { rowCount } = await this.pool.query(
      `UPDATE commands SET state = $2, answered_at = now(), answer = $3, failure = $4
       WHERE state = 'sent' AND id = (SELECT id FROM commands WHERE device_id = $1 AND state = 'sent' AND ${found})`,
      [
        deviceId,
        ok ? 'acknowledged' : 'failed',
        text,
        ok ? null : 'device-refused: the device says that it did not do it',
        serial ?? this.options.answerMs,
      ],
    )
    return rowCount === 1
  }

  /** Ends what waited too long. @returns How many that were, and how many wait. */
  async expire(): Promise<{ expired: number; queued: number }> {
    const { rows } = await this.pool.query<{ expired: number; queued: number }>(
      // Both parts see the table as it was before.
      `WITH expired AS (
         UPDATE commands SET state = 'expired' WHERE state = 'queued' AND id IN (
           SELECT id FROM commands WHERE state = 'queued' AND expires_at <= now()
           LIMIT ${EXPIRE_ROWS} FOR UPDATE SKIP LOCKED)
         RETURNING id)
       SELECT (SELECT count(*) FROM expired) AS expired,
         (SELECT count(*) FROM commands WHERE state = 'queued') - (SELECT count(*) FROM expired) AS queued`,
    )
    return rows[0]!
  }
}
