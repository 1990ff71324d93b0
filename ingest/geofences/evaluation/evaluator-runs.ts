/** The rows of a batch as evaluation looks at them: fixes, device by device. */
import type pg from 'pg'
import { type FenceIds, fenceIds } from '../../../geofence/index/fence-ids.ts'
import type { DeviceState, Fix } from '../../../geofence/visits/visits.ts'
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { notStored } from '../../shards/position-keys.ts'

/** Rows of one device, ascending by time and digest. */
export interface DeviceRun {
  readonly device: number
  readonly rows: Uint32Array
  /** Before the piece. */
  state: DeviceState | undefined
  /** After it; undefined = as before. */
  next: DeviceState | undefined
}

type WritableFix = { -readonly [Name in keyof Fix]: Fix[Name] }

export class Fixes {
  readonly batch: PositionBatch
  /** Room for one look-up. */
  readonly inside: FenceIds = fenceIds()
  /** Rows that turned out to be stored. */
  readonly stored = new Set<number>()
  private readonly fix: WritableFix = {
    timeMs: 0,
    digestHigh: 0,
    digestLow: 0,
    latitudeDeg: 0,
    longitudeDeg: 0,
    speedKmh: 0,
  }

  constructor(batch: PositionBatch) {
    this.batch = batch
  }

  /** Fixes of the run that count and are not stored. Each is good until the next one is asked for. */
  *of({ rows }: DeviceRun): Generator<Fix, void, undefined> {
    const { quality } = this.batch
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!
      if (quality[row] === 0 && !this.stored.has(row)) yield this.at(row)
    }
  }

  /** The fix of a row, good until the next call. */
  at(row: number): Fix {
    const { fix, batch } = this
    fix.timeMs = batch.fixTimeMs[row]!
    fix.digestHigh = batch.digestHigh[row]!
    fix.digestLow = batch.digestLow[row]!
    fix.latitudeDeg = batch.latitudeDeg[row]!
    fix.longitudeDeg = batch.longitudeDeg[row]!
    fix.speedKmh = batch.speedKmh[row]!
    return fix
  }
}

/**
 * @param rows By day, device, time and digest.
 * @param wanted Asked once for each device that has a fix that counts.
 * @returns A run for each device that is wanted.
 */
export function deviceRuns(
  batch: PositionBatch,
  rows: Uint32Array,
  wanted: (device: number) => boolean,
): DeviceRun[] {
  const { device: devices, quality } = batch
  const order = byDevice(devices, rows)
  const runs: DeviceRun[] = []
  for (let from = 0, to: number; from < order.length; from = to) {
    const device = devices[order[from]!]!
    let counts = false
    for (to = from; to < order.length && devices[order[to]!] === device; to++) {
      if (quality[order[to]!] === 0) counts = true
    }
    if (!counts || !wanted(device)) continue
    runs.push({ device, rows: order.subarray(from, to), state: undefined, next: undefined })
  }
  return runs
}

/** Rows of several days are by day first. */
function byDevice(devices: Uint32Array, rows: Uint32Array): Uint32Array {
  let ascending = true
  for (let i = 1; i < rows.length && ascending; i++) ascending = devices[rows[i - 1]!]! <= devices[rows[i]!]!
  if (ascending) return rows
  const places = Uint32Array.from(rows.keys())
  places.sort((a, b) => devices[rows[a]!]! - devices[rows[b]!]! || a - b)
  return places.map((place) => rows[place]!)
}

/**
 * Leaves out rows that are stored already: what is sent again, as a device does that got no reply, is no news. Only
 * rows that are not newer than the last fix of their device can be.
 */
export async function leaveOutStored(
  client: pg.ClientBase,
  fixes: Fixes,
  rows: Uint32Array,
  runs: readonly DeviceRun[],
): Promise<Uint32Array> {
  const doubtful = new Set<number>()
  for (const { rows, state } of runs) {
    for (const row of rows) {
      if (fixes.batch.quality[row] !== 0) continue
      if (state!.order(fixes.at(row)) === 'next') break
      doubtful.add(row)
    }
  }
  if (doubtful.size === 0) return rows
  const { stored } = fixes
  // In the order of the piece, which is that of the days.
  const asked = rows.filter((row) => doubtful.has(row))
  for (const row of doubtful) stored.add(row)
  for (const row of await notStored(client, fixes.batch, asked)) stored.delete(row)
  return stored.size === 0 ? rows : rows.filter((row) => !stored.has(row))
}
