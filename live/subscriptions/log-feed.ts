/**
 * A subscription to the log. It is in one of three modes:
 *
 * - `resume`: everything behind a cursor, until it has caught up; see resume.ts.
 * - `walk`: the last position of each device that is newer than where it stands: from the start that is a snapshot, and
 *   where a slow socket stopped the conflated rest. With `intervalMs` one walk follows the other.
 * - `live`: every row and event as it comes.
 *
 * When the socket has enough, nothing more is written before it has drained. Who was `live` walks from there on, and is
 * told how much that leaves out; who resumes has lost nothing and goes on.
 */

import type { StreamErrorCode } from '../../schemas/stream.ts'
import { type LogCursor, writeCursor } from '../log/cursor.ts'
import type { Move } from '../log/last-positions.ts'
import type { LogSegment } from '../log/segment.ts'
import { type Chunk, collect, itemsFrom, type View } from './chunks.ts'
import type { Outlet } from './feed.ts'
import type { Hub, LogSubscriber } from './hub.ts'
import { Leaves } from './leaves.ts'
import { Owed } from './owed.ts'
import { Resume, type Resuming } from './resume.ts'
import { Sampling } from './sampling.ts'
import type { ScopeFilter, ScopeSink } from './scope-filter.ts'
import { ScopeItems } from './scope-items.ts'

export interface LogFeedOptions {
  readonly hub: Hub
  readonly outlet: Outlet
  readonly filter: ScopeFilter
  readonly events: boolean
  /** What it goes on behind; undefined = it begins with a snapshot. */
  readonly from: LogCursor | undefined
  /** Undefined = every row. */
  readonly intervalMs: number | undefined
}

export class LogFeed implements LogSubscriber, Resuming, ScopeSink {
  readonly view: View
  filter: ScopeFilter
  private items: ScopeItems
  private readonly hub: Hub
  private readonly outlet: Outlet
  private mode: 'resume' | 'walk' | 'live'
  private readonly resume: Resume | undefined
  private readonly sampling: Sampling | undefined
  /** Item that it gets next, but for events of a walk: those stand by themselves. */
  private position = 0
  private nextEvent: number
  /** Cursor of what is older than the item where a walk began. */
  private floor: string
  private floorItem: number
  /** Cursor of the last message. */
  private sent: string
  /** Whether `live` was sent, and nothing that it stands behind is owed since. */
  private announced = false
  /** Whether it gets every row from where it stands, so that what is left out is told: not before its snapshot is sent. */
  private complete: boolean
  /** Whether the socket has enough. */
  private waiting = false
  private closed = false
  /** Items that are due at the next tick, in `live`, of a filter that tells. */
  private due: number[] = []
  /** Slots that are shown whatever the age of their row, and that have left. */
  private readonly shown = new Set<number>()
  private readonly leaves: Leaves
  /** While the socket has enough. */
  private readonly owed: Owed

  constructor({ hub, outlet, filter, events, from, intervalMs }: LogFeedOptions) {
    const { commits } = hub.stream
    this.hub = hub
    this.outlet = outlet
    this.filter = filter
    this.view = { organizationId: outlet.organizationId, encoding: outlet.encoding, events }
    this.items = new ScopeItems(hub, this.view, filter)
    this.leaves = new Leaves(outlet, hub.stream.positions)
    this.owed = new Owed(hub)
    this.mode = from === undefined ? 'walk' : 'resume'
    this.complete = from !== undefined
    this.nextEvent = commits.end
    this.floorItem = commits.end
    this.floor = writeCursor(from ?? commits.cursor)
    this.sent = this.floor
    this.sampling = intervalMs === undefined ? undefined : new Sampling(intervalMs)
    if (from !== undefined) this.resume = new Resume(this, hub, outlet, from)
    hub.logFeeds.add(this)
    if (this.sampling !== undefined) hub.clocked.add(this)
    filter.open(this)
  }

  get deviceCount(): number {
    return this.filter.deviceCount
  }

  tick(): void {
    if (!this.waiting) this.pump()
    else if (this.counts && this.filter.slots() === null) this.owed.addEverything(this.view)
  }

  drained(): void {
    if (!this.waiting || this.closed) return
    this.waiting = false
    if (this.mode === 'walk')
      this.owed.tell(this.outlet, () => this.items.countWalk(this.position, this.nextEvent))
    this.pump()
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.filter.close()
    this.hub.logFeeds.delete(this)
    this.hub.clocked.delete(this)
  }

  /** Ends it with an error. */
  fail(code: StreamErrorCode, detail: string): void {
    // Its id may be that of another one by now.
    if (this.closed) return
    this.outlet.send({ type: 'error', id: this.outlet.id, code, detail })
    this.outlet.end()
  }

  get isClosed(): boolean {
    return this.closed
  }

