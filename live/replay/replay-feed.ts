/**
 * Feeds a subscription from storage, by a clock: what the clock has passed is sent. Where it is behind with sending, since
 * the client takes nothing or storage is slow, the clock waits; only a replay that stays so far behind the present runs
 * on, and catches up.
 */
import type { ReplayEvent } from '../../storage/replay.ts'
import type { Feed, Outlet } from '../subscriptions/feed.ts'
import { ReadAhead, type ReplaySource } from './read-ahead.ts'
import { ReplayClock } from './replay-clock.ts'
import { placeUs, type ReplayPlace, rowKeyOf, writeReplayCursor } from './replay-cursor.ts'
import type { Stretch } from './stretch.ts'

/** Rows are read so far ahead of the clock, in time of the wall, ms. */
const AHEAD_MS = 5_000
/** The clock is told of after it, ms. */
const CLOCK_MS = 1_000
/** Storage that can not be read for so long ends a replay, ms. */
export const STORAGE_TIMEOUT_MS = 30_000
/** Less than that, in time of the wall, is not read by itself, ms. */
const READ_MS = 1_000
/** Devices of one `left` message at most. */
const LEFT_DEVICES_MAX = 1_000

/** What a replay is to send. */
export interface ReplayRequest {
  readonly from: ReplayPlace
  /** Time before which its last row lies, ms UTC; undefined = it goes on into live. */
  readonly toMs: number | undefined
  /** 0 = as fast as it is taken. */
  readonly speed: number
  readonly events: boolean
  /** Only places inside are sent; null = all. */
  readonly area: { contains(latitudeDeg: number, longitudeDeg: number): boolean } | null
  /** Whether it stays as far behind the present as it begins, and never becomes live. */
  readonly delayed: boolean
}

export interface ReplayParts {
  readonly outlet: Outlet
  readonly source: ReplaySource
  /** Time of the wall, ms since 1970. */
  nowMs(): number
  /** Rows that may wait in memory, now. */
  rowsMax(): number
  /** Bytes of rows that a message is filled up to. */
  readonly chunkBytes: number
  /** Time of the thread that may be taken at once, ms. */
  readonly turnMs: number
  /** What follows in the order of commits behind a place, as a feed of the log. */
  openLive(head: number): Feed
  /** It could not be read. */
  onError(error: Error): void
  /** It is closed. */
  onClosed(): void
}

export class ReplayFeed implements Feed {
  private readonly request: ReplayRequest
  private readonly parts: ReplayParts
  private readonly clock: ReplayClock
  private readonly ahead: ReadAhead
  /** Devices whose last place that was sent lies in the area. */
  private readonly inside = new Set<number>()
  /** Devices that were outside when they were first seen; the client may have them inside from before. */
  private outside: Set<number> | undefined
  private live: Feed | undefined
  private ended = false
  private closed = false
  private turn: NodeJS.Immediate | undefined
  private clockToldMs = 0
  /** Behind what was sent. */
  private place: ReplayPlace

  constructor(request: ReplayRequest, parts: ReplayParts) {
    this.request = request
    this.parts = parts
    this.place = request.from
    if (request.area !== null && !('beforeUs' in request.from)) this.outside = new Set()
    this.clock = new ReplayClock(parts.nowMs, placeUs(request.from) / 1_000, request.speed)
    this.ahead = new ReadAhead({
      source: parts.source,
      events: request.events,
      rowsMax: parts.rowsMax,
      nowMs: parts.nowMs,
      onRead: (failedMs, error) => this.onRead(failedMs, error),
    })
    this.ahead.moveTo(request.from)
    const header = parts.outlet.encoding.header(parts.outlet.id)
    if (header !== null) parts.outlet.send(header)
    this.tellClock()
    this.fill()
  }

  /** Whether storage is being asked. */
  get isReading(): boolean {
    return this.ahead.isReading
  }

  /** Rows that it holds in memory. */
  get rows(): number {
    return this.ahead.rows
  }

  tick(): void {
    if (this.closed) return
    if (this.live !== undefined) {
      this.live.tick()
      return
    }
    this.pump()
    if (this.isRunning && this.parts.nowMs() - this.clockToldMs >= CLOCK_MS && !this.parts.outlet.full) {
      this.tellClock()
    }
    this.fill()
  }

  drained(): void {
    if (this.live !== undefined) this.live.drained()
    else this.tick()
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    if (this.turn !== undefined) clearImmediate(this.turn)
    this.ahead.close()
    this.live?.close()
    this.parts.onClosed()
  }

  pause(): void {
    this.clock.paused = true
    this.tellClock()
  }

  resume(): void {
    this.clock.paused = false
    this.tellClock()
    this.tick()
  }

  setSpeed(speed: number): void {
    this.clock.speed = speed
    this.tellClock()
    this.tick()
  }

  /** Goes on at another time, also after the end, and from live back into history. */
  seek(timeMs: number): void {
    this.live?.close()
    this.live = undefined
    this.ended = false
    this.place = { beforeUs: timeMs * 1_000 }
    this.ahead.moveTo(this.place)
    this.clock.moveTo(timeMs)
    this.tellClock()
    this.tick()
  }

