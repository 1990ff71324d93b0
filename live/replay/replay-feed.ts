/**
 * Feeds a subscription from storage, by a clock: what the clock has passed is sent. Where it is behind with sending, since
 * the client takes nothing or storage is slow, the clock waits; only a replay that stays so far behind the present runs
 * on, and catches up.
 */
import type { Feed, Outlet, Refusal, ReplayMessage } from '../subscriptions/feed.ts'
import { ReadAhead, type ReplaySource } from './read-ahead.ts'
import { ReplayClock } from './replay-clock.ts'
import { placeUs, type ReplayPlace } from './replay-cursor.ts'
import { type ReplayArea, ReplaySender } from './replay-sender.ts'
import type { Stretch } from './stretch.ts'

/** Rows are read so far ahead of the clock, in time of the wall, ms. */
const AHEAD_MS = 5_000
/** The clock is told of after it, ms. */
const CLOCK_MS = 1_000
/** Storage that can not be read for so long ends a replay, ms. */
export const STORAGE_TIMEOUT_MS = 30_000
/** Less than that, in time of the wall, is not read by itself, ms. */
const READ_MS = 1_000
const UNREADABLE: Refusal = {
  code: 'storage-unavailable',
  detail: 'the database can not be read now: subscribe again later, from the last cursor',
}

/** What a replay is to send. */
export interface ReplayRequest {
  readonly from: ReplayPlace
  /** Time before which its last row lies, ms UTC; undefined = it goes on into live. */
  readonly toMs: number | undefined
  /** 0 = as fast as it is taken. */
  readonly speed: number
  readonly events: boolean
  /** Only places inside are sent; null = all. */
  readonly area: ReplayArea | null
  /** Devices that it names, for the limit of the socket. */
  readonly deviceCount: number
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
  openLive(head: number): Promise<Feed | Refusal>
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
  private readonly sender: ReplaySender
  private live: Feed | undefined
  /** Whether what follows is the log's; it may not be open yet. */
  private isLive = false
  private ended = false
  private closed = false
  private turn: NodeJS.Immediate | undefined
  /** Time of the wall; undefined = it has not begun. */
  private clockToldMs: number | undefined

  constructor(request: ReplayRequest, parts: ReplayParts) {
    this.request = request
    this.parts = parts
    this.sender = new ReplaySender(parts.outlet, request.area, request.from, parts.chunkBytes)
    this.clock = new ReplayClock(parts.nowMs, placeUs(request.from) / 1_000, request.speed)
    this.ahead = new ReadAhead({
      source: parts.source,
      events: request.events,
      rowsMax: parts.rowsMax,
      nowMs: parts.nowMs,
      onRead: (failedMs, error) => this.onRead(failedMs, error),
    })
    this.ahead.moveTo(request.from)
  }

  get deviceCount(): number {
    return this.request.deviceCount
  }

  /** Whether it is one that stays behind the present. */
  get isDelayed(): boolean {
    return this.request.delayed
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
    if (this.closed || this.isLive) return
    if (!this.request.delayed && this.isClockDue()) this.tellClock()
    this.pump()
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

  control(message: ReplayMessage): Refusal | undefined {
    const { id } = this.parts.outlet
    if (this.request.delayed) return { code: 'not-a-replay', detail: `subscription ${id} is live` }
    if (message.type === 'seek') {
      this.seek(Math.max(0, Date.parse(message.to)))
      return undefined
    }
    if (this.isLive) {
      return { code: 'not-a-replay', detail: `subscription ${id} has become live: seek, or subscribe again` }
    }
    if (message.type === 'speed') this.clock.speed = message.speed
    else this.clock.paused = message.type === 'pause'
    this.tellClock()
    this.tick()
    return undefined
  }

  /** Goes on at another time, also after the end, and from live back into history. */
  private seek(timeMs: number): void {
    this.live?.close()
    this.live = undefined
    this.isLive = false
    this.ended = false
    this.sender.place = { beforeUs: timeMs * 1_000 }
    this.ahead.moveTo(this.sender.place)
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
    if (this.closed || this.ended || this.isLive) return
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
      this.fail(UNREADABLE)
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
        void this.goLive(stretch.head!)
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
    this.sender.place = { beforeUs: toMs * 1_000 }
    const { outlet } = this.parts
    outlet.send({ type: 'end', id: outlet.id, cursor: this.sender.cursor })
  }

  private async goLive(head: number): Promise<void> {
    this.ahead.close()
    this.isLive = true
    const live = await this.parts.openLive(head)
    if (this.closed || !this.isLive || this.live !== undefined) {
      if (!('code' in live)) live.close()
    } else if ('code' in live) this.fail(live)
    else {
      this.live = live
      live.tick()
    }
  }

  private fail(refusal: Refusal): void {
    const { outlet } = this.parts
    outlet.send({ type: 'error', id: outlet.id, ...refusal })
    this.close()
    outlet.end()
  }

  /** @returns Whether anything was due. */
  private sendDue(stretch: Stretch): boolean {
    const dueUs = this.clock.speed === 0 ? Number.POSITIVE_INFINITY : this.clock.timeMs * 1_000
    if (stretch.nextUs > dueUs) return false
    if (stretch.nextRow >= 0) this.sender.sendRows(stretch, dueUs)
    else this.sender.sendEvents(stretch, dueUs)
    return true
  }

  private isClockDue(): boolean {
    if (this.clockToldMs === undefined) return true
    return this.isRunning && this.parts.nowMs() - this.clockToldMs >= CLOCK_MS && !this.parts.outlet.full
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
