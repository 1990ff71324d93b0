/**
 * Puts commits into the order in which they were stored, each once, whatever way they come: from several shards, twice,
 * or not at all. Their sequences have few holes. One that lasts is looked up in storage: what is there is taken from
 * there, and what is not there never was, since a commit is only told of when all before it can be seen. When nothing
 * comes for a while storage is asked how far it is: so whatever way loses something, nothing is lost.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { discard } from '../../schemas/discard.ts'
import type { Commit } from '../../schemas/live-port.ts'
import { type PositionBatch, transferables } from '../../schemas/position-batch.ts'
import type { CommitReader } from './stored-commits.ts'

/** How long a hole may last before it is looked up, ms: commits of several shards overtake each other by less. */
const GAP_MS = 250
/** How often storage is asked how far it is when nothing comes, and asked again when it could not be, ms. */
const POLL_MS = 1_000

interface Received {
  readonly batch: PositionBatch | null
  /** Commits of it that wait. */
  waiting: number
}

export interface SequencerOptions {
  /** Sequence of the last commit that is taken as delivered. */
  readonly sequence: number
  readonly reader: CommitReader
  readonly log: Logger
  /** Rows and events that may wait for commits before theirs; more are left out, and found in storage later. */
  readonly waitingRowsMax: number
  /** Rows and events that may be read from storage to catch up; beyond that it jumps. */
  readonly catchUpRowsMax: number
  /** @returns False = not now: {@link Sequencer.resume} is called when it can be. */
  deliver(batch: PositionBatch | null, commit: Commit): boolean
  /** Leaves out what lies between, and reads anew what is. @returns The sequence that it goes on behind. */
  jump(): Promise<number>
  /** A commit is left out, since too many rows wait. */
  onLeftOut(): void
  /** Commits that were read from storage, since they did not come. */
  onLookedUp(commits: number): void
}

export class Sequencer {
  private readonly options: SequencerOptions
  private readonly waiting = new Map<number, { readonly received: Received; readonly commit: Commit }>()
  private waitingRows = 0
  private last: number
  private gapTimer: NodeJS.Timeout | undefined
  private readonly pollTimer: NodeJS.Timeout
  /** Whether something came since storage was asked last. */
  private heard = false
  private catchingUp: Promise<void> | undefined
  private resumed: (() => void) | undefined
  private closed = false
  private readonly closing = new AbortController()

  constructor(options: SequencerOptions) {
    this.options = options
    this.last = options.sequence
    this.pollTimer = setInterval(() => void this.poll(), POLL_MS)
  }

  /** Sequence of the last commit that was delivered. */
  get sequence(): number {
    return this.last
  }

  /** Takes commits, in any order. The batch belongs to the sequencer from here on. */
  receive(batch: PositionBatch | null, commits: readonly Commit[]): void {
    this.heard = true
    const received: Received = { batch, waiting: 1 }
    for (const commit of commits) {
      const { sequence } = commit
      const rows = rowsOf(commit)
      if (sequence <= this.last || this.waiting.has(sequence)) continue
      const isNext = sequence === this.last + 1 && this.catchingUp === undefined
      if (!isNext && this.waitingRows + rows > this.options.waitingRowsMax) {
        this.options.onLeftOut()
        continue
      }
      received.waiting++
      this.waitingRows += rows
      this.waiting.set(sequence, { received, commit })
    }
    this.done(received)
    this.advance()
  }

  /** What could not be delivered can be. */
  resume(): void {
    this.resumed?.()
    this.resumed = undefined
    this.advance()
  }

  /** Asks storage soon how far it is, as when nothing comes. */
  async poll(): Promise<void> {
    if (this.heard || this.catchingUp !== undefined) {
      this.heard = false
      return
    }
    try {
      const { newest } = await this.options.reader.head()
      if (newest > this.last) this.catchUp(newest)
    } catch (error) {
      this.options.log.warn({ err: error }, 'live could not ask how far storage is: it asks again')
    }
  }

  /** Resolves when what is being read from storage is delivered. */
  async caughtUp(): Promise<void> {
    await this.catchingUp
  }

