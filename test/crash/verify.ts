/**
 * The promise, held against the table: what was acknowledged is stored, once, as it was sent; and nothing is stored
 * that was never sent.
 */
import type pg from 'pg'
import { type CrashProtocol, type FleetDevice, numberOf, recordOf, TOLERANCE } from './fleet.ts'
import type { DeviceJournal } from './simulator.ts'

export interface Verdict {
  readonly made: number
  readonly acknowledged: number
  /** Records in the table. */
  readonly stored: number
  /** Rows of GT06 heartbeats, which carry neither a place nor a time of the device. */
  readonly heartbeats: number
  /** Acknowledged, but not stored. */
  readonly lost: readonly string[]
  /** Stored more than once: a device and a time. */
  readonly doubled: readonly string[]
  /** Stored, but never made. */
  readonly foreign: readonly string[]
  /** Stored with another place, speed or course than was sent. */
  readonly altered: readonly string[]
}

export const FAULTS = ['lost', 'doubled', 'foreign', 'altered'] as const

/** What is wrong with a run at whose end everything should be acknowledged; nothing where the promise was kept. */
export function complaintsOfVerdict(verdict: Verdict): string[] {
  const { made, acknowledged } = verdict
  return [
    ...FAULTS.flatMap((fault) => {
      const found = verdict[fault]
      return found.length === 0 ? [] : [`${found.length} ${fault}, such as ${found.slice(0, 5).join('; ')}`]
    }),
    ...(acknowledged === made ? [] : [`${made - acknowledged} records were never acknowledged`]),
  ]
}

/** Their heartbeats have a status, and so become rows without a place. */
const WITH_STATUS_ROWS: ReadonlySet<CrashProtocol> = new Set(['gt06', 'eelink'])

interface Row {
  readonly fix_ms: number
  readonly latitude: number | null
  readonly longitude: number | null
  readonly speed_kmh: number | null
  readonly course_deg: number | null
}

/** @param journals Of each device of the fleet. */
export async function verify(
  client: pg.ClientBase,
  fleet: readonly FleetDevice[],
  journals: readonly DeviceJournal[],
): Promise<Verdict> {
  const faults = { lost: [], doubled: [], foreign: [], altered: [] } as Record<
    (typeof FAULTS)[number],
    string[]
  >
  let stored = 0
  let heartbeats = 0
  for (const device of fleet) {
    const journal = journals[device.index]!
    const { rows } = await client.query<Row>(
      `SELECT (extract(epoch FROM fix_time) * 1000)::float8 AS fix_ms, latitude, longitude, speed_kmh, course_deg
       FROM positions WHERE device_id = (SELECT id FROM devices WHERE unique_id = $1) ORDER BY fix_time`,
      [device.uniqueId],
    )
    const found = new Uint8Array(journal.made)
    for (const row of rows) {
      if (row.latitude === null && WITH_STATUS_ROWS.has(device.protocol)) {
        heartbeats++
        continue
      }
      stored++
      const name = `${device.protocol} ${device.uniqueId} ${new Date(row.fix_ms).toISOString()}`
      const n = numberOf(device, row.fix_ms)
      if (n === undefined || n >= journal.made) {
        faults.foreign.push(name)
        continue
      }
      if (found[n] !== 0) faults.doubled.push(name)
      found[n] = 1
      if (!isAsSent(row, device, n)) faults.altered.push(`${name} ${JSON.stringify(row)}`)
    }
    for (const n of journal.acknowledged) {
      if (found[n] === 0) faults.lost.push(`${device.protocol} ${device.uniqueId} record ${n}`)
    }
  }
  const { rows: all } = await client.query<{ count: string }>('SELECT count(*) FROM positions')
  const others = Number(all[0]!.count) - stored - heartbeats
  if (others > 0) faults.foreign.push(`${others} rows of devices that are not of the fleet`)
  const sum = (of: (journal: DeviceJournal) => number) =>
    journals.reduce((total, journal) => total + of(journal), 0)
  return {
    made: sum(({ made }) => made),
    acknowledged: sum(({ acknowledged }) => acknowledged.length),
    stored: stored + others,
    heartbeats,
    ...faults,
  }
}

function isAsSent(row: Row, device: FleetDevice, n: number): boolean {
  const sent = recordOf(device, n)
  const near = (found: number | null, expected: number, tolerance: number) =>
    found !== null && Math.abs(found - expected) <= tolerance
  return (
    near(row.latitude, sent.latitudeDeg, TOLERANCE.degrees) &&
    near(row.longitude, sent.longitudeDeg, TOLERANCE.degrees) &&
    near(row.speed_kmh, sent.speedKmh, TOLERANCE.kmh) &&
    near(row.course_deg, sent.courseDeg, TOLERANCE.courseDeg)
  )
}
