import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { gpx, kml } from '@tmcw/togeojson'
import { DOMParser } from '@xmldom/xmldom'
import type { FeatureCollection, LineString } from 'geojson'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture, PASSWORD } from './api-fixture.ts'
import { TRACKS_MAX } from './tracks.ts'

/** A name that XML and headers have to take care of. */
const NAME = `Løkke & <Sønner> "7"`
const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const COUNT = 5_000
/** More than the sockets between hold. */
const LONG_COUNT = 60_000
const range = `from=${new Date(START_MS).toISOString()}&to=${new Date(START_MS + COUNT * 1000).toISOString()}`

let api: ApiFixture
let device: number
/** Crosses the antimeridian. */
let ship: number
let long: number

beforeAll(async () => {
  api = await apiFixture()
  device = await api.addDevice(api.north.id, 'track 1')
  ship = await api.addDevice(api.north.id, 'ship')
  long = await api.addDevice(api.north.id, 'long')
  await api.pool.query('UPDATE devices SET name = $2 WHERE id = $1', [device, NAME])
  const insert = `INSERT INTO positions (device_id, fix_time, received_at, latitude, longitude, altitude_m, speed_kmh,
      course_deg, satellites, hdop, digest, quality, valid)`
  await api.pool.query(
    `${insert} SELECT $1, t, t + interval '1 s', 60 + n * 1e-4, 10 + sin(n / 100.0) * 1e-2,
       CASE WHEN n % 2 = 0 THEN 12.5 END, 36, n % 360, 9, 0.8, n, 0, true
     FROM generate_series(0, $3 - 1) n, LATERAL (SELECT $2::timestamptz + n * interval '1 s' AS t) at`,
    [device, new Date(START_MS), COUNT],
  )
  // What tracks leave out: a doubtful fix, and a message without a place.
  await api.pool.query(
    `${insert} VALUES ($1, $2, $2, 0, 0, NULL, NULL, NULL, NULL, NULL, -1, 4, true),
       ($1, $2, $2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, -2, 0, false)`,
    [device, new Date(START_MS + 500)],
  )
  await api.pool.query(
    `${insert} SELECT $1, $2::timestamptz + n * interval '1 s', now(), -17, (179.5 + n * 0.25 + 180)::numeric % 360 - 180,
       NULL, NULL, NULL, NULL, NULL, n, 0, true FROM generate_series(0, 4) n`,
    [ship, new Date(START_MS)],
  )
  await api.pool.query(
    `${insert} SELECT $1, $2::timestamptz + n * interval '1 ms', now(), 1, 1, 1, 1, 1, 1, 1, n, 0, true
     FROM generate_series(0, ${LONG_COUNT - 1}) n`,
    [long, new Date(START_MS)],
  )
})
afterAll(() => api.close())

const viewer = (path: string, headers: Record<string, string> = {}) =>
  api.north.as.viewer('GET', `/api/v1/devices/${path}`, undefined, headers)

/** All fixes as they are stored, longitude and latitude. */
async function stored(id: number): Promise<[number, number][]> {
  const { rows } = await api.pool.query<{ longitude: number; latitude: number }>(
    'SELECT longitude, latitude FROM positions WHERE device_id = $1 AND quality = 0 AND latitude IS NOT NULL ORDER BY fix_time',
    [id],
  )
  return rows.map(({ longitude, latitude }) => [longitude, latitude])
}

const placeOf = ({ longitude, latitude }: { longitude: number; latitude: number }) => [longitude, latitude]
const parsed = (text: string) => new DOMParser().parseFromString(text, 'text/xml') as never
const flat = (places: readonly number[][]) => places.map(([longitude, latitude]) => [longitude, latitude])

/** Lines of all features, in their order; a line that begins where the one before ends goes on with it. */
function lines(collection: FeatureCollection): number[][][] {
  const found: number[][][] = []
  for (const { geometry } of collection.features) {
    const { coordinates } = geometry as LineString
    const last = found.at(-1)
    if (last !== undefined && String(last.at(-1)) === String(coordinates[0]))
      last.push(...coordinates.slice(1))
    else found.push([...coordinates])
  }
  return found
}

