/**
 * Pieces of the log, as messages carry them. Subscribers to everything of one organisation who stand at the same item get
 * the same piece, encoded once; on a tick that is nearly all of them, and of several that connect at once each shares the
 * snapshot of the others.
 *
 * Every subscription is sent to by itself; topics of uWebSockets are not used. Measured with 1,000 sockets and one
 * message a tick, a topic takes 5.6 / 7.0 / 11.8 µs of CPU a message of 200 / 4,096 / 30,000 bytes, single sends 5.8 /
 * 6.7 / 11.8: it is the system call that costs. A topic loses messages of slow sockets without a word, and each
 * subscription id would need its own; a single send says at once how much a socket holds. For lists of 10 / 100 / 500
 * devices of 10,000, of which 1,000 report a tick, a topic a device takes 5 % less / 16 % / 68 % more CPU, and gives
 * the client a message a position.
 */

import type { Encoding } from '../format/encoding.ts'
import { type LogCursor, writeCursor } from '../log/cursor.ts'
import type { LogSegment } from '../log/segment.ts'
import type { StreamLog } from '../log/stream-log.ts'
import { CHUNK_BYTES } from '../options.ts'

/** What a subscription to everything sees. */
export interface View {
  /** Null = of every organisation. */
  readonly organizationId: number | null
  readonly encoding: Encoding
  /** Whether it gets events. */
  readonly events: boolean
}

/** Items by number, wherever they are kept. */
export interface ItemSource {
  isEvent(item: number): boolean
  text(item: number, encoding: Encoding): string
  /** Undefined = not known. */
  cursorBehind(item: number): LogCursor | undefined
}

/** Items of one kind, as many as a message has. */
export interface Chunk {
  readonly type: 'positions' | 'events'
  readonly count: number
  /** The last of them. */
  readonly last: number
  /** Item that the next chunk starts with; undefined = there is none. */
  readonly next: number | undefined
  /** Cursor behind the last of them, where it is known. */
  readonly cursor: string | undefined
  /** The message for a subscription id. */
  message(id: number, cursor: string): Buffer
}

/** Takes items up to {@link CHUNK_BYTES}, or to the first of the other kind. */
export function collect(source: ItemSource, items: Iterable<number>, encoding: Encoding): Chunk {
  const texts: string[] = []
  let bytes = 0
  let ofEvents = false
  let last = -1
  let next: number | undefined
  for (const item of items) {
    const isEvent = source.isEvent(item)
    if (texts.length === 0) ofEvents = isEvent
    else if (isEvent !== ofEvents || bytes >= CHUNK_BYTES) {
      next = item
      break
    }
    const text = source.text(item, encoding)
    texts.push(text)
    bytes += text.length
    last = item
  }
  const type = ofEvents ? 'events' : 'positions'
  const joined = texts.join(encoding.separator)
  const cursor = last < 0 ? undefined : source.cursorBehind(last)
  const messages = new Map<string, Buffer>()
  return {
    type,
    count: texts.length,
    last,
    next,
    cursor: cursor && writeCursor(cursor),
    message(id, behind) {
      const key = `${id}/${behind}`
      let message = messages.get(key)
      if (message === undefined) {
        message = encoding.encodeRows(type, id, behind, texts.length, joined)
        messages.set(key, message)
      }
      return message
    },
  }
}

/** Those from a place on. */
export function* itemsFrom(items: readonly number[], at: number): Iterable<number> {
  for (let i = at; i < items.length; i++) yield items[i]!
}

/** Chunks kept for others who ask for the same, 32 KiB each. */
const SHARED_MAX = 128

export class Chunks {
  /** Last positions and events, as a walk goes over them. */
  readonly walked: ItemSource
  private readonly stream: StreamLog
  private readonly shared = new Map<string, Chunk>()
  private headCursor: string | undefined
  private readonly counts = new Map<string, { rows: number; events: number }>()

  constructor(stream: StreamLog) {
    this.stream = stream
    const { commits, positions } = stream
    this.walked = {
      isEvent: (item) => item >= commits.first && commits.isEvent(item),
      text: (item, encoding) => {
        const row = positions.rowFrom(item)
        return positions.itemOf(row) === item ? positions.text(row, encoding) : commits.text(item, encoding)
      },
      cursorBehind: (item) => {
        if (item >= commits.first) return commits.cursorBehind(item)
        return positions.cursorBehind(positions.rowFrom(item))
      },
    }
  }