  private get isRunning(): boolean {
    return !(this.ended || this.clock.paused)
  }

  /** Time up to which it is read at all, µs: the present is not over. */
  private get endUs(): number {
    return Math.min(this.request.toMs ?? Number.POSITIVE_INFINITY, this.parts.nowMs()) * 1_000
  }

  private fill(): void {
    if (this.closed || this.ended || this.live !== undefined) return
    const { toMs, delayed } = this.request
    const { endUs } = this
    const { speed, timeMs } = this.clock
    // What is told with a delay is read when it is due, so that what came late by then is in it.
    const aheadMs = delayed ? 0 : AHEAD_MS * speed
    const wantedUs = speed === 0 ? endUs : Math.min(endUs, Math.ceil((timeMs + aheadMs) * 1_000))
    const toLive = toMs === undefined && !delayed && wantedUs === endUs
    const toEnd = toMs !== undefined && wantedUs === toMs * 1_000
    // One read a second, and not one for each tick.
    const worthwhileUs = toLive || toEnd ? 1 : READ_MS * 1_000 * (speed || 1)
    if (!toLive && wantedUs - this.ahead.readUs < worthwhileUs) return
    this.ahead.fill(wantedUs, toLive)
  }

  private onRead(failedMs: number, error: Error | undefined): void {
    if (this.closed) return
    if (error !== undefined) {
      this.parts.onError(error)
      if (failedMs < STORAGE_TIMEOUT_MS) return
      const { outlet } = this.parts
      const detail = 'the database can not be read now: subscribe again later, from the last cursor'
      outlet.send({ type: 'error', id: outlet.id, code: 'storage-unavailable', detail })
      this.close()
      outlet.end()
      return
    }
    this.tick()
  }

  /** Sends what is due, for a turn; the rest in further turns, so that others have the thread in between. */
  private pump(): void {
    if (!this.isRunning || this.turn !== undefined) return
    const untilMs = performance.now() + this.parts.turnMs
    let stretch = this.ahead.first
    while (stretch !== undefined && !this.parts.outlet.full) {
      if (stretch.isEmpty) {
        this.goLive(stretch.head!)
        return
      }
      if (!this.sendDue(stretch)) break
      if (this.closed) return
      if (performance.now() > untilMs) {
        this.turn = setImmediate(() => {
          this.turn = undefined
          this.tick()
        })
        return
      }
      stretch = this.ahead.first
    }
    this.holdClock(stretch)
    this.endIfDone(stretch)
  }

  /** The clock does not run ahead of what could be sent. */
  private holdClock(stretch: Stretch | undefined): void {
    const doneUs = stretch?.nextUs ?? this.ahead.readUs
    if (this.clock.speed === 0) this.clock.moveTo(Math.min(doneUs, this.endUs) / 1_000)
    else if (!this.request.delayed) this.clock.holdAt(doneUs / 1_000)
  }

  private endIfDone(stretch: Stretch | undefined): void {
    const { toMs } = this.request
    if (toMs === undefined || stretch !== undefined) return
    if (this.ahead.readUs < toMs * 1_000 || this.clock.timeMs < toMs) return
    this.ended = true
    this.clock.moveTo(toMs)
    this.place = { beforeUs: toMs * 1_000 }
    const { outlet } = this.parts
    outlet.send({ type: 'end', id: outlet.id, cursor: writeReplayCursor(this.place) })
  }

  private goLive(head: number): void {
    this.ahead.close()
    this.live = this.parts.openLive(head)
    this.live.tick()
  }

  /** @returns Whether anything was due. */
  private sendDue(stretch: Stretch): boolean {
    const dueUs = this.clock.speed === 0 ? Number.POSITIVE_INFINITY : this.clock.timeMs * 1_000
    if (stretch.nextUs > dueUs) return false
    if (stretch.nextRow >= 0) this.sendRows(stretch, dueUs)
    else this.sendEvents(stretch, dueUs)
    return true
  }

  private sendRows(stretch: Stretch, dueUs: number): void {
    const { outlet, chunkBytes } = this.parts
    const { encoding } = outlet
    const { area } = this.request
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
      const cursor = writeReplayCursor(this.place)
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

  private sendEvents(stretch: Stretch, dueUs: number): void {
    const { outlet, chunkBytes } = this.parts
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
    const cursor = writeReplayCursor(this.place)
    const joined = encoded.join(encoding.separator)
    const message = encoding.encodeRows('events', outlet.id, cursor, encoded.length, joined)
    outlet.writeRows(message, 'events', encoded.length)
  }

  /** In an area, events of devices that are inside, or that happened there. */
  private sees({ event }: ReplayEvent): boolean {
    const { area } = this.request
    if (area === null || this.inside.has(event.device)) return true
    return (
      event.latitude !== null && event.longitude !== null && area.contains(event.latitude, event.longitude)
    )
  }

  private tellClock(): void {
    const { outlet, nowMs } = this.parts
    this.clockToldMs = nowMs()
    outlet.send({
      type: 'clock',
      id: outlet.id,
      time: new Date(this.clock.timeMs).toISOString(),
      speed: this.clock.speed,
      paused: this.clock.paused,
    })
  }
}
