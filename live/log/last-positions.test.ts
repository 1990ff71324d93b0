import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { QUALITY } from '../../schemas/quality.ts'
import { streamRowOf } from '../../schemas/stream.ts'
import { type Encoding, encodingOf } from '../format/encoding.ts'
import { jsonFormat } from '../format/stream-format.ts'
import { LastPositions } from './last-positions.ts'

/** Little room, so that the log is written anew often. */
const ROWS_MIN = 64

interface Row {
  readonly device: number
  readonly fixTimeMs: number
  readonly quality?: number
  /** Low half of the digest; as odometer it also tells rows apart. */
  readonly digest?: number
}

function batchOf(rows: readonly Row[]): PositionBatch {
  const batch = new PositionBatch(8)
  for (const { device, fixTimeMs, quality = 0, digest = 0 } of rows) {
    const row = batch.add(fixTimeMs, 50, 10)
    batch.receivedMs[row] = fixTimeMs
    batch.device[row] = device
    batch.quality[row]! |= quality
    batch.digestLow[row] = digest
    batch.set(row, 'odometer', digest)
    batch.set(row, 'driver', `driver ${digest}`)
  }
  return batch
}

/** What an organisation sees of the log from a row on: device and fix time, in order. */
function seen(positions: LastPositions, organizationId: number | null, start = 0): [number, number][] {
  const rows: [number, number][] = []
  for (let row = start; row < positions.end; row++) {
    if (!positions.isSeen(row, organizationId)) continue
    const { device, fixTime } = streamRowOf(positions.batch, row)
    rows.push([device, Date.parse(fixTime)])
  }
  return rows
}

function positionsOf(organizations: Record<number, number>): LastPositions {
  const positions = new LastPositions(ROWS_MIN)
  for (const [id, organizationId] of Object.entries(organizations)) {
    positions.setDevice({ id: Number(id), organizationId, disabled: false })
  }
  return positions
}

/** Number of the next item. */
let nextItem = 1

/** Appends the rows as a commit. @returns Devices that the registry has not told of. */
function append(positions: LastPositions, rows: readonly Row[]): number[] {
  const batch = batchOf(rows)
  const unknown = [...new Set(rows.map(({ device }) => device))].filter(
    (device) => !positions.isKnown(device),
  )
  appendBatch(positions, batch)
  return unknown
}

function appendBatch(positions: LastPositions, batch: PositionBatch): void {
  const slots = Int32Array.from(batch.device.subarray(0, batch.length), (device) => positions.slotOf(device))
  positions.append(batch, slots, 0, batch.length, nextItem, nextItem)
  nextItem += batch.length
}

