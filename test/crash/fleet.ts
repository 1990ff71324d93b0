/** The devices of the crash suite, and what each reports: made from its number alone, so that every stored row can be checked. */
import pg from 'pg'
import type { Report } from '../../simulate/encoders/encoder.ts'
import type { SimulatedProtocol } from '../../simulate/encoders/index.ts'
import { uniqueIdOf } from '../../simulate/unique-ids.ts'

/** All protocols whose devices learn what is stored, over all transports. */
export const PROTOCOLS = [
  'teltonika',
  'gt06',
  'h02',
  'osmand',
  'mqtt-json',
  'jt808',
  'meitrack',
  'atrack',
  'ruptela',
  'eelink',
  'wialon',
  'galileo',
] as const satisfies SimulatedProtocol[]
export type CrashProtocol = (typeof PROTOCOLS)[number]

/** Coarsest time on the wire, so that each record has a time of its own in every protocol, ms. */
const STEP_MS = 1000
const DAY_MS = 24 * 3600 * 1000
/** Devices start on different days, each so long before midnight that most cross into the next one, ms. */
const BEFORE_MIDNIGHT_MS = 100 * STEP_MS
const DAYS = 4

/** Half a step of the coarsest protocol, and what single precision adds. */
export const TOLERANCE = { degrees: 1e-6, kmh: 0.02, courseDeg: 0.06 } as const

export interface FleetDevice {
  readonly index: number
  readonly protocol: CrashProtocol
  readonly uniqueId: string
  /** Time of its first record, ms UTC. */
  readonly startMs: number
}

/** What the fleet depends on; can be posted to another process. */
export interface FleetOptions {
  readonly devices: number
  /** Any time of the day on which it runs, ms UTC. */
  readonly nowMs: number
}

export function fleetOf({ devices, nowMs }: FleetOptions): readonly FleetDevice[] {
  const today = Math.floor(nowMs / DAY_MS) * DAY_MS
  return Array.from({ length: devices }, (_, index) => {
    const protocol = PROTOCOLS[index % PROTOCOLS.length]!
    const midnight = today - (2 + (Math.floor(index / PROTOCOLS.length) % DAYS)) * DAY_MS
    return {
      index,
      protocol,
      uniqueId: uniqueIdOf(protocol, index),
      startMs: midnight - BEFORE_MIDNIGHT_MS,
    }
  })
}

/** Record `n` (0, 1, …) of a device: no other one of it has the same time, and the next ones have other places. */
export function recordOf(device: FleetDevice, n: number): Omit<Report, 'serial'> {
  return {
    fixTimeMs: device.startMs + n * STEP_MS,
    latitudeDeg: -60 + (device.index % 600) * 0.2 + (n % 1000) * 1e-4,
    longitudeDeg: -170 + ((device.index * 7 + n) % 34_000) * 0.01,
    altitudeM: n % 500,
    speedKmh: (device.index + n * 7) % 120,
    courseDeg: (device.index + n * 11) % 360,
    satellites: 5 + (n % 8),
    ignition: n % 2 === 0,
    odometerM: n * 10,
    powerV: 27.5,
    batteryV: 4.1,
    signalBars: n % 5,
  }
}

/** Number of the record with that time; undefined if the device never makes one. */
export function numberOf(device: FleetDevice, fixTimeMs: number): number | undefined {
  const n = (fixTimeMs - device.startMs) / STEP_MS
  return Number.isInteger(n) && n >= 0 ? n : undefined
}

/**
 * Registers the devices in an organisation that is there.
 * @returns Their ids, in the order of the fleet.
 */
export async function addDevices(
  databaseUrl: string,
  organization: string,
  fleet: readonly FleetDevice[],
): Promise<readonly number[]> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const ids: number[] = []
    for (const { uniqueId } of fleet) {
      const { rows } = await client.query<{ id: number }>(
        `INSERT INTO devices (organization_id, unique_id, name)
         SELECT id, $2, $2 FROM organizations WHERE name = $1 RETURNING id`,
        [organization, uniqueId],
      )
      ids.push(rows[0]!.id)
    }
    return ids
  } finally {
    await client.end()
  }
}
