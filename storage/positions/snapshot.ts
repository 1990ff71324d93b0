/** Where devices were at a time, through the function that keeps tenants apart; see `withTenant` in tenancy.ts. */
import type pg from 'pg'
import type { Position } from '../../schemas/position.ts'
import type { DegreeBox } from '../geofences/geofences.ts'
import { POSITION_COLUMNS, type PositionRow, positionOfRow } from './positions.ts'

/**
 * Last undoubted position of each device at or before a time, by id of the device; a device that has none is left out.
 * @param box Only those that lie in it; west > east where it crosses the antimeridian.
 */
export async function positionsAt(
  client: pg.ClientBase,
  at: Date,
  deviceIds: readonly number[],
  box: DegreeBox | undefined,
): Promise<Position[]> {
  const { rows } = await client.query<PositionRow>(
    `SELECT ${POSITION_COLUMNS} FROM positions_at($1, $2)
     WHERE $3::double precision IS NULL OR latitude BETWEEN $4 AND $6
       AND CASE WHEN $3 <= $5 THEN longitude BETWEEN $3 AND $5 ELSE longitude >= $3 OR longitude <= $5 END
     ORDER BY device_id`,
    [at, deviceIds, box?.west, box?.south, box?.east, box?.north],
  )
  return rows.map(positionOfRow)
}
