/** What is stored of a device, for revisions and backfills. */
import type pg from 'pg'
import type { History, RecordedEvent, RecordedVisit } from '../../geofence/visits/revision.ts'
import type { Fix } from '../../geofence/visits/visits.ts'
import { type FixRow, fixOfRow, recordedVisit, type VisitRow } from './geofence-store-devices.ts'
import { milliseconds, moment } from './sql-times.ts'

/** Reads over a connection that may have its own types of values: numbers are asked for as such. */
export class StoredHistory implements History {
  private readonly client: pg.ClientBase
  private readonly device: number
  private readonly heard: () => void

  /** @param heard Called after each page of fixes: a long history may take longer than a server may be silent. */
  constructor(client: pg.ClientBase, device: number, heard: () => void = () => {}) {
    this.client = client
    this.device = device
    this.heard = heard
  }

  async fixesBefore(timeMs: number, limit: number): Promise<Fix[]> {
    return (await this.fixes(timeMs, limit, true)).reverse()
  }

  fixesFrom(timeMs: number, limit: number): Promise<Fix[]> {
    return this.fixes(timeMs, limit, false)
  }

  async visits(fromMs: number, toMs: number): Promise<RecordedVisit[]> {
    return this.readVisits(
      // Each has an index: those that are open, and those by their end.
      `SELECT geofence_visit_json(v) AS visit FROM (
         SELECT * FROM geofence_visits WHERE device_id = $1 AND exited_at IS NULL AND entered_at <= ${moment('$3')}
         UNION ALL
         SELECT * FROM geofence_visits WHERE device_id = $1 AND exited_at >= ${moment('$2')}
           AND entered_at <= ${moment('$3')}) v
       ORDER BY v.geofence_id, v.entered_at`,
      [fromMs, toMs],
    )
  }

  async neighbours(
    geofences: readonly number[],
    beforeMs: number,
    afterMs: number,
  ): Promise<RecordedVisit[]> {
    return this.readVisits(
      // Visits of a geofence do not overlap: their ends are in the order of their beginnings.
      `SELECT geofence_visit_json(v) AS visit FROM unnest($2::integer[]) AS g (id) CROSS JOIN LATERAL (
         (SELECT * FROM geofence_visits WHERE device_id = $1 AND geofence_id = g.id
          AND entered_at < ${moment('$3')} AND exited_at < ${moment('$3')}
          ORDER BY entered_at DESC LIMIT 1)
         UNION ALL
         (SELECT * FROM geofence_visits WHERE device_id = $1 AND geofence_id = g.id
          AND entered_at > ${moment('$4')} ORDER BY entered_at LIMIT 1)) v
       ORDER BY v.geofence_id, v.entered_at`,
      [geofences, beforeMs, afterMs],
    )
  }

  async events(geofences: readonly number[], fromMs: number, toMs: number): Promise<RecordedEvent[]> {
    const { rows } = await this.client.query<EventRow>(
      `SELECT id::double precision AS id, geofence_id AS geofence, type,
         ${milliseconds('event_time')} AS "timeMs", ${milliseconds('fix_time')} AS "fixTimeMs",
         latitude AS "latitudeDeg", longitude AS "longitudeDeg", speed_kmh::double precision AS "speedKmh", crossing,
         revision, NOT superseded AND NOT retracted AS current
       FROM events WHERE device_id = $1 AND event_time >= ${moment('$3')}
         AND event_time <= ${moment('$4')} AND geofence_id = ANY ($2)
       ORDER BY event_time, geofence_id, type, revision`,
      [this.device, geofences, fromMs, toMs],
    )
    return rows.map((row) => ({
      ...row,
      fixTimeMs: row.fixTimeMs ?? Number.NaN,
      latitudeDeg: row.latitudeDeg ?? Number.NaN,
      longitudeDeg: row.longitudeDeg ?? Number.NaN,
      speedKmh: row.speedKmh ?? Number.NaN,
    }))
  }

  private async fixes(timeMs: number, limit: number, back: boolean): Promise<Fix[]> {
    const { rows } = await this.client.query<{ fix: FixRow }>(
      `SELECT geofence_fixes($1, ${moment('$2')}, $3, $4) AS fix`,
      [this.device, timeMs, limit, back],
    )
    this.heard()
    return rows.map(({ fix }) => fixOfRow(fix))
  }

  private async readVisits(sql: string, values: readonly unknown[]): Promise<RecordedVisit[]> {
    const { rows } = await this.client.query<{ visit: VisitRow }>(sql, [this.device, ...values])
    return rows.map(({ visit }) => recordedVisit(visit))
  }
}

type Nullable = 'fixTimeMs' | 'latitudeDeg' | 'longitudeDeg' | 'speedKmh'
type EventRow = Omit<RecordedEvent, Nullable> & { readonly [Column in Nullable]: number | null }