  async close(): Promise<void> {
    this.closed = true
    this.closing.abort()
    clearInterval(this.pollTimer)
    clearTimeout(this.gapTimer)
    this.resumed?.()
    await this.catchingUp
  }

  /** Delivers what is next. */
  private advance(): void {
    // While storage is read it is that what delivers, or a commit would be overtaken that waits for its devices.
    if (this.catchingUp !== undefined || this.closed) return
    for (;;) {
      const next = this.waiting.get(this.last + 1)
      if (next === undefined) break
      if (!this.options.deliver(next.received.batch, next.commit)) return
      this.passed(next.commit.sequence)
    }
    if (this.waiting.size > 0) this.gapTimer ??= setTimeout(() => this.lookUpGap(), GAP_MS)
    else {
      clearTimeout(this.gapTimer)
      this.gapTimer = undefined
    }
  }

  private lookUpGap(): void {
    this.gapTimer = undefined
    if (this.waiting.size === 0) return
    const least = this.leastWaiting()
    // The hole of before is closed, and there is a new one.
    if (least > this.last + 1) this.catchUp(least)
    else this.advance()
  }

  /** Reads from storage until it has come to `sequence`. */
  private catchUp(sequence: number): void {
    if (this.catchingUp !== undefined || this.closed) return
    this.catchingUp = this.readUpTo(sequence)
      .catch(async (error: Error) => {
        if (this.closed) return
        this.options.log.warn({ err: error }, 'live could not read what it has missed: it tries again')
        // An error means that it was closed meanwhile.
        await sleep(POLL_MS, undefined, { signal: this.closing.signal }).catch(() => undefined)
      })
      .finally(() => {
        this.catchingUp = undefined
        this.advance()
      })
  }

  private async readUpTo(sequence: number): Promise<void> {
    const { reader, catchUpRowsMax } = this.options
    const { oldest } = await reader.head()
    if (oldest > this.last + 1 || (await reader.rowsBehind(this.last)) > catchUpRowsMax) {
      this.passed(await this.options.jump())
    }
    while (this.last < sequence && !this.closed) {
      const { batch, commits } = await reader.commits(this.last)
      let taken = 0
      for (const commit of commits) {
        if (commit.sequence <= this.last) continue
        await this.deliverWhenReady(batch, commit)
        taken++
      }
      this.options.onLookedUp(taken)
      if (batch !== null) discard(transferables(batch.toMessage()))
      if (taken > 0) continue
      // Nothing is there: what was between never was.
      for (let next = this.leastWaiting(); next <= sequence; next = this.leastWaiting()) {
        const { received, commit } = this.waiting.get(next)!
        await this.deliverWhenReady(received.batch, commit)
      }
      return
    }
  }

  private async deliverWhenReady(batch: PositionBatch | null, commit: Commit): Promise<void> {
    while (!this.closed && !this.options.deliver(batch, commit)) {
      await new Promise<void>((resolve) => {
        this.resumed = resolve
      })
    }
    this.passed(commit.sequence)
  }

  /** What has come up to the sequence is done with. */
  private passed(sequence: number): void {
    const from = this.last
    this.last = sequence
    if (sequence === from + 1) this.forget(sequence)
    else for (const other of [...this.waiting.keys()]) if (other <= sequence) this.forget(other)
  }

  private forget(sequence: number): void {
    const waiting = this.waiting.get(sequence)
    if (waiting === undefined) return
    this.waiting.delete(sequence)
    this.waitingRows -= rowsOf(waiting.commit)
    this.done(waiting.received)
  }

  /** Frees a batch with the last of its commits. */
  private done(received: Received): void {
    received.waiting--
    if (received.waiting === 0 && received.batch !== null) discard(transferables(received.batch.toMessage()))
  }

  private leastWaiting(): number {
    let least = Number.POSITIVE_INFINITY
    for (const sequence of this.waiting.keys()) least = Math.min(least, sequence)
    return least
  }
}

/** Rows and events of a commit; one at least, since it takes memory itself. */
function rowsOf({ rows, events }: Commit): number {
  return Math.max(1, rows.length + events.length)
}
