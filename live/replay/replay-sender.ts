/**
 * Writes stretches of a replay into messages, each with the cursor behind it, and knows which devices the client has in
 * its area.
 */
import type { ReplayEvent } from '../../storage/positions/replay.ts'
import type { Outlet } from '../subscriptions/feed.ts'
import { LEFT_DEVICES_MAX } from '../subscriptions/leaves.ts'
import { type ReplayPlace, rowKeyOf, writeReplayCursor } from './replay-cursor.ts'
import type { Stretch } from './stretch.ts'

/** An area: what lies outside is not sent. */
export interface ReplayArea {
  contains(latitudeDeg: number, longitudeDeg: number): boolean
}

export class ReplaySender {
  /** Behind what was sent. */
  place: ReplayPlace
  private readonly outlet: Outlet
  private readonly area: ReplayArea | null
  private readonly chunkBytes: number
  /** Devices whose last place that was sent lies in the area. */
  private readonly inside = new Set<number>()
  /** Devices that were outside when they were first seen; the client may have them inside from before. */
  private readonly outside: Set<number> | undefined

  /**
   * @param from Behind what the client has.
   * @param chunkBytes Bytes of rows that a message is filled up to.
   */
  constructor(outlet: Outlet, area: ReplayArea | null, from: ReplayPlace, chunkBytes: number) {
    this.outlet = outlet
    this.area = area
    this.place = from
    this.chunkBytes = chunkBytes
    if (area !== null && !('beforeUs' in from)) this.outside = new Set()
  }

  /** Cursor of {@link place}. */
  get cursor(): string {
    return writeReplayCursor(this.place)
  }

  /** Takes the rows that come next, up to a time, µs since 1970: as many as a message has. */
  sendRows(stretch: Stretch, dueUs: number): void {
    const { outlet, chunkBytes } = this
    const { encoding } = outlet
    const { area } = this
    const batch = stretch.batch!
    const encoded: string[] = []
    const left = new Set<number>()
    let bytes = 0
    let last = -1
    for (let row = stretch.nextRow; row >= 0 && bytes < chunkBytes; row = stretch.nextRow) {
      if (batch.fixTimeMs[row]! * 1_000 > dueUs) break
      const device = batch.device[row]!
      if (area === null || area.contains(batch.latitudeDeg[row]!, batch.longitudeDeg[row]!)) {
        // A device that left and comes again is told of in this order.
        if (left.has(device)) break
        if (area !== null) this.inside.add(device)
        const text = encoding.encodePosition(batch, row)
        encoded.push(text)
        bytes += text.length
      } else if (this.isLost(device)) {
        left.add(device)
        if (left.size === LEFT_DEVICES_MAX) bytes = chunkBytes
      }
      stretch.takeRow()
      last = row
    }
    if (last >= 0) this.place = { row: rowKeyOf(batch, last) }
    if (encoded.length > 0) {
      const { cursor } = this
      const joined = encoded.join(encoding.separator)
      const message = encoding.encodeRows('positions', outlet.id, cursor, encoded.length, joined)
      if (!outlet.writeRows(message, 'positions', encoded.length)) return
    }
    if (left.size > 0) outlet.send({ type: 'left', id: outlet.id, devices: [...left] })
  }

  /** Whether a device whose place is outside was inside before, as far as the client knows. */
  private isLost(device: number): boolean {
    if (this.inside.delete(device)) return true
    if (this.outside === undefined || this.outside.has(device)) return false
    this.outside.add(device)
    return true
  }

  /** As {@link sendRows}. */
  sendEvents(stretch: Stretch, dueUs: number): void {
    const { outlet, chunkBytes } = this
    const { encoding } = outlet
    const encoded: string[] = []
    let bytes = 0
    let last: ReplayEvent | undefined
    for (let next = stretch.nextEvent; next !== undefined && bytes < chunkBytes; next = stretch.nextEvent) {
      if (next.timeUs > dueUs) break
      if (this.sees(next)) {
        const text = encoding.encodeEvent(next.event)
        encoded.push(text)
        bytes += text.length
      }
      stretch.takeEvent()
      last = next
    }
    if (last !== undefined) this.place = { event: { timeUs: last.timeUs, id: last.event.id } }
    if (encoded.length === 0) return
    const { cursor } = this
    const joined = encoded.join(encoding.separator)
    const message = encoding.encodeRows('events', outlet.id, cursor, encoded.length, joined)
    outlet.writeRows(message, 'events', encoded.length)
  }

  /** In an area, events of devices that are inside, or that happened there. */
  private sees({ event }: ReplayEvent): boolean {
    const { area } = this
    if (area === null || this.inside.has(event.device)) return true
    return (
      event.latitude !== null && event.longitude !== null && area.contains(event.latitude, event.longitude)
    )
  }
}