describe('a track', () => {
  it('has all fixes that are not doubted, as an array', async () => {
    const { status, body, headers } = await viewer(`${device}/track?${range}`)
    expect([status, headers.get('Content-Type')]).toEqual([200, 'application/json'])
    expect(body.map(placeOf)).toEqual(await stored(device))
    expect(body[1]).toEqual({
      fixTime: '2026-01-02T03:04:06.000Z',
      latitude: 60.0001,
      longitude: expect.closeTo(10.0001, 6),
      altitude: null,
      speed: 36,
      course: 1,
    })
  })

  it('has a fix a line where that is asked for', async () => {
    const response = await fetch(`${api.origin}/api/v1/devices/${device}/track?${range}`, {
      headers: { Authorization: `Bearer ${api.north.tokens.viewer}`, Accept: 'application/x-ndjson' },
    })
    expect(response.headers.get('Content-Type')).toBe('application/x-ndjson')
    const text = await response.text()
    const fixes = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(fixes).toEqual((await viewer(`${device}/track?${range}`)).body)
  })

  it('has the fixes that the line needs, where a tolerance is given', async () => {
    const whole = (await viewer(`${device}/track?${range}`)).body
    const { body } = await viewer(`${device}/track?${range}&tolerance=20`)
    expect(body.length).toBeLessThan(COUNT / 20)
    expect([body[0], body.at(-1)]).toEqual([whole[0], whole.at(-1)])
    const times = new Set(whole.map(({ fixTime }: { fixTime: string }) => fixTime))
    expect(body.every(({ fixTime }: { fixTime: string }) => times.has(fixTime))).toBe(true)
  })

  it('is empty where there are no fixes', async () => {
    const none = 'from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z'
    expect((await viewer(`${device}/track?${none}`)).body).toEqual([])
    for (const extension of ['gpx', 'kml', 'geojson', 'csv']) {
      const { status, body } = await viewer(`${device}/track.${extension}?${none}`)
      expect(status).toBe(200)
      if (extension === 'csv') expect(body).toMatch(/^fix_time_utc,[^\r\n]+\r\n$/)
      else if (extension === 'geojson') expect(body).toEqual({ type: 'FeatureCollection', features: [] })
      else {
        const { features } = extension === 'gpx' ? gpx(parsed(body)) : kml(parsed(body))
        expect(features.filter(({ geometry }) => geometry !== null)).toEqual([])
      }
    }
  })

  it('is refused with what is wrong', async () => {
    for (const query of [
      'tolerance=-1',
      'tolerance=10001',
      'from=yesterday',
      `${range.replace('from', 'to')}`,
    ]) {
      expect((await viewer(`${device}/track?${query}`)).status, query).toBe(400)
    }
    expect((await viewer(`${device}/track?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z`)).status).toBe(
      400,
    )
    expect((await viewer('2147483647/track.gpx')).status).toBe(404)
    expect((await viewer(`${device}/track.pdf`)).status).toBe(404)
  })
})

