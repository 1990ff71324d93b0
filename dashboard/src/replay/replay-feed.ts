/**
 * Brings the positions of a replay into memory, ahead of the clock: where everyone stood, then every fix in the order of
 * its time, as fast as the page takes them. Enough ahead, the server is asked to wait; far behind, points are forgotten.
 */
import type { Fleet } from '../fleet/fleet.ts'
import type { Fix } from '../wire/rows.ts'
import { type Session, wordsOf } from '../wire/session.ts'
import type { Stream } from '../wire/stream.ts'
import type { Subscription } from '../wire/subscription.ts'
import { readSnapshot, type SnapshotRow, scopeOf } from './history.ts'
import type { ReplayClock } from './replay-clock.ts'
import { GAP_MS, type ReplayMotion } from './replay-motion.ts'
import type { Who } from './replay-view.ts'

/** Points ahead of the clock at which the server is asked to wait; it goes on at half. */
const AHEAD_MAX = 200_000
/** Points in memory; of more, those behind the clock are forgotten. */
const HELD_MAX = 600_000

export interface ReplayFeedListener {
  /** Positions have come. */
  onPositions(): void
  /** The places at the beginning are there: the map can be fitted to them. */
  onReady(): void
  /** It was read to its end, and there is no position in it. */
  onEmpty(): void
  /** Something did not come; `detail` is fit to be shown. */
  onFault(kind: 'snapshot' | 'stream', detail: string): void
}

export class ReplayFeed {
  readonly #session: Session
  readonly #stream: Stream
  readonly #fleet: Fleet
  readonly #motion: ReplayMotion
  readonly #clock: ReplayClock
  readonly #listener: ReplayFeedListener
  #who: Who = { kind: 'all' }
  #subscription: Subscription | null = null
  /** All positions from here to {@link #knownToMs} are in memory. */
  #knownFromMs = 0
  #knownToMs = 0
  /** Whether the server was asked to wait. */
  #held = false
  /** Counts readings, so that a late answer to a former one is passed over. */
  #generation = 0

  constructor(
    session: Session,
    stream: Stream,
    fleet: Fleet,
    motion: ReplayMotion,
    clock: ReplayClock,
    listener: ReplayFeedListener,
  ) {
    this.#session = session
    this.#stream = stream
    this.#fleet = fleet
    this.#motion = motion
    this.#clock = clock
    this.#listener = listener
  }

  /** From and to when positions are in memory, ms UTC. */
  get known(): readonly [fromMs: number, toMs: number] {
    return [this.#knownFromMs, this.#knownToMs]
  }

  /** Reads the past of others, or another range; the clock says which, and where to begin. */
  load(who: Who): void {
    this.#who = who
    this.#read(this.#clock.timeMs)
  }

  /** Whether the clock can be moved there without reading anew. */
  has(timeMs: number): boolean {
    return timeMs >= this.#knownFromMs && timeMs <= this.#knownToMs && this.#knownToMs > this.#knownFromMs
  }

  /** Moves the clock; what is not in memory is read. */
  seek(timeMs: number): void {
    this.#clock.seek(timeMs, performance.now())
    if (!this.has(timeMs)) this.#read(timeMs)
    else {
      this.#motion.sample(performance.now())
      this.#motion.redrawTrail()
    }
  }

  /** Keeps what is in memory within its bounds; to be called now and then. */
  tick(): void {
    if (this.#subscription === null) return
    const { ahead, held } = this.#motion
    if (!this.#held && ahead > AHEAD_MAX) this.#hold(true)
    else if (this.#held && ahead < AHEAD_MAX / 2) this.#hold(false)
    const behindMs = this.#clock.timeMs - GAP_MS
    if (held - ahead > HELD_MAX - AHEAD_MAX && behindMs > this.#knownFromMs) {
      this.#motion.forgetBefore(behindMs)
      this.#knownFromMs = behindMs
    }
  }

  /** Reads nothing more. */
  stop(): void {
    this.#generation++
    this.#subscription?.close()
    this.#subscription = null
  }

  #read(timeMs: number): void {
    this.stop()
    const generation = this.#generation
    const { fromMs, toMs } = this.#clock
    // The trail behind the vehicles is read, too.
    const startMs = Math.max(fromMs, timeMs - Math.max(this.#motion.trailMs, GAP_MS))
    this.#motion.forget()
    this.#knownFromMs = startMs
    this.#knowTo(startMs)
    this.#held = false
    readSnapshot(this.#session, this.#who, startMs, (rows) => {
      if (generation === this.#generation) this.#onSnapshot(rows)
    }).then(
      () => {
        if (generation === this.#generation) this.#listener.onReady()
      },
      (error: unknown) => {
        if (generation === this.#generation) this.#listener.onFault('snapshot', wordsOf(error))
      },
    )
    this.#subscribe(startMs, toMs)
  }

  #subscribe(fromMs: number, toMs: number): void {
    const request = {
      scope: scopeOf(this.#who),
      from: new Date(fromMs).toISOString(),
      to: new Date(toMs).toISOString(),
      speed: 0,
      events: false,
    }
    this.#subscription = this.#stream.subscribe(request, {
      onPositions: (fixes) => this.#onPositions(fixes),
      onClock: ({ timeMs }) => {
        // In a long silence nothing comes, and that is known, too.
        if (timeMs > this.#knownToMs) this.#knowTo(timeMs)
      },
      onEnd: () => {
        this.#knowTo(toMs)
        this.#listener.onPositions()
        if (this.#motion.held === 0) this.#listener.onEmpty()
      },
      onError: (_code, detail) => this.#listener.onFault('stream', detail),
      onReturn: (cursor) => {
        // The server does not know that it was asked to wait.
        this.#held = false
        return { ...request, from: cursor ?? request.from }
      },
    })
  }

  #hold(held: boolean): void {
    this.#held = held
    this.#subscription?.control({ type: held ? 'pause' : 'resume' })
  }

  #onSnapshot(rows: readonly SnapshotRow[]): void {
    for (const { device, fixTime, latitude, longitude, speed, course } of rows) {
      this.#motion.put(this.#rowOf(device), Date.parse(fixTime), latitude, longitude, speed, course)
    }
    this.#listener.onPositions()
  }

  #onPositions(fixes: readonly Fix[]): void {
    for (const { device, fixTimeMs, latitude, longitude, speed, course } of fixes) {
      this.#motion.put(this.#rowOf(device), fixTimeMs, latitude, longitude, speed, course)
    }
    const last = fixes.at(-1)
    if (last !== undefined) this.#knowTo(last.fixTimeMs)
    this.tick()
    this.#listener.onPositions()
  }

  #knowTo(timeMs: number): void {
    this.#knownToMs = timeMs
    this.#clock.setKnownTo(timeMs)
  }

  #rowOf(device: number): number {
    const known = this.#fleet.get(device)
    if (known !== undefined) return known.row
    // The directory names it later, or it is there no more.
    this.#fleet.describe([{ id: device, uniqueId: '', name: `Device ${device}`, model: '', disabled: false }])
    return this.#fleet.get(device)!.row
  }
}