  get shows(): boolean {
    return this.shown.size > 0
  }

  /** Moves the subscription: what it had and has no more leaves, what it had not is shown; `live` says that this is all. */
  move(filter: ScopeFilter): void {
    this.pump()
    const before = this.items.slots()
    this.filter.close()
    this.filter = filter
    this.items = new ScopeItems(this.hub, this.view, filter)
    if (this.mode === 'live') this.beginWalk(this.hub.stream.commits.end)
    this.announced = false
    this.owed.skip()
    filter.open(this)
    const after = this.items.slots()
    for (const slot of before) if (!after.has(slot)) this.left(slot)
    for (const slot of after) if (!before.has(slot)) this.show(slot)
    this.pump()
  }

  /** The organisation of devices has changed, or they are disabled or gone. */
  moved(moves: readonly Move[]): void {
    const { organizationId } = this.view
    for (const { from, to, slot } of moves) {
      const isLost = from !== null && (organizationId === null ? to === null : from === organizationId)
      if (isLost && this.filter.includes(slot)) this.leaves.add(slot)
    }
    this.leaves.send()
  }

  /** The stream is about to leave out what it can not catch up with: only the newest follows. */
  jump(): void {
    // Who resumes reads from storage what is left out here, and a snapshot is of what comes in its place.
    if (this.mode === 'resume' || !this.complete) return
    if (this.mode === 'live') {
      this.leaveLive(this.due)
      this.waiting = this.outlet.full
    } else if (this.sampling !== undefined) return
    this.hub.metrics.lagging.inc()
    this.outlet.send({ type: 'lagging', id: this.outlet.id, dropped: 0, events: 0 })
  }

  take(item: number): void {
    const isEvent = this.hub.stream.commits.isEvent(item)
    if (isEvent && !this.view.events) return
    if (this.mode === 'live') this.due.push(item)
    else if (this.counts && this.items.sees(item)) this.owed.add(isEvent)
  }

  show(slot: number): void {
    this.shown.add(slot)
  }

  left(slot: number): void {
    this.shown.delete(slot)
    // An area has devices of everybody: who may not see one must not learn that it was there.
    if (this.hub.stream.positions.sees(this.view.organizationId, slot)) this.leaves.add(slot)
  }

  /** Sends what is due, as far as the socket takes it. */
  pump(): void {
    if (this.closed || this.waiting) return
    if (this.mode === 'resume') {
      if (!this.resume!.advance()) {
        this.waiting = this.outlet.full
        return
      }
      this.beginWalk(this.hub.stream.commits.end)
    }
    if (this.mode === 'walk') this.walk()
    if (this.mode === 'live') this.follow()
  }

  /** @returns Whether the socket is still open. */
  write(chunk: Chunk, cursor: string): boolean {
    if (chunk.count === 0) return true
    this.sent = cursor
    return this.outlet.writeRows(chunk.message(this.outlet.id, cursor), chunk.type, chunk.count)
  }

  private follow(): void {
    if (!this.leaves.send()) {
      this.leaveLive(this.due)
      return
    }
    if (this.filter.slots() !== null) {
      this.sendDue()
      return
    }
    const { chunks, stream } = this.hub
    while (this.position < stream.commits.end) {
      if (this.outlet.full) {
        this.leaveLive([])
        return
      }
      const chunk = chunks.everything(this.view, this.position)
      if (!this.write(chunk, chunk.next === undefined ? chunks.head : chunk.cursor!)) return
      this.position = chunk.next ?? stream.commits.end
    }
  }

  /** Rows behind what has left and what is shown, so that no cursor is ahead of these. */
  private sendDue(): void {
    const { chunks, stream } = this.hub
    const due = this.due.filter((item) => this.items.sees(item))
    if (this.shown.size > 0 && !this.sendShown(due)) return
    this.due = []
    for (let at = 0; at < due.length; ) {
      if (this.outlet.full) {
        this.leaveLive(due.slice(at))
        return
      }
      const chunk = collect(stream.commits, itemsFrom(due, at), this.view.encoding)
      if (!this.write(chunk, chunk.next === undefined ? chunks.head : (chunk.cursor ?? this.sent))) return
      const sent = due.slice(at, at + chunk.count)
      this.sendStrays(sent.map((item) => stream.commits.slotOf(item)))
      at += chunk.count
    }
    this.position = stream.commits.end
  }

  /** @returns Whether what is due may follow. */
  private sendShown(due: readonly number[]): boolean {
    const isDue = new Set(due)
    const items = this.items.lastOf(this.shown).filter((item) => !isDue.has(item))
    for (let at = 0; at < items.length; ) {
      if (this.outlet.full) {
        this.leaveLive(due)
        return false
      }
      const chunk = collect(this.hub.chunks.walked, itemsFrom(items, at), this.view.encoding)
      if (!this.write(chunk, this.sent)) return false
      at += chunk.count
    }
    this.shown.clear()
    return true
  }