describe('a file of a track', () => {
  it('has a name, also for who asks only for its head', async () => {
    const { status, headers, body } = await api.north.as.viewer(
      'HEAD',
      `/api/v1/devices/${device}/track.gpx?${range}`,
    )
    expect([status, body]).toEqual([200, undefined])
    expect(headers.get('Content-Type')).toBe('application/gpx+xml')
    expect(headers.get('Content-Disposition')).toBe(
      `attachment; filename="device-${device}.gpx"; filename*=UTF-8''L%C3%B8kke%20%26%20%3CS%C3%B8nner%3E%20%227%22.gpx`,
    )
  })

  it('as GPX is what another reader reads as the stored fixes', async () => {
    const { body } = await viewer(`${device}/track.gpx?${range}`)
    const { features } = gpx(parsed(body))
    expect(features).toHaveLength(1)
    const { geometry, properties } = features[0]!
    expect(properties).toMatchObject({ name: NAME })
    expect(flat((geometry as LineString).coordinates)).toEqual(await stored(device))
    const { times } = properties!.coordinateProperties
    expect([times.length, times[1]]).toEqual([COUNT, '2026-01-02T03:04:06.000Z'])
    // Order of GPX 1.1; speed in m/s.
    expect(body).toContain(
      '<ele>12.5</ele><time>2026-01-02T03:04:05.000Z</time><sat>9</sat><hdop>0.8</hdop><extensions>' +
        '<gpxtpx:TrackPointExtension><gpxtpx:speed>10</gpxtpx:speed><gpxtpx:course>0</gpxtpx:course>' +
        '</gpxtpx:TrackPointExtension></extensions></trkpt>',
    )
  })

  it('as KML is what another reader reads as the stored fixes', async () => {
    const { body } = await viewer(`${device}/track.kml?${range}`)
    const { features } = kml(parsed(body))
    expect(features).toHaveLength(1)
    const { geometry, properties } = features[0]!
    expect(properties).toMatchObject({ name: NAME })
    if (geometry?.type !== 'GeometryCollection') throw new Error(`a ${geometry?.type} was read`)
    const tracks = geometry.geometries.map((track) => (track as LineString).coordinates)
    expect(tracks.map(({ length }) => length)).toEqual([1_000, 1_000, 1_000, 1_000, 1_000])
    expect(flat(tracks.flat())).toEqual(await stored(device))
    expect(body.match(/<when>/g)).toHaveLength(COUNT)
    expect(body.match(/<gx:SimpleArrayData name="speedKmh">(<gx:value>36<\/gx:value>){1000}</g)).toHaveLength(
      5,
    )
  })

  it('as GeoJSON is lines with times, which go on where the one before ends', async () => {
    const { body } = await viewer(`${device}/track.geojson?${range}`)
    const collection = body as FeatureCollection
    const whole = lines(collection)
    expect(whole).toHaveLength(1)
    expect(flat(whole[0]!)).toEqual(await stored(device))
    for (const { geometry, properties } of collection.features) {
      const { times, speedsKmh } = properties!.coordinateProperties
      const { length } = (geometry as LineString).coordinates
      expect([times.length, speedsKmh.length]).toEqual([length, length])
      expect(properties).toMatchObject({ device, name: NAME })
    }
  })

  it('as GeoJSON is cut at the antimeridian', async () => {
    const { body } = await viewer(`${ship}/track.geojson?${range}`)
    expect(lines(body)).toEqual([
      [
        [179.5, -17],
        [179.75, -17],
      ],
      [
        [-180, -17],
        [-179.75, -17],
        [-179.5, -17],
      ],
    ])
  })

  it('as CSV has a header with units and a line for each fix, each ended by CR and LF', async () => {
    const { body, headers } = await viewer(`${device}/track.csv?${range}`)
    expect(headers.get('Content-Type')).toBe('text/csv; charset=utf-8; header=present')
    const [header, ...rows] = (body as string).split('\r\n')
    expect(header).toBe(
      'fix_time_utc,received_at_utc,latitude_deg,longitude_deg,altitude_m,speed_kmh,course_deg,accuracy_m,hdop,satellites',
    )
    expect(rows.pop()).toBe('')
    expect(rows.map((row) => row.split(',').slice(2, 4).map(Number).reverse())).toEqual(await stored(device))
    expect(rows[0]).toBe('2026-01-02T03:04:05.000Z,2026-01-02T03:04:06.000Z,60,10,12.5,36,0,,0.8,9')
  })
})

describe('a track on its way', () => {
  const open = async (path: string, token = api.north.tokens.viewer): Promise<IncomingMessage> => {
    const call = get(`${api.origin}/api/v1/devices/${path}`, {
      agent: false,
      headers: { Authorization: `Bearer ${token}` },
    })
    const [response] = await once(call, 'response')
    return response
  }
  const longRange = `from=${new Date(START_MS).toISOString()}&to=${new Date(START_MS + 1e6).toISOString()}`

  it('has its place until it is taken or its client is gone', async () => {
    const path = `${long}/track.gpx?${longRange}`
    const responses = await Promise.all(Array.from({ length: TRACKS_MAX }, () => open(path)))
    expect(responses.map(({ statusCode }) => statusCode)).toEqual(responses.map(() => 200))
    const refused = await open(path)
    refused.resume()
    expect([refused.statusCode, refused.headers['retry-after']]).toEqual([503, '5'])
    const [read, ...unread] = responses
    let bytes = 0
    for await (const piece of read!) bytes += piece.length
    expect(bytes).toBeGreaterThan(LONG_COUNT * 100)
    const next = await open(path)
    expect(next.statusCode).toBe(200)
    for (const response of [next, ...unread]) response.destroy()
    // The server hears of it a moment later.
    await expect
      .poll(async () => {
        const response = await open(`${path}&tolerance=10`)
        response.resume()
        return response.statusCode
      })
      .toBe(200)
  })

  it('breaks off, and is not taken for whole, when its caller is logged out', async () => {
    const email = 'dispatcher@north.example.com'
    const { body: session } = await api.nobody('POST', '/api/v1/auth/login', {
      email,
      password: PASSWORD,
    })
    const response = await open(`${long}/track.gpx?${longRange}`, session.accessToken)
    expect(response.statusCode).toBe(200)
    await api.nobody('POST', '/api/v1/auth/logout', { refreshToken: session.refreshToken })
    let text = ''
    const whole = (async () => {
      for await (const piece of response) text += piece
    })()
    await expect(whole).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(text).not.toContain('</gpx>')
  })
})
