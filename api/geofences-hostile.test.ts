import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture, type Call, refusedUnread } from './api-fixture.ts'

const PATH = '/api/v1/geofences'

let api: ApiFixture
let dispatcher: Call

beforeAll(async () => {
  api = await apiFixture()
  dispatcher = api.north.as.dispatcher
})
afterAll(() => api.close())

type Ring = [number, number][]

describe('a geofence of hostile input', () => {
  const valid = { name: 'x', shape: { type: 'Circle', center: [60, 60], radiusM: 100 } }

  it.each<[string, object, number, string]>([
    ['a ring that crosses itself', { shape: { type: 'Polygon', coordinates: [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]] } }, 422, 'shape-self-crossing'], // biome-ignore format: a table
    ['swapped coordinates', { shape: { type: 'Polygon', coordinates: [[[30, -97], [30.1, -97], [30.1, -97.1], [30, -97]]] } }, 422, 'shape-coordinates-swapped'], // biome-ignore format: a table
    ['no area', { shape: { type: 'Polygon', coordinates: [[[0, 0], [1, 1], [2, 2], [0, 0]]] } }, 422, 'shape-zero-area'], // biome-ignore format: a table
    ['no rings', { shape: { type: 'Polygon', coordinates: [] } }, 422, 'shape-empty'],
    ['a ring that is open', { shape: { type: 'Polygon', coordinates: [[[0, 0], [1, 1], [1, 0], [0, 1]]] } }, 422, 'shape-ring-open'], // biome-ignore format: a table
    [
      'a place off the globe',
      { shape: { type: 'Circle', center: [120, 91], radiusM: 1 } },
      422,
      'shape-out-of-range',
    ],
    [
      'huge numbers',
      { shape: { type: 'Circle', center: [1e308, 1e308], radiusM: 1 } },
      422,
      'shape-out-of-range',
    ],
    [
      'a text for a number',
      { shape: { type: 'Circle', center: ['NaN', 0], radiusM: 1 } },
      400,
      'invalid-request',
    ],
    [
      'a radius of all the world',
      { shape: { type: 'Circle', center: [0, 0], radiusM: 1e9 } },
      400,
      'invalid-request',
    ],
    ['an unknown type', { shape: { type: 'Point', coordinates: [0, 0] } }, 400, 'invalid-request'],
    ['no rules', { rules: [] }, 400, 'invalid-request'],
    ['a rule with an unknown field', { rules: [{ dwell: 5 }] }, 400, 'invalid-request'],
    ['an unknown time zone', { timeZone: 'Mars/Base' }, 400, 'invalid-request'],
    ['crossing with debouncing', { rules: [{ crossingGapS: 60, debounceFixes: 2 }] }, 400, 'invalid-request'],
    ['a group that does not exist', { rules: [{}, { group: 2_000_000 }] }, 400, 'invalid-request'],
    ['a name of control characters', { name: 'a\u0000b' }, 400, 'invalid-request'],
  ])('is refused for %s', async (_, change, status, code) => {
    const { status: answered, body } = await dispatcher('POST', PATH, { ...valid, ...change })
    expect([answered, body.code]).toEqual([status, code])
    expect(body.errors[0].in).toBe('body')
    if (status === 422) expect(body.errors[0].field).toBe('shape')
  })

  it('is refused for numbers that JSON has not, and for parts that are no numbers', async () => {
    for (const text of [
      '{"name":"x","shape":{"type":"Circle","center":[NaN,0],"radiusM":1}}',
      '{"name":"x","shape":{"type":"Circle","center":[1e999,0],"radiusM":1}}',
      `{"name":"x","shape":{"type":"Polygon","coordinates":${'['.repeat(10_000)}${']'.repeat(10_000)}}}`,
      `{"name":"x","shape":{"type":"Polygon","coordinates":[[${'["a","b"],'.repeat(20_000)}[0,0]]]}}`,
    ]) {
      const { status, body } = await dispatcher('POST', PATH, text)
      expect(status, text.slice(0, 60)).toBe(400)
      expect((body.errors ?? []).length).toBeLessThanOrEqual(20)
    }
  })

  it('is refused unparsed for more parts than the largest shape has', async () => {
    for (const coordinates of [
      '['.repeat(200_000),
      `[[${'["a","b"],'.repeat(80_000)}[0,0]]]`,
      `[[[${'"a",'.repeat(200_000)}0]]]`,
    ]) {
      const text = `{"name":"x","shape":{"type":"Polygon","coordinates":${coordinates}}}`
      for (const path of [PATH, '/api/v1/devices/within']) {
        const { status, body } = await dispatcher('POST', path, text)
        expect([status, body.code], text.slice(0, 80)).toEqual([422, 'shape-too-many-vertices'])
      }
    }
  })

  it('is taken with the most vertices, and refused with more, before they are tested', async () => {
    const ring = (vertices: number): Ring => {
      const points = Array.from({ length: vertices - 1 }, (_, i): [number, number] => {
        const angle = (2 * Math.PI * i) / (vertices - 1)
        return [60 + Math.cos(angle), 60 + Math.sin(angle)]
      })
      return [...points, points[0]!]
    }
    const polygon = (vertices: number) => ({
      name: 'many',
      shape: { type: 'Polygon', coordinates: [ring(vertices)] },
    })
    expect((await dispatcher('POST', PATH, polygon(10_000))).status).toBe(201)
    const more = await dispatcher('POST', PATH, polygon(10_001))
    expect([more.status, more.body.code]).toEqual([422, 'shape-too-many-vertices'])
    expect(await refusedUnread(api, PATH, JSON.stringify(polygon(100_000)).length)).toBe(413)
    const short = JSON.stringify({
      name: 'x',
      shape: { type: 'Polygon', coordinates: [[...Array(100_000).fill([1, 2])]] },
    })
    const terse = await dispatcher('POST', PATH, short)
    expect([terse.status, terse.body.code]).toEqual([422, 'shape-too-many-vertices'])
  })
})