  /** Cursor behind all of the log. */
  get head(): string {
    this.headCursor ??= writeCursor(this.stream.commits.cursor)
    return this.headCursor
  }

  /** To be called when the log has grown, or who sees what has changed. */
  changed(): void {
    this.headCursor = undefined
    this.shared.clear()
    this.counts.clear()
  }

  /** Whether the organisation sees an item: now, whoever had the device then. */
  sees(organizationId: number | null, segment: LogSegment, index: number): boolean {
    const { positions } = this.stream
    const slot = segment.slots[index]!
    if (!positions.sees(organizationId, slot)) return false
    // Of what was before a device came its new organisation sees no events, and the former one sees no more of them.
    const held = segment.eventAt(index)
    return held === undefined || positions.sees(held.organizationId, slot)
  }

  /** Everything from an item of the log on. */
  everything(view: View, from: number): Chunk {
    return this.share(`log/${keyOf(view)}/${from}`, this.stream.commits, view, () =>
      this.visible(view, from, this.stream.commits.end),
    )
  }

  /** The last position of each device from an item on, and all events from another on. */
  walk(view: View, from: number, eventsFrom: number): Chunk {
    return this.share(`walk/${keyOf(view)}/${from}/${eventsFrom}`, this.walked, view, () =>
      this.walkItems(view, from, eventsFrom),
    )
  }

  /** Rows and events of the log that are seen, from one item to another. */
  count(view: View, from: number, to: number): { readonly rows: number; readonly events: number } {
    const key = `${view.organizationId}/${view.events}/${from}/${to}`
    let count = this.counts.get(key)
    if (count === undefined) {
      count = { rows: 0, events: 0 }
      for (const item of this.visible(view, from, to)) {
        if (this.stream.commits.isEvent(item)) count.events++
        else count.rows++
      }
      this.counts.set(key, count)
    }
    return count
  }

  /** Last positions that a walk from an item on would send. */
  countWalk(view: View, from: number): number {
    const key = `${view.organizationId}/${from}`
    let count = this.counts.get(key)
    if (count === undefined) {
      count = { rows: 0, events: 0 }
      const { positions } = this.stream
      for (let row = positions.rowFrom(from); row < positions.end; row++) {
        if (positions.isSeen(row, view.organizationId)) count.rows++
      }
      this.counts.set(key, count)
    }
    return count.rows
  }

  /** Items of the log that are seen. */
  *visible(view: View, from: number, to: number): Iterable<number> {
    const { commits } = this.stream
    for (const { segment, base, first, end } of commits.spans(from, to)) {
      for (let index = first; index < end; index++) {
        if (!view.events && segment.isEvent(index)) continue
        if (this.sees(view.organizationId, segment, index)) yield base + index
      }
    }
  }

  /** Events of the log that are seen. */
  *visibleEvents(view: View, from: number): Iterable<number> {
    if (!view.events) return
    const { commits } = this.stream
    for (const item of commits.events(from)) {
      if (this.sees(view.organizationId, commits.segmentOf(item), commits.indexOf(item))) yield item
    }
  }

  private *walkItems(view: View, from: number, eventsFrom: number): Iterable<number> {
    const { positions } = this.stream
    const events = this.visibleEvents(view, eventsFrom)[Symbol.iterator]()
    let event = events.next()
    for (let row = positions.rowFrom(from); row < positions.end; row++) {
      if (!positions.isSeen(row, view.organizationId)) continue
      const item = positions.itemOf(row)
      for (; !event.done && event.value < item; event = events.next()) yield event.value
      yield item
    }
    for (; !event.done; event = events.next()) yield event.value
  }

  private share(key: string, source: ItemSource, view: View, items: () => Iterable<number>): Chunk {
    let chunk = this.shared.get(key)
    if (chunk === undefined) {
      chunk = collect(source, items(), view.encoding)
      if (this.shared.size === SHARED_MAX) this.shared.clear()
      this.shared.set(key, chunk)
    }
    return chunk
  }
}

function keyOf({ organizationId, encoding, events }: View): string {
  return `${encoding.index}/${organizationId}/${events}`
}
