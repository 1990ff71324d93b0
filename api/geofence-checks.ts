/** What is asked of a geofence before it is stored: its shape, the groups of its rules, and room for it. */
import type { MiddlewareHandler } from 'hono'
import type pg from 'pg'
import { compileShape, ShapeError } from '../geofence/shapes/shape.ts'
import { type GeofenceRule, type GeofenceShape, VERTICES_MAX } from '../schemas/geofence.ts'
import { centreOf, countGeofences, countOverlaps, type DegreeBox } from '../storage/geofences/geofences.ts'
import type { GeofenceOptions } from './options.ts'
import { ApiError, invalidFields } from './problem.ts'
import type { ApiEnv } from './route.ts'

/** Longest body with a shape, bytes: 10,000 vertices of 100 bytes each. */
export const SHAPE_BODY_BYTES_MAX = 1024 * 1024
/**
 * Commas and opening brackets of such a body: a vertex has four numbers at most, and may have a ring and a polygon with
 * three others; the rest is for the rules.
 */
const BODY_PARTS_MAX = 7 * VERTICES_MAX

/** A body of many parts is refused before it is parsed: telling of each what is wrong takes long. */
export const refuseManyVertices: MiddlewareHandler<ApiEnv> = async (c, next) => {
  const text = await c.req.text()
  let parts = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === COMMA || code === BRACKET) parts++
  }
  if (parts > BODY_PARTS_MAX) {
    throw shapeProblem(
      new ShapeError(
        'shape-too-many-vertices',
        `the shape has more than ${VERTICES_MAX} vertices: simplify it or split it`,
      ),
    )
  }
  await next()
}
const COMMA = 0x2c
const BRACKET = 0x5b

/** A shape as it is stored. */
export interface CheckedShape {
  /** JSON. */
  readonly text: string
  readonly bounds: DegreeBox
}

/** @throws ApiError 422 with the code of the reason. */
export function checkShape(shape: GeofenceShape): CheckedShape {
  try {
    return { text: JSON.stringify(shape), bounds: compileShape(shape).bounds }
  } catch (error) {
    throw shapeProblem(error)
  }
}

/** The error of a shape that `compileShape` refuses; all else as it is. */
export function shapeProblem(error: unknown): unknown {
  if (!(error instanceof ShapeError)) return error
  const errors = [{ in: 'body', field: 'shape', detail: error.message }] as const
  return new ApiError(422, error.code, error.message, { errors })
}

/**
 * Where rules name groups, they must be of the organisation.
 * @param part Of the request, where the rules are.
 * @throws ApiError 400
 */
export async function checkGroups(
  client: pg.ClientBase,
  organizationId: number,
  rules: readonly GeofenceRule[],
  part: 'body' | 'query' = 'body',
): Promise<void> {
  const named = new Set(rules.flatMap(({ group }) => (group === null ? [] : [group])))
  if (named.size === 0) return
  const { rows } = await client.query<{ id: number }>(
    'SELECT id FROM device_groups WHERE organization_id = $1 AND id = ANY ($2)',
    [organizationId, [...named]],
  )
  for (const { id } of rows) named.delete(id)
  const errors = rules.flatMap(({ group }, rule) => {
    if (group === null || !named.has(group)) return []
    return [
      { in: part, field: `rules.${rule}.group`, detail: `there is no group ${group} in the organisation` },
    ]
  })
  if (errors.length > 0) throw invalidFields(errors)
}

/** Geofences of one organisation are added and moved by one transaction at a time: else limits could be passed. */
export async function lockGeofences(client: pg.ClientBase, organizationId: number): Promise<void> {
  await client.query("SELECT pg_advisory_xact_lock(hashtext('geofences'), $1)", [organizationId])
}

/**
 * Whether there is room for a geofence of these bounds; `but` is the geofence itself, where it is moved.
 * @throws ApiError 409
 */
export async function checkRoom(
  client: pg.ClientBase,
  { perOrganizationMax, overlapsMax, onLimit }: GeofenceOptions,
  organizationId: number,
  bounds: DegreeBox,
  but?: number,
): Promise<void> {
  // One that is moved is counted already.
  if (
    but === undefined &&
    (await countGeofences(client, organizationId, perOrganizationMax)) >= perOrganizationMax
  ) {
    onLimit('geofencesPerOrganizationMax')
    throw tooManyGeofences(perOrganizationMax)
  }
  const [overlaps] = await countOverlaps(client, organizationId, [centreOf(bounds)], overlapsMax, but)
  if (overlaps! >= overlapsMax) {
    onLimit('geofenceOverlapsMax')
    throw geofenceOverlaps(overlapsMax)
  }
}

export function tooManyGeofences(max: number): ApiError {
  return new ApiError(
    409,
    'too-many-geofences',
    `The organisation has ${max} geofences already; delete some first.`,
  )
}

export function geofenceOverlaps(max: number): ApiError {
  return new ApiError(
    409,
    'geofence-overlaps',
    `There are ${max} geofences already whose box has the centre of this one's in it; delete or move some first.`,
  )
}
