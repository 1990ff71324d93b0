import { expect, test } from 'vitest'
import type { Fix } from '../wire/rows.ts'
import { Fleet, SILENT_AFTER_MS, stateOf } from './fleet.ts'
import { latitudeOf, longitudeOf } from './mercator.ts'

const FIX_MS = Date.UTC(2026, 0, 5, 12)

function rowOf(values: Partial<Fix> = {}): Fix {
  return {
    device: 7,
    fixTimeMs: FIX_MS,
    receivedMs: FIX_MS,
    latitude: 30.25,
    longitude: -97.75,
    altitude: null,
    speed: 40,
    course: 90,
    attributes: {},
    ...values,
  }
}

function deviceOf(id: number, name: string) {
  return { id, uniqueId: `imei-${id}`, name, model: 'FMB130', disabled: false }
}

test('a position puts its vehicle at its place', () => {
  const fleet = new Fleet()
  fleet.describe([deviceOf(7, 'Bus 7')])
  expect(fleet.apply([rowOf()], 0, FIX_MS)).toBe(false)
  const { row, state } = fleet.get(7)!
  expect(state).toBe('moving')
  expect(longitudeOf(fleet.motion.x[row]!)).toBeCloseTo(-97.75, 9)
  expect(latitudeOf(fleet.motion.y[row]!)).toBeCloseTo(30.25, 9)
})

test('a device that the directory does not name is told, and shown until it does', () => {
  const fleet = new Fleet()
  expect(fleet.apply([rowOf()], 0, FIX_MS)).toBe(true)
  expect(fleet.get(7)!.name).toBe('Device 7')
  fleet.describe([deviceOf(7, 'Bus 7')])
  expect(fleet.get(7)!.name).toBe('Bus 7')
  expect(fleet.vehicles).toHaveLength(1)
})

test('an older position than the known one is passed over', () => {
  const fleet = new Fleet()
  fleet.apply([rowOf()], 0, FIX_MS)
  fleet.apply([rowOf({ fixTimeMs: FIX_MS - 1, latitude: 31 })], 1_000, FIX_MS)
  expect(fleet.get(7)!.last!.latitude).toBe(30.25)
})

test('a vehicle glides for about as long as it takes to report', () => {
  const fleet = new Fleet()
  for (let i = 0; i < 20; i++) {
    const fixTimeMs = FIX_MS + i * 5_000
    fleet.apply([rowOf({ fixTimeMs, longitude: -97.75 + i * 0.001 })], i * 5_000, FIX_MS)
  }
  const { intervalMs, row } = fleet.get(7)!
  expect(intervalMs).toBeCloseTo(5_000, -2)
  fleet.motion.sample(19 * 5_000 + 2_500)
  const before = longitudeOf(fleet.motion.x[row]!)
  expect(before).toBeGreaterThan(-97.75 + 18 * 0.001)
  expect(before).toBeLessThan(-97.75 + 19 * 0.001)
})

test('a burst of positions does not shorten the glide', () => {
  const fleet = new Fleet()
  fleet.apply([rowOf()], 0, FIX_MS)
  fleet.apply([rowOf({ fixTimeMs: FIX_MS + 1 })], 4_000, FIX_MS)
  const { intervalMs } = fleet.get(7)!
  fleet.apply([rowOf({ fixTimeMs: FIX_MS + 2 })], 4_001, FIX_MS)
  expect(fleet.get(7)!.intervalMs).toBe(intervalMs)
})

test('a far position is a jump, not a glide', () => {
  const fleet = new Fleet()
  fleet.apply([rowOf()], 0, FIX_MS)
  fleet.apply([rowOf({ fixTimeMs: FIX_MS + 1, latitude: 31 })], 1_000, FIX_MS)
  expect(latitudeOf(fleet.motion.y[fleet.get(7)!.row]!)).toBeCloseTo(31, 9)
})

test('a vehicle that reports no course points where it drives', () => {
  const fleet = new Fleet()
  fleet.apply([rowOf({ course: null })], 0, FIX_MS)
  const { row } = fleet.get(7)!
  expect(fleet.motion.courseDeg[row]).toBeNaN()
  const east = { course: null, fixTimeMs: FIX_MS + 1, longitude: -97.749 }
  fleet.apply([rowOf(east)], 1_000, FIX_MS)
  fleet.motion.sample(60_000)
  expect(fleet.motion.courseDeg[row]).toBeCloseTo(90, 3)
  const rest = { ...east, fixTimeMs: FIX_MS + 2, longitude: -97.74901 }
  fleet.apply([rowOf(rest)], 61_000, FIX_MS)
  fleet.motion.sample(90_000)
  expect(fleet.motion.courseDeg[row]).toBeCloseTo(90, 3)
})

test('a vehicle is moving, standing or silent by its speed and the age of its fix', () => {
  expect(stateOf(null, 0, FIX_MS)).toBe('silent')
  expect(stateOf(rowOf(), FIX_MS, FIX_MS + SILENT_AFTER_MS)).toBe('moving')
  expect(stateOf(rowOf(), FIX_MS, FIX_MS + SILENT_AFTER_MS + 1)).toBe('silent')
  expect(stateOf(rowOf({ speed: 2 }), FIX_MS, FIX_MS)).toBe('standing')
  expect(stateOf(rowOf({ speed: null }), FIX_MS, FIX_MS)).toBe('standing')
  expect(stateOf(rowOf({ speed: null, attributes: { motion: true } }), FIX_MS, FIX_MS)).toBe('moving')
})

test('a vehicle falls silent as time goes by', () => {
  const fleet = new Fleet()
  fleet.apply([rowOf()], 0, FIX_MS)
  fleet.tick(FIX_MS + SILENT_AFTER_MS + 1)
  expect(fleet.get(7)!.state).toBe('silent')
})

test('a vehicle that is gone is neither listed nor drawn, and may come back', () => {
  const fleet = new Fleet()
  fleet.apply([rowOf(), rowOf({ device: 8 })], 0, FIX_MS)
  const { row } = fleet.get(7)!
  fleet.remove(({ id }) => id === 7)
  expect(fleet.vehicles.map(({ id }) => id)).toEqual([8])
  expect(fleet.motion.placed[row]).toBe(0)
  expect(fleet.apply([rowOf()], 1_000, FIX_MS)).toBe(true)
  expect(fleet.vehicles.map(({ id }) => id)).toEqual([8, 7])
  expect(fleet.byRow[fleet.get(7)!.row]).toBe(fleet.get(7))
})

test('a disabled device is no vehicle', () => {
  const fleet = new Fleet()
  fleet.describe([{ ...deviceOf(7, 'Bus 7'), disabled: true }, deviceOf(8, 'Bus 8')])
  expect(fleet.vehicles.map(({ name }) => name)).toEqual(['Bus 8'])
})

test('the extent holds all vehicles with a position', () => {
  const fleet = new Fleet()
  expect(fleet.extent()).toBeNull()
  fleet.apply([rowOf(), rowOf({ device: 8, latitude: -10, longitude: 20 })], 0, FIX_MS)
  const [west, south, east, north] = fleet.extent()!
  expect([longitudeOf(west), longitudeOf(east)]).toEqual([-97.75, 20])
  expect(latitudeOf(south)).toBeCloseTo(-10, 9)
  expect(latitudeOf(north)).toBeCloseTo(30.25, 9)
})
