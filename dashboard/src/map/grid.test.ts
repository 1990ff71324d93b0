import type { MultiLineString } from 'geojson'
import { expect, test } from 'vitest'
import { gridLines, gridStepDeg } from './grid.ts'

test('the step suits the view', () => {
  expect(gridStepDeg({ west: -98, east: -97.6, south: 30, north: 30.5 })).toBe(0.05)
  expect(gridStepDeg({ west: -180, east: 180, south: -80, north: 80 })).toBe(30)
})

test('the lines reach past the view and stay on the world', () => {
  for (const view of [
    { west: -98, east: -97.6, south: 30, north: 30.5 },
    { west: -180, east: 180, south: -85, north: 85 },
    { west: 170, east: 180, south: 80, north: 85 },
  ]) {
    const { coordinates } = gridLines(view).geometry as MultiLineString
    const places = coordinates.flat()
    const longitudes = places.map(([longitude]) => longitude!)
    const latitudes = places.map(([, latitude]) => latitude!)
    expect(Math.min(...longitudes)).toBeLessThanOrEqual(view.west)
    expect(Math.max(...longitudes)).toBeGreaterThanOrEqual(Math.min(180, view.east) - 1e-9)
    expect(Math.max(...longitudes.map(Math.abs))).toBeLessThanOrEqual(180)
    expect(Math.max(...latitudes.map(Math.abs))).toBeLessThanOrEqual(85)
    expect(coordinates.length).toBeLessThan(80)
  }
})
