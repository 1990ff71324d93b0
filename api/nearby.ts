/** Which devices are where: in a geofence, near a place, inside a shape. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { z } from 'zod'
import { compileShape, type Shape } from '../geofence/shapes/shape.ts'
import { GeofenceShape } from '../schemas/geofence.ts'
import { Id, Time } from '../schemas/text.ts'
import { type DeviceFix, nearestDevices } from '../storage/positions/nearby.ts'
import { devicesDuring, devicesNow } from './devices-within.ts'
import { refuseManyVertices, SHAPE_BODY_BYTES_MAX, shapeProblem } from './geofence-checks.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, encodeCursor, IdText, integerText, limitOf, PAGE_ROWS, page, pageOf } from './page.ts'
import { ApiError, invalidFields, notFound } from './problem.ts'
import { LatitudeText, LongitudeText, numberText } from './query.ts'
import { type ApiEnv, asCaller, body, content, route } from './route.ts'

const NEAREST_MAX = 100
/** Half of the globe, and more. */
const DISTANCE_M_MAX = 20_100_000
const DAY_MS = 24 * 3600 * 1000
/** Longest window of a search. */
const WINDOW_DAYS_MAX = 31
/** Searches of windows at a time: each keeps a connection for seconds. */
const WINDOW_SEARCHES_MAX = 2
const RETRY_AFTER_S = 5

const NOW =
  'The last fix that is not doubted counts, which is known a second after it is stored, or some seconds where tens of ' +
  'thousands of devices report each second.'

const fix = { device: Id, fixTime: Time, latitude: z.number(), longitude: z.number() }
const DeviceFixItem = z.object(fix).meta({ id: 'DeviceFix' })
const NearDevice = z.object({ ...fix, distanceM: z.number() }).meta({ id: 'NearDevice' })
const DeviceInside = z
  .object({
    device: Id,
    enteredAt: Time,
    geofenceVersion: z.int().describe('of the geofence, by which it entered'),
  })
  .meta({ id: 'DeviceInside' })

const Moment = z.iso.datetime({ offset: true })
const DevicesWithin = z
  .strictObject({
    shape: GeofenceShape,
    from: Moment.optional().describe('time of the first fix; now is asked for if both are left out'),
    to: Moment.optional().describe('time before which the last one lies; now if left out'),
  })
  .meta({ id: 'DevicesWithin' })

const listInside = route({
  method: 'get',
  path: '/geofences/{id}/devices',
  operationId: 'listGeofenceDevices',
  tags: ['Geofences'],
  summary: 'List the devices that are inside a geofence now',
  description:
    'As of the positions that are stored, by its rules: of devices that it watches, after debouncing.',
  request: {
    params: z.object({ id: IdText }),
    query: z.object({ cursor: cursorOf(Id), limit: limitOf(PAGE_ROWS) }),
  },
  responses: { 200: { description: 'devices by id', content: content(pageOf(DeviceInside)) } },
})

const listNearest = route({
  method: 'get',
  path: '/devices/nearest',
  operationId: 'listNearestDevices',
  tags: ['Devices'],
  summary: 'List the devices that are nearest to a place',
  description: `Distances are those on the sphere of 6,371,008.8 m. ${NOW}`,
  request: {
    query: z.object({
      latitude: LatitudeText,
      longitude: LongitudeText,
      k: integerText(1, NEAREST_MAX).default(10).meta({
        type: 'integer',
        minimum: 1,
        maximum: NEAREST_MAX,
        default: 10,
        description: 'devices at most',
      }),
      maxDistanceM: numberText(0, DISTANCE_M_MAX).optional().describe('only those that are no further away'),
    }),
  },
  responses: {
    200: { description: 'the nearest first', content: content(z.object({ items: z.array(NearDevice) })) },
  },
})

