/** Geofences in the database, through the functions that keep tenants apart; see `withTenant` in tenancy.ts. */
import type pg from 'pg'
import type { Geofence, GeofenceRule, GeofenceShape } from '../../schemas/geofence.ts'

const FIELDS = `id, organization_id AS "organizationId", name, time_zone AS "timeZone", rules, disabled, version,
  created_at AS "createdAt", updated_at AS "updatedAt"`
const COLUMNS = `${FIELDS}, shape`

type Row = Omit<Geofence, 'createdAt' | 'updatedAt'> & { createdAt: Date; updatedAt: Date }

/**
 * Characters of the shapes of one answer: it ends early, after one geofence at least. A shape of 10,000 vertices has a
 * fifth of it.
 */
export const ANSWER_SHAPES_LENGTH_MAX = 2 * 1024 * 1024

/** Degrees; west > east across the antimeridian. */
export interface DegreeBox {
  readonly west: number
  readonly south: number
  readonly east: number
  readonly north: number
}

export interface NewGeofence {
  readonly name: string
  /** JSON of the shape. */
  readonly shape: string
  readonly bounds: DegreeBox
}

/** What all geofences of one insertion share. */
export interface GeofenceTerms {
  readonly organizationId: number
  readonly timeZone: string
  readonly rules: readonly GeofenceRule[]
  readonly disabled: boolean
}

export interface GeofenceQuery {
  /** Null for all, which a super admin sees only. */
  readonly organizationId: number | null
  /** Part of the name, in either case. */
  readonly name?: string | undefined
  /** Those whose box meets this one. */
  readonly box?: DegreeBox | undefined
  /** Id that all are after. */
  readonly after: number
  readonly limit: number
}

/**
 * Geofences by id, as many as {@link ANSWER_SHAPES_LENGTH_MAX} allows.
 * @returns `more` says that there are others after these.
 */
export async function findGeofences(
  client: pg.ClientBase,
  { organizationId, name, box, after, limit }: GeofenceQuery,
): Promise<{ items: Geofence[]; more: boolean }> {
  const { rows } = await client.query<Row>(
    `SELECT ${FIELDS}, ${SHAPE_IN_ROOM('id')} FROM find_geofences($1, $2, $3, $4, $5, $6, $7, $8) ORDER BY id`,
    [organizationId, name, box?.west, box?.south, box?.east, box?.north, after, limit + 1],
  )
  const { items, more } = inRoom(rows, limit)
  return { items: items.map(itemOf), more }
}

/** Null where the shapes up to this one are too long for one answer. */
const SHAPE_IN_ROOM = (order: string) => `CASE
  WHEN row_number() OVER (ORDER BY ${order}) = 1
    OR sum(length(shape::text)) OVER (ORDER BY ${order}) <= ${ANSWER_SHAPES_LENGTH_MAX} THEN shape END AS shape`

function inRoom<T extends { readonly shape: GeofenceShape | null }>(
  rows: readonly T[],
  limit: number,
): { items: T[]; more: boolean } {
  const cut = rows.findIndex(({ shape }) => shape === null)
  const items = rows.slice(0, cut === -1 ? limit : Math.min(cut, limit))
  return { items, more: items.length < rows.length }
}

export async function findGeofence(client: pg.ClientBase, id: number): Promise<Geofence | undefined> {
  const { rows } = await client.query<Row>(`SELECT ${COLUMNS} FROM geofences WHERE id = $1`, [id])
  return rows[0] && itemOf(rows[0])
}

/** Inserts geofences as one statement. */
export async function insertGeofences(
  client: pg.ClientBase,
  { organizationId, timeZone, rules, disabled }: GeofenceTerms,
  geofences: readonly NewGeofence[],
): Promise<number[]> {
  const { rows } = await client.query<{ id: number }>(
    `INSERT INTO geofences (organization_id, time_zone, rules, disabled, name, shape, west, south, east, north)
     SELECT $1, $2, $3, $4, name, shape::json, west, south, east, north
     FROM unnest($5::text[], $6::text[], $7::float8[], $8::float8[], $9::float8[], $10::float8[])
       WITH ORDINALITY AS given (name, shape, west, south, east, north, place)
     ORDER BY place RETURNING id`,
    [
      organizationId,
      timeZone,
      JSON.stringify(rules),
      disabled,
      geofences.map(({ name }) => name),
      geofences.map(({ shape }) => shape),
      geofences.map(({ bounds }) => bounds.west),
      geofences.map(({ bounds }) => bounds.south),
      geofences.map(({ bounds }) => bounds.east),
      geofences.map(({ bounds }) => bounds.north),
    ],
  )
  // Ids are counted up in the order of the rows.
  return rows.map(({ id }) => id).sort((a, b) => a - b)
}

