/** The vehicles as this page knows them: who they are, their last position, what they are doing. */
import type { Device } from '../wire/directory.ts'
import type { Fix } from '../wire/rows.ts'
import { bearingDeg, groundM, mercatorX, mercatorY } from './mercator.ts'
import { MotionTable, STATE } from './motion.ts'

export type VehicleState = keyof typeof STATE

/** A vehicle whose last fix is older has fallen silent. */
export const SILENT_AFTER_MS = 5 * 60_000
/** Slower is standing: receivers report a little speed at rest. */
const MOVING_ABOVE_KMH = 3
/** A longer way between two positions is shown as a jump: a glide would suggest a road nobody took. */
const GLIDE_MAX_M = 5_000
/** Below, a position gives no direction of travel. */
const BEARING_MIN_M = 8

/** Updates closer together are one burst and say nothing about the reporting interval. */
const INTERVAL_MIN_MS = 150
const INTERVAL_MAX_MS = 15_000
const INTERVAL_FIRST_MS = 1_000

export interface Vehicle {
  /** Id of the device. */
  readonly id: number
  /** Row of the vehicle in {@link Fleet.motion}. */
  readonly row: number
  uniqueId: string
  name: string
  model: string
  last: Fix | null
  /** Time of `last`, ms UTC; 0 = none. */
  fixTimeMs: number
  /** Age of the last fix when the fleet was last looked through, ms. */
  ageMs: number
  state: VehicleState
  /** When the last update came in, by `performance.now()`. */
  arrivedMs: number
  /** How long this vehicle has lately taken from one update to the next. */
  intervalMs: number
}

export class Fleet {
  readonly motion: MotionTable
  vehicles: Vehicle[] = []
  /** The vehicle of each row of {@link motion}; one that left keeps its row. */
  readonly byRow: Vehicle[] = []
  /** Counts up whenever a vehicle comes in or gets another name. */
  directoryVersion = 0
  /** Show new positions at once, without gliding. */
  still = false
  readonly #byId = new Map<number, Vehicle>()

  /** @param motion Where the vehicles are drawn: as they report, or as the table works it out. */
  constructor(motion = new MotionTable()) {
    this.motion = motion
  }

  get(id: number): Vehicle | undefined {
    return this.#byId.get(id)
  }

  /** Takes a page of the device directory; a disabled device is no vehicle. */
  describe(devices: readonly Device[]): void {
    for (const device of devices) {
      if (device.disabled) continue
      const vehicle = this.#byId.get(device.id) ?? this.#add(device.id)
      vehicle.uniqueId = device.uniqueId
      vehicle.name = device.name
      vehicle.model = device.model
    }
    this.directoryVersion++
  }

  /**
   * Takes positions from the stream. The newest fix is where a vehicle is: late ones, and those that another
   * subscription has brought already, are passed over.
   * @param nowMs `performance.now()`.
   * @param serverMs Now by the server's clock, ms UTC.
   * @returns Whether a device came up that the directory has not named yet.
   */
  apply(rows: readonly Fix[], nowMs: number, serverMs: number): boolean {
    let unknown = false
    for (const row of rows) {
      let vehicle = this.#byId.get(row.device)
      if (vehicle === undefined) {
        vehicle = this.#add(row.device)
        unknown = true
      }
      if (row.fixTimeMs <= vehicle.fixTimeMs) continue
      this.#move(vehicle, row, nowMs)
      vehicle.last = row
      vehicle.fixTimeMs = row.fixTimeMs
      this.#judge(vehicle, serverMs)
    }
    if (unknown) this.directoryVersion++
    return unknown
  }

