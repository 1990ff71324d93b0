/** Events of geofences as JSON, through the function that keeps tenants apart; see `withTenant` in tenancy.ts. */
import type pg from 'pg'
import type { GeofenceEvent, GeofenceEventType } from '../../schemas/geofence-event.ts'

/** Key of an event in the order of the lists. */
export type EventKey = readonly [timeUs: number, id: number]

export interface EventQuery {
  /** Null for all, which a super admin sees only. */
  readonly organizationId: number | null
  readonly device?: number | undefined
  readonly geofence?: number | undefined
  readonly type?: GeofenceEventType | undefined
  /** Time of the first event, and time before which the last one lies. */
  readonly from: Date
  readonly to: Date
  /** Also those that were corrected, and retractions. */
  readonly history: boolean
  /** All are before this one. */
  readonly before?: EventKey | undefined
  readonly limit: number
}

export interface ListedEvent {
  readonly event: GeofenceEvent
  readonly key: EventKey
}

/** Events by time and id, the newest first. */
export async function findEvents(client: pg.ClientBase, query: EventQuery): Promise<ListedEvent[]> {
  const { organizationId, device, geofence, type, from, to, history, before, limit } = query
  const { rows } = await client.query<EventRow & { readonly time_us: number }>(
    `SELECT *, (extract(epoch FROM event_time) * 1000000)::bigint AS time_us
     FROM find_events($1, $2, $3, $4, $5, $6, $7,
       timestamptz 'epoch' + $8::float8 * interval '1 us', $9, $10)
     ORDER BY event_time DESC, id DESC`,
    [organizationId, device, geofence, type, from, to, history, before?.[0], before?.[1], limit],
  )
  return rows.map((row) => ({ event: eventOfRow(row), key: [row.time_us, row.id] }))
}

/** A row of `events`, as the pools of pools.ts give it. */
export interface EventRow {
  readonly id: number
  readonly event_time: Date
  readonly recorded_at: Date
  readonly fix_time: Date | null
  readonly latitude: number | null
  readonly longitude: number | null
  readonly replaces: number | null
  readonly device_id: number
  readonly geofence_id: number
  readonly geofence_version: number
  readonly revision: number
  readonly speed_kmh: number | null
  readonly crossing: boolean
  readonly retracted: boolean
  readonly superseded: boolean
  readonly type: GeofenceEventType
}

export function eventOfRow(row: EventRow): GeofenceEvent {
  return {
    id: row.id,
    device: row.device_id,
    geofence: row.geofence_id,
    geofenceVersion: row.geofence_version,
    type: row.type,
    time: row.event_time.toISOString(),
    fixTime: row.fix_time?.toISOString() ?? null,
    latitude: row.latitude,
    longitude: row.longitude,
    speed: row.speed_kmh,
    crossing: row.crossing,
    revision: row.revision,
    replaces: row.replaces,
    retracted: row.retracted,
    current: !row.superseded && !row.retracted,
    recordedAt: row.recorded_at.toISOString(),
  }
}
