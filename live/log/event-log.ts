/**
 * The newest events, as a log that all subscriptions read, each from where it stopped. So a client that is slow for a
 * moment costs nothing, and none can make the log longer: when it is full its older half goes, and who had not got that
 * is told how much it was.
 *
 * Events are numbered by their order in the log, from 0 at the start of the process.
 */
import type { GeofenceEvent } from '../../schemas/geofence-event.ts'
import type { LiveEvent, MissedEvents } from '../../schemas/live-port.ts'
import { STREAM_FORMATS, type StreamFormat } from '../format/stream-format.ts'
import { CHUNK_BYTES } from '../options.ts'
import type { LiveScope } from './chunks.ts'
import type { LastPositions } from './last-positions.ts'

interface Entry {
  /** Of the geofence. */
  readonly organizationId: number
  /** Of the device, in {@link LastPositions}. */
  readonly slot: number
  /** Undefined = so many events that did not come this far. */
  readonly event: GeofenceEvent | undefined
  readonly count: number
  /** By format: the event encoded, once somebody asked for it. */
  readonly encoded: (string | undefined)[]
}

export interface EventChunk {
  /** Number after the last that was looked at: where the next chunk starts. */
  readonly end: number
  /** Encoded events. */
  readonly rows: readonly string[]
  /** Events in between that are not there. */
  readonly missed: number
}

export class EventLog {
  private readonly positions: LastPositions
  private readonly entriesMax: number
  private readonly onDrop: (end: number) => void
  private entries: Entry[] = []
  /** Number of the first entry. */
  private first = 0

  /**
   * @param entriesMax Events kept at most, 2 or more.
   * @param onDrop Called before the events up to `end` go, `end` not included.
   */
  constructor(positions: LastPositions, entriesMax: number, onDrop: (end: number) => void) {
    this.positions = positions
    this.entriesMax = entriesMax
    this.onDrop = onDrop
  }

  /** Number that the next event gets. */
  get end(): number {
    return this.first + this.entries.length
  }

  /** @param unknown Takes the ids of devices that the registry has not told of. */
  append(events: readonly LiveEvent[], unknown: Set<number>): void {
    for (const { organizationId, ...event } of events)
      this.add(organizationId, event.device, event, 1, unknown)
  }

  appendMissed(missed: readonly MissedEvents[], unknown: Set<number>): void {
    for (const { organizationId, device, count } of missed) {
      this.add(organizationId, device, undefined, count, unknown)
    }
  }

  /** What the scope has from event `start` on, filled up to {@link CHUNK_BYTES}. */
  next(scope: LiveScope, format: StreamFormat, start: number): EventChunk {
    const rows: string[] = []
    let missed = 0
    let bytes = 0
    let at = start - this.first
    for (; at < this.entries.length && bytes < CHUNK_BYTES; at++) {
      const entry = this.entries[at]!
      if (!this.isSeen(entry, scope)) continue
      if (entry.event === undefined) {
        missed += entry.count
        continue
      }
      entry.encoded[format.index] ??= format.encodeRow(entry.event)
      const text = entry.encoded[format.index]!
      rows.push(text)
      bytes += text.length
    }
    return { end: this.first + at, rows, missed }
  }

  /** Events that the scope has from `start` on, before `end`. */
  count(scope: LiveScope, start: number, end: number): number {
    let count = 0
    for (let number = start; number < end; number++) {
      const entry = this.entries[number - this.first]!
      if (this.isSeen(entry, scope)) count += entry.count
    }
    return count
  }

  private add(
    organizationId: number,
    device: number,
    event: GeofenceEvent | undefined,
    count: number,
    unknown: Set<number>,
  ): void {
    if (this.entries.length === this.entriesMax) {
      const half = this.entriesMax >>> 1
      this.onDrop(this.first + half)
      this.entries = this.entries.slice(half)
      this.first += half
    }
    const slot = this.positions.slotOf(device, unknown)
    const encoded = STREAM_FORMATS.map(() => undefined)
    this.entries.push({ organizationId, slot, event, count, encoded })
  }

  /**
   * An event is seen in the organisation of its geofence, as long as that has the device: of what was before a device
   * came its new organisation sees nothing, and the former one sees no more of it. A disabled device is not shown.
   */
  private isSeen({ organizationId, slot }: Entry, scope: LiveScope): boolean {
    return (
      (scope.organizationId === null || scope.organizationId === organizationId) &&
      this.positions.mayBeSeenBy(organizationId, slot) &&
      (scope.slots === null || includes(scope.slots, slot))
    )
  }
}

/** Whether a value is in an ascending array, which may have thousands. */
function includes(values: Uint32Array, value: number): boolean {
  let from = 0
  let to = values.length
  while (from < to) {
    const middle = (from + to) >>> 1
    if (values[middle]! < value) from = middle + 1
    else to = middle
  }
  return values[from] === value
}