  /** Takes vehicles away that this page may no longer show. */
  remove(isGone: (vehicle: Vehicle) => boolean): void {
    for (const vehicle of this.vehicles) {
      if (!isGone(vehicle)) continue
      this.#byId.delete(vehicle.id)
      this.motion.placed[vehicle.row] = 0
    }
    this.vehicles = this.vehicles.filter((vehicle) => this.#byId.has(vehicle.id))
    this.directoryVersion++
  }

  /** Looks through the fleet: how old the fixes are, and who has fallen silent. */
  tick(serverMs: number): void {
    for (const vehicle of this.vehicles) this.#judge(vehicle, serverMs)
  }

  /** West, south, east and north of all placed vehicles on the unit square; null = none is placed. */
  extent(): [number, number, number, number] | null {
    const { motion } = this
    let [west, south, east, north] = [1, 0, 0, 1]
    let any = false
    for (let row = 0; row < motion.count; row++) {
      if (motion.placed[row] === 0) continue
      any = true
      west = Math.min(west, motion.toX[row]!)
      east = Math.max(east, motion.toX[row]!)
      north = Math.min(north, motion.toY[row]!)
      south = Math.max(south, motion.toY[row]!)
    }
    return any ? [west, south, east, north] : null
  }

  /** Vehicles that have a place. */
  get placedCount(): number {
    const { placed, count } = this.motion
    let sum = 0
    for (let row = 0; row < count; row++) sum += placed[row]!
    return sum
  }

  /** How many vehicles are in a box: west, south, east, north in degrees. */
  countIn([west, south, east, north]: readonly [number, number, number, number]): number {
    const { placed, toX, toY, count } = this.motion
    const [left, top, right, bottom] = [mercatorX(west), mercatorY(north), mercatorX(east), mercatorY(south)]
    let sum = 0
    for (let row = 0; row < count; row++) {
      const x = toX[row]!
      const y = toY[row]!
      if (placed[row] === 1 && x >= left && x <= right && y >= top && y <= bottom) sum++
    }
    return sum
  }

  #add(id: number): Vehicle {
    const vehicle: Vehicle = {
      id,
      row: this.motion.add(),
      uniqueId: '',
      name: `Device ${id}`,
      model: '',
      last: null,
      fixTimeMs: 0,
      ageMs: 0,
      state: 'silent',
      arrivedMs: 0,
      intervalMs: INTERVAL_FIRST_MS,
    }
    this.vehicles.push(vehicle)
    this.byRow[vehicle.row] = vehicle
    this.#byId.set(id, vehicle)
    return vehicle
  }

  #move(vehicle: Vehicle, row: Fix, nowMs: number): void {
    const { motion } = this
    const x = mercatorX(row.longitude)
    const y = mercatorY(row.latitude)
    const first = motion.placed[vehicle.row] === 0
    const fromX = motion.toX[vehicle.row]!
    const fromY = motion.toY[vehicle.row]!
    const wayM = first ? 0 : groundM(Math.hypot(x - fromX, y - fromY), y)
    let courseDeg = row.course ?? Number.NaN
    if (row.course === null && !first) {
      courseDeg = wayM < BEARING_MIN_M ? motion.courseDeg[vehicle.row]! : bearingDeg(fromX, fromY, x, y)
    }
    const gapMs = nowMs - vehicle.arrivedMs
    if (vehicle.arrivedMs !== 0 && gapMs > INTERVAL_MIN_MS) {
      const weighed = vehicle.intervalMs * 0.6 + Math.min(gapMs, INTERVAL_MAX_MS) * 0.4
      vehicle.intervalMs = Math.min(INTERVAL_MAX_MS, weighed)
    }
    if (first || gapMs > INTERVAL_MIN_MS) vehicle.arrivedMs = nowMs
    if (first || this.still || wayM > GLIDE_MAX_M) motion.jump(vehicle.row, x, y, courseDeg)
    // A little longer than the interval, so that the vehicle does not stop and start.
    else motion.glide(vehicle.row, x, y, courseDeg, nowMs, vehicle.intervalMs * 1.1)
  }

  #judge(vehicle: Vehicle, serverMs: number): void {
    vehicle.ageMs = serverMs - vehicle.fixTimeMs
    vehicle.state = stateOf(vehicle.last, vehicle.fixTimeMs, serverMs)
    this.motion.state[vehicle.row] = STATE[vehicle.state]
  }
}

/** What a vehicle with this last position is doing. */
export function stateOf(last: Fix | null, fixTimeMs: number, serverMs: number): VehicleState {
  if (last === null || serverMs - fixTimeMs > SILENT_AFTER_MS) return 'silent'
  if (last.speed !== null) return last.speed > MOVING_ABOVE_KMH ? 'moving' : 'standing'
  return last.attributes.motion === true ? 'moving' : 'standing'
}