  /** Of these devices, of which rows were sent, those leave at once that are not in the scope: the rows were late. */
  sendStrays(slots: Iterable<number>): void {
    for (const slot of slots) if (!this.filter.includes(slot)) this.leaves.add(slot)
    this.leaves.send('also when full')
  }

  /** Of the devices that are shown, those are not shown again whose last position is sent on the way. */
  resent(segment: LogSegment, index: number): void {
    const slot = segment.slots[index]!
    if (this.shown.has(slot) && this.items.isLast(segment, index)) this.shown.delete(slot)
  }

  /** What is due, and what follows, is walked over later. */
  private leaveLive(due: readonly number[]): void {
    const { chunks, stream } = this.hub
    const { end } = stream.commits
    this.due = []
    if (this.filter.slots() === null) {
      this.owed.begin(chunks.count(this.view, this.position, end))
      this.beginWalk(this.position)
    } else {
      const seen = due.filter((item) => this.items.sees(item))
      const events = seen.filter((item) => stream.commits.isEvent(item)).length
      this.owed.begin({ rows: seen.length - events, events })
      this.beginWalk(due[0] ?? end)
    }
    this.waiting = true
  }

  private beginWalk(from: number): void {
    this.mode = 'walk'
    this.position = from
    this.nextEvent = from
    this.floorItem = from
    this.floor = this.sent
  }

  /** Sends what is newer than where it stands, of each device the last. */
  private walk(): void {
    if (this.announced && this.sampling !== undefined) {
      if (!this.sendEvents()) return
      if (!this.sampling.isDue()) return
    }
    if (this.outlet.full || !this.leaves.send()) {
      this.wait()
      return
    }
    const { chunks, stream } = this.hub
    const list =
      this.filter.slots() === null && this.shown.size === 0
        ? undefined
        : this.items.walk(this.position, this.shown, this.walkedEvents)
    for (let at = 0; ; ) {
      const chunk =
        list === undefined
          ? chunks.walk(this.view, this.position, this.walkedEvents)
          : collect(chunks.walked, itemsFrom(list, at), this.view.encoding)
      if (chunk.count === 0) break
      if (this.outlet.full) {
        this.wait()
        return
      }
      const behind = chunk.last < this.floorItem ? this.floor : (chunk.cursor ?? this.floor)
      if (!this.write(chunk, chunk.next === undefined ? chunks.head : behind)) return
      for (const item of list?.slice(at, at + chunk.count) ?? [])
        this.shown.delete(stream.positions.slotOfItem(item))
      at += chunk.count
      this.position = Math.max(this.position, chunk.last + 1)
      this.nextEvent = Math.max(this.nextEvent, chunk.last + 1)
      if (chunk.next === undefined) break
    }
    this.walked()
  }

  /** A walk has come to the end of the log. */
  private walked(): void {
    const { end } = this.hub.stream.commits
    this.position = end
    this.floorItem = end
    this.floor = this.hub.chunks.head
    this.sent = this.floor
    this.shown.clear()
    this.owed.begin({ rows: 0, events: 0 })
    if (this.sampling === undefined) {
      this.mode = 'live'
      this.nextEvent = end
    } else this.sampling.done()
    this.complete = true
    if (this.announced) return
    this.announced = true
    this.outlet.send({ type: 'live', id: this.outlet.id, cursor: this.floor })
  }

  /** Events that a walk sends, too: with `intervalMs` they do not wait for it. */
  private get walkedEvents(): number {
    return this.sampling === undefined ? this.nextEvent : Number.POSITIVE_INFINITY
  }

  /**
   * Events between two walks. Their cursor is that of the last walk: whoever goes on behind it gets the rows that are not
   * sent yet, and may get these events once more.
   * @returns Whether all are sent.
   */
  private sendEvents(): boolean {
    const { commits } = this.hub.stream
    const items = this.items.events(this.nextEvent)
    for (let at = 0; at < items.length; ) {
      if (this.outlet.full) {
        this.waiting = true
        return false
      }
      const chunk = collect(commits, itemsFrom(items, at), this.view.encoding)
      if (!this.write(chunk, this.floor)) return false
      at += chunk.count
      this.nextEvent = chunk.last + 1
    }
    this.nextEvent = commits.end
    return true
  }

  /** Whether what is left out is counted, to be told. A snapshot is only the newest anyway. */
  private get counts(): boolean {
    return this.waiting && this.mode === 'walk' && this.complete && this.sampling === undefined
  }

  /** The socket has enough in the middle of a walk. */
  private wait(): void {
    this.waiting = true
    if (!this.counts) return
    this.owed.begin(this.items.countWalk(this.position, this.nextEvent))
  }
}
