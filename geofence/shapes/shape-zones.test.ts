/** Zones of a real city, with the faults that real zones have; see fixtures/SOURCES.md. */
import { readFileSync } from 'node:fs'
import { booleanPointInPolygon } from '@turf/turf'
import { expect, test } from 'vitest'
import type { GeofenceShape } from '../../schemas/geofence.ts'
import { importGeofences } from './import.ts'
import { compileShape, edgesOf } from './shape.ts'

interface Zone {
  readonly properties: { readonly name: string; readonly ogc: string }
  readonly geometry: Extract<GeofenceShape, { type: 'Polygon' | 'MultiPolygon' }>
}

const zones = readFileSync(new URL('fixtures/dc-zones.geojsonl', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as Zone)

/** By what the OGC's rules say is wrong. */
const CODES: Record<string, string> = {
  valid: 'ok',
  'Self-intersection': 'shape-self-crossing',
  'Ring Self-intersection': 'shape-self-crossing',
}

test('zones that are valid by the rules of the OGC are taken, and no others', () => {
  const results = importGeofences('geojson', JSON.stringify({ type: 'FeatureCollection', features: zones }))
  const found = results.map((result) => ('error' in result ? result.error.code : 'ok'))
  expect(found).toEqual(zones.map(({ properties }) => CODES[properties.ogc]))
  expect(new Set(zones.map(({ properties }) => properties.ogc))).toEqual(new Set(Object.keys(CODES)))
})

test('zones contain the points that turf says, on their vertices and beside them', () => {
  for (const { geometry, properties } of zones) {
    if (properties.ogc !== 'valid') continue
    const shape = compileShape(geometry)
    const edges = edgesOf(shape)
    for (let at = 0; at < edges.length; at += 4) {
      const [x0, y0, x1, y1] = edges.subarray(at, at + 4) as unknown as [number, number, number, number]
      for (const [x, y] of [
        [x0, y0],
        [x0 + 1e-6, y0],
        [x1 - 1e-6, y0],
        [x0, y1],
        [x1, y1 + 1e-8],
        [(x0 + x1) / 2, (y0 + y1) / 2 + 2e-9],
        [(x0 + x1) / 2 - 2e-9, (y0 + y1) / 2],
      ] as [number, number][]) {
        expect(shape.contains(y, x), `${properties.name} ${x} ${y}`).toBe(
          booleanPointInPolygon([x, y], geometry),
        )
      }
    }
  }
})
