/** The track of a device, whole and streamed: simplified for maps, or as a file. */
import type { ServerResponse } from 'node:http'
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { z } from 'zod'
import { trackPage } from '../storage/positions/tracks.ts'
import type { Operation } from './access.ts'
import type { ApiOptions } from './options.ts'
import { IdText } from './page.ts'
import { ApiError, invalidFields, notFound } from './problem.ts'
import { numberText, TimeText } from './query.ts'
import { type ApiEnv, asCaller, callerOf, route } from './route.ts'
import {
  FILE_FORMATS,
  JSON_TRACK,
  NDJSON_TRACK,
  type TrackedDevice,
  type TrackFormat,
} from './track-formats.ts'
import { bodyOf, type ReadPage, writeTrack } from './track-stream.ts'

/** Length of a track whose beginning is not given, ms. */
const TRACK_MS = 24 * 3600 * 1000
export const TOLERANCE_M_MAX = 10_000
/** Fixes that are read at a time. */
const PAGE_FIXES = 2_000
/** Tracks that are sent at a time: each may hold a page. One that nobody reads is ended by the timeout of its socket. */
export const TRACKS_MAX = 16
const RETRY_AFTER_S = 5

const tags = ['Positions']
const request = {
  params: z.object({ id: IdText }),
  query: z.object({
    from: TimeText.optional().describe('time of the first fix; a day before `to` if left out'),
    to: TimeText.optional().describe('time before which the last fix lies; now if left out'),
    tolerance: numberText(0, TOLERANCE_M_MAX).default(0).meta({
      type: 'number',
      minimum: 0,
      maximum: TOLERANCE_M_MAX,
      default: 0,
      description:
        'm: fixes are left out that are no further than this from the great circle between those before and after them that are there; 0 = all are there',
    }),
  }),
}
const STREAMED =
  'Fixes that are not doubted, by time, in one answer of any length, which is sent as it is read: where it can not be ' +
  'read to its end the connection breaks. With `tolerance` one pass keeps the fixes that the line needs.'

const TrackFixItem = z
  .object({
    fixTime: z.iso.datetime(),
    latitude: z.number(),
    longitude: z.number(),
    altitude: z.number().nullable().describe('m'),
    speed: z.number().nullable().describe('km/h'),
    course: z.number().nullable().describe('degrees clockwise from north'),
  })
  .meta({ id: 'TrackFix' })

const getTrack = route({
  method: 'get',
  path: '/devices/{id}/track',
  operationId: 'getDeviceTrack',
  tags,
  summary: 'Whole track of a device',
  description: `${STREAMED} JSON; NDJSON where \`Accept\` names \`${NDJSON_TRACK.type}\`.`,
  request,
  responses: {
    200: {
      description: JSON_TRACK.description,
      content: {
        'application/json': { schema: z.array(TrackFixItem) },
        'application/x-ndjson': { schema: z.string() },
      },
    },
  },
})

/** Declares the route of a file. */
function fileRoute<const E extends keyof typeof FILE_FORMATS>(extension: E, operationId: Operation) {
  const { type, description } = FILE_FORMATS[extension]
  return route({
    method: 'get',
    path: `/devices/{id}/track.${extension}`,
    operationId,
    tags,
    summary: `Track of a device as ${extension.toUpperCase()}`,
    description: `${STREAMED} ${description}.`,
    request,
    responses: { 200: { description: 'a file', content: { [type]: { schema: z.string() } } } },
  })
}

type TrackRequest = z.output<typeof request.query> & { readonly id: number }

/** Routes `/devices/{id}/track` and its files. */
export function tracks({ pool, log }: ApiOptions): OpenAPIHono<ApiEnv> {
  let sent = 0

  async function answer(
    c: Context<ApiEnv>,
    { id, to = new Date(), from = new Date(to.getTime() - TRACK_MS), tolerance }: TrackRequest,
    format: TrackFormat,
    extension?: string,
  ): Promise<Response> {
    if (from > to) throw invalidFields([{ in: 'query', field: 'from', detail: 'must not be after `to`' }])
    callerOf(c)
    if (sent >= TRACKS_MAX) {
      throw new ApiError(503, 'busy', 'Other tracks are being sent; try again in a moment.', {
        headers: { 'Retry-After': String(RETRY_AFTER_S) },
      })
    }
    sent++
    const read: ReadPage = (after) =>
      asCaller(c, pool, (client) => trackPage(client, { device: id, from, to, after, limit: PAGE_FIXES }))
    try {
      const device = await asCaller(c, pool, async (client) => {
        const { rows } = await client.query<TrackedDevice>('SELECT id, name FROM devices WHERE id = $1', [id])
        return rows[0]
      })
      if (device === undefined) throw notFound(`device ${id}`)
      const first = await read(null)
      const headers = {
        'Content-Type': format.type,
        ...(extension !== undefined && { 'Content-Disposition': attachment(device, extension) }),
      }
      if (c.req.method === 'HEAD') {
        sent--
        return c.body(null, 200, headers)
      }
      const { outgoing } = (c.env ?? {}) as { outgoing?: ServerResponse }
      const body = bodyOf(
        writeTrack(first, read, tolerance, format.writer(device)),
        (error) => {
          sent--
          if (error !== undefined)
            log.warn({ err: error, device: id }, 'a track could not be sent to its end')
        },
        // The adapter would print the error of a stream that fails.
        outgoing && (() => outgoing.destroy()),
      )
      return c.body(body, 200, headers)
    } catch (error) {
      sent--
      throw error
    }
  }

  const app = new OpenAPIHono<ApiEnv>()
  app.openapi(getTrack, (c) => {
    const lines = c.req.header('Accept')?.includes(NDJSON_TRACK.type) === true
    const format = lines ? NDJSON_TRACK : JSON_TRACK
    // What is streamed is no value that could be held to a type.
    return answer(c, { ...c.req.valid('param'), ...c.req.valid('query') }, format) as Promise<never>
  })
  for (const [extension, operationId] of FILES) {
    app.openapi(fileRoute(extension, operationId), (c) =>
      answer(c, { ...c.req.valid('param'), ...c.req.valid('query') }, FILE_FORMATS[extension], extension),
    )
  }
  return app
}

const FILES = [
  ['gpx', 'exportDeviceTrackGpx'],
  ['kml', 'exportDeviceTrackKml'],
  ['geojson', 'exportDeviceTrackGeojson'],
  ['csv', 'exportDeviceTrackCsv'],
] as const

/** Name of the file: RFC 6266, with a plain name for whoever does not read the encoded one. */
function attachment({ id, name }: TrackedDevice, extension: string): string {
  const encoded = encodeURIComponent(`${name}.${extension}`).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `attachment; filename="device-${id}.${extension}"; filename*=UTF-8''${encoded}`
}
