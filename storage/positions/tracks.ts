/** Tracks of devices in pages, through the function that keeps tenants apart; see `withTenant` in tenancy.ts. */
import type pg from 'pg'

/** A fix of a track; null = not reported. */
export interface TrackFix {
  /** ms UTC. */
  readonly fixTimeMs: number
  readonly receivedMs: number
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  readonly altitudeM: number | null
  readonly speedKmh: number | null
  readonly courseDeg: number | null
  readonly accuracyM: number | null
  readonly hdop: number | null
  readonly satellites: number | null
}

/** Key of the last fix that was read: every digit counts, so the digest is text. */
export interface TrackKey {
  readonly fixUs: number
  readonly digest: string
}

export interface TrackQuery {
  /** `devices.id`. One that the tenant does not see has no fixes. */
  readonly device: number
  /** Time of the first fix. */
  readonly from: Date
  /** Time before which the last fix lies. */
  readonly to: Date
  /** `next` of the page before. */
  readonly after: TrackKey | null
  /** Fixes of this page; the database gives no more than 10,000. */
  readonly limit: number
}

interface Row {
  readonly fix_us: number
  readonly digest: string
  readonly received_us: number
  readonly latitude: number
  readonly longitude: number
  readonly altitude_m: number | null
  readonly speed_kmh: number | null
  readonly course_deg: number | null
  readonly accuracy_m: number | null
  readonly hdop: number | null
  readonly satellites: number | null
}

/**
 * Undoubted fixes of a device by time.
 * @returns `next` is what to go on after; null when these are the last.
 */
export async function trackPage(
  client: pg.ClientBase,
  { device, from, to, after, limit }: TrackQuery,
): Promise<{ fixes: TrackFix[]; next: TrackKey | null }> {
  const { rows } = await client.query<Row>(
    `SELECT fix_us, digest::text, received_us, latitude, longitude, altitude_m, speed_kmh, course_deg, accuracy_m, hdop,
       satellites
     FROM device_track($1, $2, $3, $4, $5, $6)`,
    [device, from, to, after?.fixUs, after?.digest, limit],
  )
  const last = rows.at(-1)
  return {
    fixes: rows.map(fixOf),
    next: last === undefined || rows.length < limit ? null : { fixUs: last.fix_us, digest: last.digest },
  }
}

function fixOf(row: Row): TrackFix {
  return {
    fixTimeMs: Math.floor(row.fix_us / 1000),
    receivedMs: Math.floor(row.received_us / 1000),
    latitudeDeg: row.latitude,
    longitudeDeg: row.longitude,
    altitudeM: row.altitude_m,
    speedKmh: row.speed_kmh,
    courseDeg: row.course_deg,
    accuracyM: row.accuracy_m,
    hdop: row.hdop,
    satellites: row.satellites,
  }
}