export interface GeofenceChange {
  readonly name: string | undefined
  /** JSON, and the bounds of it. */
  readonly shape: { readonly text: string; readonly bounds: DegreeBox } | undefined
  readonly timeZone: string | undefined
  readonly rules: readonly GeofenceRule[] | undefined
  readonly disabled: boolean | undefined
}

/** Changes what is not undefined. @returns undefined if it is gone. */
export async function updateGeofence(
  client: pg.ClientBase,
  id: number,
  { name, shape, timeZone, rules, disabled }: GeofenceChange,
): Promise<Geofence | undefined> {
  const { rows } = await client.query<Row>(
    `UPDATE geofences SET name = coalesce($2, name), shape = coalesce($3, shape), west = coalesce($4, west),
       south = coalesce($5, south), east = coalesce($6, east), north = coalesce($7, north),
       time_zone = coalesce($8, time_zone), rules = coalesce($9, rules), disabled = coalesce($10, disabled)
     WHERE id = $1 RETURNING ${COLUMNS}`,
    [
      id,
      name,
      shape?.text,
      shape?.bounds.west,
      shape?.bounds.south,
      shape?.bounds.east,
      shape?.bounds.north,
      timeZone,
      rules && JSON.stringify(rules),
      disabled,
    ],
  )
  return rows[0] && itemOf(rows[0])
}

/** A version of a geofence; `replacedAt` is null in the one that holds. */
export interface GeofenceVersionRow {
  readonly version: number
  readonly shape: GeofenceShape
  readonly timeZone: string
  readonly rules: readonly GeofenceRule[]
  readonly disabled: boolean
  readonly replacedAt: Date | null
}

/**
 * Versions of a geofence, the newest first, as many as {@link ANSWER_SHAPES_LENGTH_MAX} allows.
 * @param before Version that all are before.
 */
export async function findGeofenceVersions(
  client: pg.ClientBase,
  id: number,
  before: number | undefined,
  limit: number,
): Promise<{ items: GeofenceVersionRow[]; more: boolean }> {
  const { rows } = await client.query<GeofenceVersionRow>(
    `SELECT version, time_zone AS "timeZone", rules, disabled, replaced_at AS "replacedAt",
       ${SHAPE_IN_ROOM('version DESC')}
     FROM (SELECT * FROM (
       SELECT version, shape, time_zone, rules, disabled, NULL AS replaced_at FROM geofences WHERE id = $1
       UNION ALL
       SELECT version, shape, time_zone, rules, disabled, replaced_at FROM geofence_versions WHERE geofence_id = $1
     ) versions WHERE $2::integer IS NULL OR version < $2 ORDER BY version DESC LIMIT $3) page
     ORDER BY version DESC`,
    [id, before, limit + 1],
  )
  return inRoom(rows, limit)
}

/** How many geofences an organisation has, counted up to `limit`. */
export async function countGeofences(
  client: pg.ClientBase,
  organizationId: number,
  limit: number,
): Promise<number> {
  const { rows } = await client.query<{ count: number }>('SELECT count_geofences($1, $2) AS count', [
    organizationId,
    limit,
  ])
  return rows[0]!.count
}

/** A place, degrees. */
export interface Place {
  readonly longitudeDeg: number
  readonly latitudeDeg: number
}

/**
 * How many geofences of the organisation have a box with each of the places in it, counted up to `limit`.
 * @param but Id of a geofence that is left out.
 */
export async function countOverlaps(
  client: pg.ClientBase,
  organizationId: number,
  places: readonly Place[],
  limit: number,
  but?: number,
): Promise<number[]> {
  const { rows } = await client.query<{ count: number }>(
    'SELECT count FROM count_overlaps($1, $2, $3, $4, $5) WITH ORDINALITY AS found (count, number) ORDER BY number',
    [
      organizationId,
      places.map(({ longitudeDeg }) => longitudeDeg),
      places.map(({ latitudeDeg }) => latitudeDeg),
      but,
      limit,
    ],
  )
  return rows.map(({ count }) => count)
}

/** Centre of a box. */
export function centreOf({ west, south, east, north }: DegreeBox): Place {
  const middle = (west + (west > east ? east + 360 : east)) / 2
  return { longitudeDeg: middle > 180 ? middle - 360 : middle, latitudeDeg: (south + north) / 2 }
}

export function boxHas(
  { west, south, east, north }: DegreeBox,
  { longitudeDeg, latitudeDeg }: Place,
): boolean {
  if (latitudeDeg < south || latitudeDeg > north) return false
  return west > east
    ? longitudeDeg >= west || longitudeDeg <= east
    : longitudeDeg >= west && longitudeDeg <= east
}

function itemOf(row: Row): Geofence {
  return { ...row, createdAt: row.createdAt.toISOString(), updatedAt: row.updatedAt.toISOString() }
}
