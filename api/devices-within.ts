/** Which devices are, or were, inside a shape: candidates come by its box from the database, and are tested here. */
import { setImmediate as turn } from 'node:timers/promises'
import type pg from 'pg'
import type { Shape } from '../geofence/shapes/shape.ts'
import { type DeviceFix, fixesInBox, lastFixesInBox, type StoredFix } from '../storage/positions/nearby.ts'
import { queryTooLarge, withinTime } from './query-time.ts'

/** Last fixes of one statement. */
const LAST_FIXES = 1000
/** Fixes of each device in the first statement: most devices are found inside by these, or have none. */
const PIECE_FIXES = 100
/** Devices of one statement: as many as it takes this time for, ms. */
const PIECE_DEVICES = { first: 4, max: 64 } as const
const PIECE_MS = { least: 200, most: 800 } as const
/** Fixes of one statement of a device that is not found by those. */
const MORE_FIXES = 5000
/** A page ends early after this, ms. */
const PAGE_MS = 8_000
/** The search for one device, and each statement, fails after this, ms. */
const DEVICE_MS = 15_000
const TOO_LARGE =
  'The positions of one device in this time take too long to look through; ask for a shorter time.'

export interface Found {
  readonly items: DeviceFix[]
  /** Device up to which all are looked at; null = there are no others. */
  readonly next: number | null
}

/** Devices after `after` whose last fix lies inside, by id. */
export async function devicesNow(
  client: pg.ClientBase,
  shape: Shape,
  after: number,
  limit: number,
): Promise<Found> {
  const items: DeviceFix[] = []
  let last = after
  for (;;) {
    const fixes = await lastFixesInBox(client, shape.bounds, last, LAST_FIXES)
    for (const fix of fixes) {
      if (!shape.contains(fix.latitude, fix.longitude)) continue
      if (items.length === limit) return { items, next: items.at(-1)!.device }
      items.push(fix)
    }
    if (fixes.length < LAST_FIXES) return { items, next: null }
    last = fixes.at(-1)!.device
    // Statements answer from memory: sockets have their turn.
    await turn()
  }
}

/**
 * Devices after `after` of which a fix of the time lies inside, by id, each with the first such fix. The page ends where
 * the search takes long.
 * @throws ApiError 422 if it takes too long for one device.
 */
export async function devicesDuring(
  client: pg.ClientBase,
  shape: Shape,
  { from, to }: { readonly from: Date; readonly to: Date },
  after: number,
  limit: number,
): Promise<Found> {
  const search = new WindowSearch(client, shape, from, to)
  return withinTime(client, DEVICE_MS, TOO_LARGE, () => search.page(after, limit))
}

class WindowSearch {
  private readonly client: pg.ClientBase
  private readonly shape: Shape
  private readonly from: Date
  private readonly to: Date
  private readonly startMs = performance.now()
  private pieceDevices: number = PIECE_DEVICES.first

  constructor(client: pg.ClientBase, shape: Shape, from: Date, to: Date) {
    this.client = client
    this.shape = shape
    this.from = from
    this.to = to
  }

  async page(after: number, limit: number): Promise<Found> {
    const items: DeviceFix[] = []
    let last = after
    for (;;) {
      const { rows } = await this.client.query<{ id: number }>(
        'SELECT id FROM devices WHERE id > $1 ORDER BY id LIMIT $2',
        [last, this.pieceDevices],
      )
      const devices = rows.map(({ id }) => id)
      const isLast = devices.length < this.pieceDevices
      const candidates = await this.candidates(devices)
      for (const device of devices) {
        const fixes = candidates.filter((fix) => fix.device === device)
        const fix = this.inside(fixes) ?? (await this.searchOn(fixes))
        if (fix !== undefined) {
          if (items.length === limit) return { items, next: last }
          items.push(fix)
        }
        last = device
        if (performance.now() - this.startMs > PAGE_MS) return { items, next: last }
      }
      if (isLast) return { items, next: null }
      await turn()
    }
  }

  /** The first fixes of each device in the box. */
  private async candidates(devices: readonly number[]): Promise<StoredFix[]> {
    const startMs = performance.now()
    const fixes = await this.fixes(devices)
    const tookMs = performance.now() - startMs
    if (tookMs < PIECE_MS.least) this.pieceDevices = Math.min(PIECE_DEVICES.max, this.pieceDevices * 2)
    if (tookMs > PIECE_MS.most) this.pieceDevices = Math.max(1, this.pieceDevices >> 1)
    return fixes
  }

  private fixes(devices: readonly number[], after?: StoredFix): Promise<StoredFix[]> {
    const { client, from, to, shape } = this
    const limit = after === undefined ? PIECE_FIXES : MORE_FIXES
    return fixesInBox(client, { devices, from, to, box: shape.bounds, after, limit })
  }

  private inside(fixes: readonly DeviceFix[]): DeviceFix | undefined {
    return fixes.find(({ latitude, longitude }) => this.shape.contains(latitude, longitude))
  }

  /** Of a device whose first fixes in the box are none inside, on from those. */
  private async searchOn(first: readonly StoredFix[]): Promise<DeviceFix | undefined> {
    if (first.length < PIECE_FIXES) return undefined
    const startMs = performance.now()
    let after = first.at(-1)!
    for (;;) {
      const fixes = await this.fixes([after.device], after)
      const found = this.inside(fixes)
      if (found !== undefined || fixes.length < MORE_FIXES) return found
      if (performance.now() - startMs > DEVICE_MS) throw queryTooLarge(TOO_LARGE)
      after = fixes.at(-1)!
      await turn()
    }
  }
}
