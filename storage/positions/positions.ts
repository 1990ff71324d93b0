/** Stored positions as JSON, through the functions that keep tenants apart; see {@link withTenant} in tenancy.ts. */
import type pg from 'pg'
import { READINGS } from '../../schemas/attributes.ts'
import type { Position } from '../../schemas/position.ts'
import { qualityNames } from '../../schemas/quality.ts'

/** Positions of one answer at most; the database holds the same limit. */
export const POSITIONS_LIMIT = 10_000

/** A cursor that {@link devicePositions} did not give. */
export class CursorError extends Error {
  readonly code = 'cursor-invalid'
  override readonly name = 'CursorError'
}

export interface DevicePositionsQuery {
  /** `devices.id`. One that the tenant does not see has no positions. */
  readonly device: number
  /** Fix time of the first position. */
  readonly from: Date
  /** Fix time before which the last position lies. */
  readonly to: Date
  /** `next` of the answer before. */
  readonly after?: string | undefined
  /** Positions of this answer, 1..{@link POSITIONS_LIMIT}. */
  readonly limit: number
}

/**
 * Last undoubted position of each device, in no order; a device that has none is left out.
 * @param deviceIds Null for all devices that the tenant sees.
 */
export async function lastPositions(
  client: pg.ClientBase,
  deviceIds: readonly number[] | null,
): Promise<Position[]> {
  const { rows } = await client.query<PositionRow>(`SELECT ${POSITION_COLUMNS} FROM last_positions($1)`, [
    deviceIds,
  ])
  return rows.map(positionOfRow)
}

/**
 * Positions of a device in the order of their fix times, doubtful ones among them.
 * @returns `next` is the cursor to go on with; null when these are the last.
 * @throws CursorError
 */
export async function devicePositions(
  client: pg.ClientBase,
  query: DevicePositionsQuery,
): Promise<{ positions: Position[]; next: string | null }> {
  const after = query.after === undefined ? undefined : parseCursor(query.after)
  const limit = Math.min(query.limit, POSITIONS_LIMIT - 1)
  // One more than asked for tells whether there is a next page.
  const { rows } = await client.query<PositionRow>(
    `SELECT ${POSITION_COLUMNS} FROM device_positions($1, $2, $3, $4, $5, $6)`,
    [query.device, query.from, query.to, after?.fixTime, after?.digest, limit + 1],
  )
  const page = rows.slice(0, limit)
  const next = rows.length > limit ? cursorOf(page.at(-1)!) : null
  return { positions: page.map(positionOfRow), next }
}

/** Columns of {@link PositionRow}: time and digest once more as text, for the cursor, where every digit counts. */
export const POSITION_COLUMNS = `*, digest::text AS digest_text, (extract(epoch FROM fix_time) * 1000000)::bigint::text AS fix_time_us`

export interface PositionRow extends Readonly<Record<string, unknown>> {
  readonly device_id: number
  readonly fix_time: Date
  readonly device_time: Date | null
  readonly received_at: Date
  readonly latitude: number | null
  readonly longitude: number | null
  readonly altitude_m: number | null
  readonly speed_kmh: number | null
  readonly course_deg: number | null
  readonly accuracy_m: number | null
  readonly hdop: number | null
  readonly satellites: number | null
  readonly valid: boolean
  readonly quality: number
  readonly attributes: string | null
  readonly digest_text: string
  readonly fix_time_us: string
}

/** Readings that a {@link Position} has as fields of its own. */
const FIELDS: readonly string[] = ['sat', 'hdop']
const ATTRIBUTE_READINGS = READINGS.filter(({ key }) => !FIELDS.includes(key))

/** `real` columns come as the shortest decimal that is the same float, so 12.3 is 12.3 here. */
export function positionOfRow(row: PositionRow): Position {
  const readings: Record<string, unknown> = {}
  for (const { key, sql } of ATTRIBUTE_READINGS) {
    if (row[sql] !== null) readings[key] = row[sql]
  }
  return {
    device: row.device_id,
    fixTime: row.fix_time.toISOString(),
    deviceTime: row.device_time?.toISOString() ?? null,
    receivedAt: row.received_at.toISOString(),
    latitude: row.latitude,
    longitude: row.longitude,
    altitude: row.altitude_m,
    speed: row.speed_kmh,
    course: row.course_deg,
    accuracy: row.accuracy_m,
    hdop: row.hdop,
    satellites: row.satellites,
    valid: row.valid,
    quality: qualityNames(row.quality),
    attributes: row.attributes === null ? readings : { ...readings, ...JSON.parse(row.attributes) },
  }
}

/** A cursor is the key of the last row that was read: base64url of `microseconds since 1970.digest`. */
function cursorOf(row: PositionRow): string {
  return Buffer.from(`${row.fix_time_us}.${row.digest_text}`).toString('base64url')
}

function parseCursor(cursor: string): { fixTime: string; digest: string } {
  const parts = /^(\d{1,16})\.(-?\d{1,19})$/.exec(
    cursor.length > 64 ? '' : Buffer.from(cursor, 'base64url').toString('latin1'),
  )
  if (parts === null || BigInt.asIntN(64, BigInt(parts[2]!)) !== BigInt(parts[2]!)) {
    throw new CursorError(
      `"${cursor.slice(0, 64)}" is not a cursor of this list: start again without one, or give "next" of the answer before`,
    )
  }
  const us = Number(parts[1])
  const fixTime = new Date(Math.floor(us / 1000)).toISOString().replace('Z', `${us % 1000}`.padStart(3, '0'))
  return { fixTime: `${fixTime}Z`, digest: parts[2]! }
}
