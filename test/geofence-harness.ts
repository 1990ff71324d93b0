/** Ingest with geofences: devices that say where they are in real frames, and what was made of it. */
import { expect } from 'vitest'
import { crc16Ibm } from '../device-adapters/checksums.ts'
import { GeofenceRule, type GeofenceShape } from '../schemas/geofence.ts'
import { type Device, type IngestHarness, login } from './ingest-harness.ts'

/** A fix as a device tells it. */
export interface Report {
  readonly timeMs: number
  readonly longitudeDeg: number
  readonly latitudeDeg?: number
  readonly speedKmh?: number
}

/** A square of a hundredth of a degree round longitude −97.74, latitude 30.27. */
export const HOME: GeofenceShape = boxOf(-97.745, 30.265, -97.735, 30.275)
export const AT_HOME = -97.74
/** Some kilometres from it, so that the way is no impossible jump. */
export const AWAY = -97.76

export function boxOf(west: number, south: number, east: number, north: number): GeofenceShape {
  const ring = [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
    [west, south],
  ]
  return { type: 'Polygon', coordinates: [ring] }
}

/** A packet of Codec 8. */
export function packetOf(reports: readonly Report[]): Buffer {
  const data = [Buffer.from([8, reports.length])]
  for (const { timeMs, longitudeDeg, latitudeDeg = 30.27, speedKmh = 36 } of reports) {
    const record = Buffer.alloc(30)
    record.writeBigUInt64BE(BigInt(timeMs), 0)
    record.writeInt32BE(Math.round(longitudeDeg * 1e7), 9)
    record.writeInt32BE(Math.round(latitudeDeg * 1e7), 13)
    record[21] = 9
    record.writeUInt16BE(speedKmh, 22)
    data.push(record)
  }
  data.push(Buffer.from([reports.length]))
  const body = Buffer.concat(data)
  const frame = Buffer.alloc(body.length + 12)
  frame.writeUInt32BE(body.length, 4)
  body.copy(frame, 8)
  frame.writeUInt32BE(crc16Ibm(frame, 8, 8 + body.length), 8 + body.length)
  return frame
}

/** A Teltonika device that waits for each reply. */
export class Tracker {
  private readonly device: Device

  private constructor(device: Device) {
    this.device = device
  }

  /** @param port Of Teltonika over TCP. */
  static async connect(harness: IngestHarness, imei: string, port: number): Promise<Tracker> {
    const device = harness.device(port)
    device.send(login(imei))
    expect(await device.reply(1)).toBe('01')
    return new Tracker(device)
  }

  /** Returns when they are acknowledged: with `ackAfter: 'database'` when they are committed. */
  async report(...reports: readonly Report[]): Promise<void> {
    this.device.send(packetOf(reports))
    expect(await this.device.reply(4)).toBe(reports.length.toString(16).padStart(8, '0'))
  }
}

/** Times that change geofences are effective for what is stored from then on. */
export class GeofenceEditor {
  private readonly harness: IngestHarness

  constructor(harness: IngestHarness) {
    this.harness = harness
  }

  async add(shape: GeofenceShape, rule: object = {}): Promise<number> {
    const rules = JSON.stringify([GeofenceRule.parse(rule)])
    const { pool, organizationId } = this.harness
    return this.effective(async () => {
      const { rows } = await pool.query<{ id: number }>(
        `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
         VALUES ($1, 'home', $2, 0, 0, 0, 0, 'UTC', $3) RETURNING id`,
        [organizationId, shape, rules],
      )
      return rows[0]!.id
    })
  }

  async change(sql: string, values: unknown[]): Promise<void> {
    await this.effective(() => this.harness.pool.query(sql, values))
  }

  /** Makes a change and waits until an index that began to be built after it was told is with the shards. */
  private async effective<T>(change: () => Promise<T>): Promise<T> {
    const builds = () => this.harness.metric('fleetflow_geofence_build_seconds')
    const before = await builds()
    const result = await change()
    await expect.poll(builds, { timeout: 10_000 }).not.toBe(before)
    await expect.poll(() => this.harness.metric('fleetflow_geofence_change_age_seconds')).toBe(0)
    return result
  }
}

/** Current events of a device, each as its type and its seconds after a time. */
export async function currentEvents(
  { pool }: IngestHarness,
  device: number,
  startMs: number,
): Promise<string[]> {
  const { rows } = await pool.query<{ type: string; s: number }>(
    `SELECT type, (extract(epoch FROM event_time) - $2)::double precision AS s FROM events
     WHERE device_id = $1 AND NOT superseded AND NOT retracted ORDER BY event_time, type`,
    [device, startMs / 1000],
  )
  return rows.map(({ type, s }) => `${type} ${s}`)
}
