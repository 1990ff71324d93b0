/**
 * Everything behind a cursor, in the order in which it was stored: from pages of storage as far as memory does not reach
 * back, then from memory. When the socket has enough nothing is held but the cursor.
 */
import type { StreamErrorCode } from '../../schemas/stream.ts'
import { type LogCursor, wholeCommit, writeCursor } from '../log/cursor.ts'
import type { LogSegment } from '../log/segment.ts'
import { type Chunk, collect, type View } from './chunks.ts'
import { type CommitPage, CommitPages } from './commit-pages.ts'
import type { Outlet } from './feed.ts'
import type { Hub } from './hub.ts'
import type { ScopeFilter } from './scope-filter.ts'

/** The feed that it is of. */
export interface Resuming {
  readonly view: View
  readonly filter: ScopeFilter
  readonly isClosed: boolean
  /** Whether last positions of devices are to be sent at the end that may be on the way. */
  readonly shows: boolean
  /** @returns Whether the socket is still open. */
  write(chunk: Chunk, cursor: string): boolean
  /** Ends it with an error. */
  fail(code: StreamErrorCode, detail: string): void
  /** An item is sent, of a page or of memory. */
  resent(segment: LogSegment, index: number): void
  /** Tells of those of the devices that are not in the scope now. */
  sendStrays(slots: Iterable<number>): void
  /** Goes on. */
  pump(): void
}

/** Item of a resume that is not in memory. */
const NOT_IN_MEMORY = -1

export class Resume {
  private readonly feed: Resuming
  private readonly hub: Hub
  private readonly outlet: Outlet
  /** All up to here was sent. */
  private cursor: LogCursor
  /** Sequence behind which the page begins that has what follows. */
  private pageAfter: number
  private position = NOT_IN_MEMORY
  private reading = false
  /** Of an area: slots of devices that have reported since the last message, and whether in the area. */
  private readonly passed = new Map<number, boolean>()
  /** Slots of those that have been told to have left. */
  private readonly gone = new Set<number>()
  /** Sequence of the log for which storage had nothing more: what follows comes with the log. */
  private complete: number | undefined

  constructor(feed: Resuming, hub: Hub, outlet: Outlet, from: LogCursor) {
    this.feed = feed
    this.hub = hub
    this.outlet = outlet
    this.cursor = from
    this.pageAfter = CommitPages.startFor(from.sequence)
  }

  /**
   * Sends what the socket takes. What has to be read first goes on by itself.
   * @returns Whether it has caught up with the log.
   */
  advance(): boolean {
    const { commits } = this.hub.stream
    while (!this.reading && !this.feed.isClosed && !this.outlet.full) {
      if (this.position < commits.first) {
        this.position = commits.locate(this.cursor) ?? NOT_IN_MEMORY
        if (this.position === NOT_IN_MEMORY) {
          if (this.complete !== commits.sequence) void this.read()
          return false
        }
      }
      if (this.position >= commits.end) return true
      if (!this.sendFromMemory()) return false
    }
    return false
  }

  /** @returns Whether the socket is still open. */
  private sendFromMemory(): boolean {
    const { chunks, stream } = this.hub
    const { commits } = stream
    const { filter, view } = this.feed
    const isShared = filter.slots() === null && !this.feed.shows
    const chunk = isShared
      ? chunks.everything(view, this.position)
      : collect(commits, this.inMemory(this.position), view.encoding)
    this.cursor = chunk.next === undefined ? commits.cursor : commits.cursorBehind(chunk.last)
    this.position = chunk.next ?? commits.end
    return this.write(chunk, this.cursor)
  }

  /** Whether the item is in the scope; notes that its device has reported. */
  private isIn(segment: LogSegment, index: number): boolean {
    const { filter } = this.feed
    const has = filter.has(segment, index)
    const slot = segment.slots[index]!
    if (has) this.feed.resent(segment, index)
    if (filter.byPlace && (has || !this.passed.has(slot))) this.passed.set(slot, has)
    return has
  }

  /**
   * A client that was away may still show a device that is no longer in the area. It is told so before a cursor that is
   * behind the row that says it, and again where rows follow that are from when the device was there.
   * @returns Whether the socket is still open.
   */
  private write(chunk: Chunk, cursor: LogCursor): boolean {
    const { feed, gone, passed } = this
    const outside = [...passed.keys()].filter((slot) => !feed.filter.includes(slot))
    const again = outside.filter((slot) => passed.get(slot))
    feed.sendStrays(outside.filter((slot) => !gone.has(slot)))
    for (const slot of passed.keys()) gone.delete(slot)
    for (const slot of outside) gone.add(slot)
    passed.clear()
    if (!feed.write(chunk, writeCursor(cursor))) return false
    feed.sendStrays(again)
    return true
  }

  private async read(): Promise<void> {
    this.reading = true
    try {
      const { sequence } = this.hub.stream.commits
      const page = await this.hub.pages.get(this.pageAfter)
      if (this.feed.isClosed) return
      if (neededFor(this.cursor) < page.oldest) {
        this.feed.fail('cursor-expired', 'what follows the cursor is no longer kept: subscribe without it')
        return
      }
      if (page.last > page.after) this.sendPage(page)
      else if (this.cursor.sequence > page.after) {
        this.feed.fail('cursor-invalid', 'nothing was stored yet up to the cursor: subscribe without it')
        return
      } else this.complete = sequence
    } catch {
      this.feed.fail('storage-unavailable', 'the database can not be read: subscribe again later')
      return
    } finally {
      this.reading = false
    }
    this.feed.pump()
  }

  private sendPage({ segment, last }: CommitPage): void {
    // Pages begin at the same commits for all: the first ones may end before the cursor.
    const end = last < this.cursor.sequence ? this.cursor : wholeCommit(last)
    for (let index: number | undefined = segment.locate(this.cursor); index !== undefined; ) {
      if (this.outlet.full) return
      const chunk = collect(segment, this.inPage(segment, index), this.feed.view.encoding)
      const cursor: LogCursor = chunk.next === undefined ? end : segment.cursorBehind(chunk.last)
      if (!this.write(chunk, cursor)) return
      this.cursor = cursor
      index = chunk.next
    }
    this.pageAfter = last
  }

  private *inMemory(from: number): Iterable<number> {
    const { chunks, stream } = this.hub
    const { view } = this.feed
    for (const { segment, base, first, end } of stream.commits.spans(from, stream.commits.end)) {
      for (let index = first; index < end; index++) {
        if (!view.events && segment.isEvent(index)) continue
        if (chunks.sees(view.organizationId, segment, index) && this.isIn(segment, index)) yield base + index
      }
    }
  }

  private *inPage(segment: LogSegment, from: number): Iterable<number> {
    const { view } = this.feed
    for (let index = from; index < segment.length; index++) {
      if (!view.events && segment.isEvent(index)) continue
      if (this.hub.chunks.sees(view.organizationId, segment, index) && this.isIn(segment, index)) yield index
    }
  }
}

/** Sequence of the first commit that has something behind the cursor, or the one behind it. */
function neededFor({ sequence, row, event }: LogCursor): number {
  return row === undefined && event === undefined ? sequence + 1 : sequence
}