const findWithin = route(
  {
    method: 'post',
    path: '/devices/within',
    operationId: 'findDevicesWithin',
    tags: ['Devices'],
    summary: 'Find the devices that are inside a shape, or were',
    description:
      `Without times those that are inside now. ${NOW} With times those of which any fix lies inside that is not ` +
      `doubted, each with the first such fix; at most ${WINDOW_DAYS_MAX} days. A page may hold fewer than \`limit\`, or ` +
      'none, although `next` is there: it ends where the search takes long. A shape that is not valid is refused (422).',
    request: {
      query: z.object({ cursor: cursorOf(Id), limit: limitOf(PAGE_ROWS) }),
      body: body(DevicesWithin),
    },
    responses: { 200: { description: 'devices by id', content: content(pageOf(DeviceFixItem)) } },
  },
  SHAPE_BODY_BYTES_MAX,
  [refuseManyVertices],
)

/** Routes `/geofences/{id}/devices`, `/devices/nearest` and `/devices/within`; before those of `/devices/{id}`. */
export function nearby({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  let searches = 0
  return new OpenAPIHono<ApiEnv>()
    .openapi(listInside, async (c) => {
      const { id } = c.req.valid('param')
      const { cursor = 0, limit } = c.req.valid('query')
      const rows = await asCaller(c, pool, async (client) => {
        const { rowCount } = await client.query('SELECT FROM geofences WHERE id = $1', [id])
        if (rowCount === 0) throw notFound(`geofence ${id}`)
        const found = await client.query<{ device: number; enteredAt: Date; geofenceVersion: number }>(
          `SELECT device_id AS device, entered_at AS "enteredAt", version AS "geofenceVersion" FROM geofence_visits
           WHERE geofence_id = $1 AND exited_at IS NULL AND device_id > $2 ORDER BY device_id LIMIT $3`,
          [id, cursor, limit + 1],
        )
        return found.rows
      })
      return c.json(
        page(
          rows,
          limit,
          ({ device }) => device,
          (row) => ({ ...row, enteredAt: row.enteredAt.toISOString() }),
        ),
        200,
      )
    })
    .openapi(listNearest, async (c) => {
      const { latitude, longitude, k, maxDistanceM } = c.req.valid('query')
      const query = { latitudeDeg: latitude, longitudeDeg: longitude, maxDistanceM, limit: k }
      const rows = await asCaller(c, pool, (client) => nearestDevices(client, query))
      return c.json({ items: rows.map(({ distanceM, ...row }) => ({ ...itemOf(row), distanceM })) }, 200)
    })
    .openapi(findWithin, async (c) => {
      const { cursor = 0, limit } = c.req.valid('query')
      const { shape: given, from, to } = c.req.valid('json')
      const window = windowOf(from, to)
      const shape = compiled(given)
      if (window !== undefined && searches === WINDOW_SEARCHES_MAX) {
        throw new ApiError(503, 'busy', 'Other searches are under way; try again in a moment.', {
          headers: { 'Retry-After': String(RETRY_AFTER_S) },
        })
      }
      if (window !== undefined) searches++
      try {
        const { items, next } = await asCaller(c, pool, (client) =>
          window === undefined
            ? devicesNow(client, shape, cursor, limit)
            : devicesDuring(client, shape, window, cursor, limit),
        )
        return c.json({ items: items.map(itemOf), next: next === null ? null : encodeCursor(next) }, 200)
      } finally {
        if (window !== undefined) searches--
      }
    })
}

/** @throws ApiError 422 */
function compiled(shape: GeofenceShape): Shape {
  try {
    return compileShape(shape)
  } catch (error) {
    throw shapeProblem(error)
  }
}

/** @throws ApiError 400 */
function windowOf(from: string | undefined, to: string | undefined): { from: Date; to: Date } | undefined {
  if (from === undefined && to === undefined) return undefined
  const field = (name: string, detail: string) => invalidFields([{ in: 'body', field: name, detail }])
  if (from === undefined) throw field('from', 'is needed where `to` is given')
  const window = { from: new Date(from), to: to === undefined ? new Date() : new Date(to) }
  const lengthMs = window.to.getTime() - window.from.getTime()
  // Written so that NaN fails too.
  if (!(lengthMs > 0)) throw field('from', 'must be before `to`')
  if (lengthMs > WINDOW_DAYS_MAX * DAY_MS)
    throw field('from', `must be at most ${WINDOW_DAYS_MAX} days before \`to\``)
  return window
}

function itemOf({ device, fixTime, latitude, longitude }: DeviceFix): z.infer<typeof DeviceFixItem> {
  return { device, fixTime: fixTime.toISOString(), latitude, longitude }
}