describe('last positions', () => {
  test('keeps the newest row of a device and passes over late, doubtful and repeated ones', () => {
    const positions = positionsOf({ 1: 7 })
    append(positions, [
      { device: 1, fixTimeMs: 1_000, digest: 5 },
      { device: 1, fixTimeMs: 3_000, digest: 6 },
      { device: 1, fixTimeMs: 2_000, digest: 7 },
      { device: 1, fixTimeMs: 9_000, quality: QUALITY.jump },
    ])
    expect(seen(positions, 7)).toEqual([[1, 3_000]])
    const { end } = positions
    append(positions, [{ device: 1, fixTimeMs: 3_000, digest: 6 }])
    expect(positions.end).toBe(end)
  })

  test('takes of two rows of one moment the one with the greater digest, as the database does', () => {
    const positions = positionsOf({ 1: 7 })
    append(positions, [
      { device: 1, fixTimeMs: 1_000, digest: 5 },
      { device: 1, fixTimeMs: 1_000, digest: 0xffff_fff0 },
      { device: 1, fixTimeMs: 1_000, digest: 6 },
    ])
    const row = positions.rowInSlot(positions.slotIn(7, 1)!)
    expect(streamRowOf(positions.batch, row).attributes).toMatchObject({ odometer: 0xffff_fff0 })

    const negative = batchOf([{ device: 1, fixTimeMs: 1_000 }])
    negative.digestHigh[0] = 0x8000_0000
    appendBatch(positions, negative)
    expect(positions.rowInSlot(positions.slotIn(7, 1)!)).toBe(row)
  })

  test('takes of a batch no more than the newest row of each device', () => {
    const positions = positionsOf({ 1: 7, 2: 7 })
    const rows = [4, 1, 5, 3, 2].flatMap((second): Row[] => [
      { device: 1, fixTimeMs: second * 1_000, digest: second },
      { device: 2, fixTimeMs: 9_000, digest: second },
    ])
    append(positions, rows)
    expect(positions.end).toBe(2)
    expect(seen(positions, 7)).toEqual([
      [1, 5_000],
      [2, 9_000],
    ])
    append(positions, rows)
    expect(positions.end).toBe(2)
    append(positions, [{ device: 2, fixTimeMs: 9_000, digest: 6 }, ...rows])
    expect(positions.end).toBe(3)
    expect(streamRowOf(positions.batch, 2)).toMatchObject({ device: 2, attributes: { odometer: 6 } })
  })

  test('shows a device to its own organisation and to a super admin only', () => {
    const positions = positionsOf({ 1: 7, 2: 8 })
    append(positions, [
      { device: 1, fixTimeMs: 1_000 },
      { device: 2, fixTimeMs: 2_000 },
    ])
    expect(seen(positions, 7)).toEqual([[1, 1_000]])
    expect(seen(positions, 8)).toEqual([[2, 2_000]])
    expect(seen(positions, 9)).toEqual([])
    expect(seen(positions, null)).toEqual([
      [1, 1_000],
      [2, 2_000],
    ])
    expect(positions.slotIn(8, 1)).toBeUndefined()
    expect(positions.slotIn(null, 1)).toBeDefined()
  })

  test('holds the position of a device back until the registry has told whose it is', () => {
    const positions = positionsOf({})
    expect(append(positions, [{ device: 1, fixTimeMs: 1_000 }])).toEqual([1])
    expect(seen(positions, null)).toEqual([])
    expect(positions.slotIn(null, 1)).toBeUndefined()
    expect(positions.setDevice({ id: 1, organizationId: 7, disabled: false })).toMatchObject({
      from: null,
      to: 7,
    })
    expect(seen(positions, 7)).toEqual([[1, 1_000]])
  })

  test('forgets the position of a device that turns out not to be there', () => {
    const positions = positionsOf({})
    append(positions, [{ device: 1, fixTimeMs: 1_000 }])
    expect(positions.removeDevice(1)).toBeUndefined()
    positions.setDevice({ id: 1, organizationId: 7, disabled: false })
    expect(seen(positions, null)).toEqual([])
  })

  test('hides a disabled device, and shows it anew when it is enabled', () => {
    const positions = positionsOf({ 1: 7 })
    append(positions, [{ device: 1, fixTimeMs: 1_000 }])
    expect(positions.setDevice({ id: 1, organizationId: 7, disabled: true })).toMatchObject({
      from: 7,
      to: null,
    })
    expect(seen(positions, 7)).toEqual([])
    expect(seen(positions, null)).toEqual([])
    expect(positions.slotIn(7, 1)).toBeDefined()
    const { end } = positions
    const move = positions.setDevice({ id: 1, organizationId: 7, disabled: false })
    positions.showAgain(move!.slot, nextItem++, 1)
    expect(seen(positions, 7, end)).toEqual([[1, 1_000]])
  })

  test('moves a device between organisations with its position', () => {
    const positions = positionsOf({ 1: 7 })
    append(positions, [{ device: 1, fixTimeMs: 1_000 }])
    expect(positions.setDevice({ id: 1, organizationId: 8, disabled: false })).toMatchObject({
      from: 7,
      to: 8,
    })
    expect(seen(positions, 7)).toEqual([])
    expect(seen(positions, 8)).toEqual([[1, 1_000]])
  })

  test('takes a deleted device out, and its slot is given to nobody else', () => {
    const positions = positionsOf({ 1: 7 })
    append(positions, [{ device: 1, fixTimeMs: 1_000 }])
    const slot = positions.slotIn(7, 1)!
    expect(positions.removeDevice(1)).toMatchObject({ from: 7, to: null, slot })
    expect(positions.removeDevice(1)).toBeUndefined()
    expect(seen(positions, null)).toEqual([])
    positions.setDevice({ id: 2, organizationId: 8, disabled: false })
    expect(positions.slotIn(8, 2)).not.toBe(slot)
    expect(positions.deviceCount).toBe(1)
  })

  test('encodes a row once, and keeps it encoded when the log is written anew', () => {
    const positions = positionsOf({ 1: 7, 2: 7 })
    append(positions, [{ device: 1, fixTimeMs: 1_000, digest: 3 }])
    let encodings = 0
    const objects = encodingOf(jsonFormat, 'objects')
    const encoding = {
      ...objects,
      encodePosition(batch: PositionBatch, row: number) {
        encodings++
        return objects.encodePosition(batch, row)
      },
    } as Encoding
    const first = positions.text(0, encoding)
    for (let fixTimeMs = 1; fixTimeMs < 500; fixTimeMs++) append(positions, [{ device: 2, fixTimeMs }])
    expect(positions.text(positions.rowInSlot(positions.slotIn(7, 1)!), encoding)).toBe(first)
    expect(encodings).toBe(1)
    expect(JSON.parse(first)).toMatchObject({ attributes: { odometer: 3, driver: 'driver 3' } })
  })

  test('bounds the log by the number of devices, not of positions', () => {
    const positions = positionsOf({ 1: 7 })
    for (let fixTimeMs = 1; fixTimeMs < 2_000; fixTimeMs++) append(positions, [{ device: 1, fixTimeMs }])
    expect(positions.end).toBeLessThanOrEqual(ROWS_MIN)
    expect(seen(positions, 7)).toEqual([[1, 1_999]])
  })

  test('a walk that goes on in steps ends with the newest position of each device, never going back', () => {
    const row = fc.record({
      device: fc.integer({ min: 1, max: 300 }),
      fixTimeMs: fc.integer({ min: 1, max: 10_000 }),
      digest: fc.integer({ min: 0, max: 3 }),
    })
    const step = fc.record({
      rows: fc.array(row, { minLength: 1, maxLength: 400 }),
      read: fc.nat({ max: 300 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let cursor = 0
        const positions = new LastPositions(ROWS_MIN)
        for (let id = 1; id <= 300; id++) positions.setDevice({ id, organizationId: 7, disabled: false })
        const newest = new Map<number, number>()
        const read = new Map<number, number>()
        const readOn = (count: number) => {
          for (let at = positions.rowFrom(cursor); at < positions.end && count > 0; at++) {
            cursor = positions.itemOf(at) + 1
            if (!positions.isSeen(at, 7)) continue
            count--
            const { device, fixTime } = streamRowOf(positions.batch, at)
            expect(Date.parse(fixTime)).toBeGreaterThanOrEqual(read.get(device) ?? 0)
            read.set(device, Date.parse(fixTime))
          }
        }
        for (const { rows, read: count } of steps) {
          append(positions, rows)
          for (const { device, fixTimeMs } of rows) {
            newest.set(device, Math.max(fixTimeMs, newest.get(device) ?? 0))
          }
          readOn(count)
        }
        readOn(Number.POSITIVE_INFINITY)
        expect(read).toEqual(newest)
      }),
      { numRuns: 60 },
    )
  })
})
