import { expect, test } from 'vitest'
import { compileShape } from '../geofence/shapes/shape.ts'
import { demoGeofences } from './geofences.ts'

test('every geofence of the demo has its place in Austin', async () => {
  const geofences = await demoGeofences()
  expect(new Set(geofences.map(({ name }) => name)).size).toBe(geofences.length)
  for (const { shape } of geofences) {
    const { west, south, east, north } = compileShape(shape).bounds
    expect([west > -98, south > 30, east < -97.5, north < 30.5]).toEqual([true, true, true, true])
  }
})
