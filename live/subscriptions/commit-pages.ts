/**
 * Pages of commits that are read from storage for those who go on from a cursor that memory does not reach back to. After
 * a break of the network, or a restart, many come at once with nearly the same cursor: pages begin and end at the same
 * commits for all of them, and the newest of them are kept.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { discard } from '../../schemas/discard.ts'
import { transferables } from '../../schemas/position-batch.ts'
import { LogSegment } from '../log/segment.ts'
import type { CommitReader } from '../log/stored-commits.ts'
import type { LiveMetrics } from '../metrics.ts'
import type { LiveLimits } from '../options.ts'

/** Cursors of so many commits share the first page of their way. */
const ALIGNED_COMMITS = 32
/** No page goes over a multiple of so many commits: there all ways become one. */
const BLOCK_COMMITS = 1_024
/** Pages that are read at the same time: the others wait. */
const READS_MAX = 2
/** While storage can not be read it is tried so many times, with a pause between, ms. */
const TRIES_MAX = 10
const RETRY_MS = 1_000

export interface CommitPage {
  readonly segment: LogSegment
  /** Sequence that it begins behind, and of the last commit that it goes up to; the same = there is nothing behind it. */
  readonly after: number
  readonly last: number
  /** Least sequence that storage keeps: what is before it may be missing here. */
  readonly oldest: number
}

export class CommitPages {
  private readonly reader: CommitReader
  private readonly limits: LiveLimits
  private readonly metrics: LiveMetrics
  private readonly slotOf: (device: number) => number
  /** By the sequence that a page begins behind; the one used last is the last. */
  private readonly pages = new Map<number, Promise<CommitPage>>()
  private readonly queue: (() => void)[] = []
  private reading = 0
  private closed = false

  constructor(
    reader: CommitReader,
    limits: LiveLimits,
    metrics: LiveMetrics,
    slotOf: (device: number) => number,
  ) {
    this.reader = reader
    this.limits = limits
    this.metrics = metrics
    this.slotOf = slotOf
  }

  /** Pages held. */
  get size(): number {
    return this.pages.size
  }

  /** Where the way from a cursor begins. */
  static startFor(sequence: number): number {
    return Math.floor(Math.max(0, sequence - 1) / ALIGNED_COMMITS) * ALIGNED_COMMITS
  }

  /**
   * What follows a sequence: all that was stored when it was asked for, or more, as far as a page goes.
   * @throws Error if storage can not be read.
   */
  async get(after: number): Promise<CommitPage> {
    const underWay = this.pages.get(after)
    if (underWay === undefined) return this.begin(after)
    this.keep(after, underWay)
    const page = await underWay
    if (page.last > after) return page
    // It may have been read before this was asked for. One that was begun since by another who waited for it was not.
    return this.pages.get(after) ?? this.begin(after)
  }

  /** How far storage is, see {@link CommitReader.head}. */
  head(): ReturnType<CommitReader['head']> {
    return this.tried(() => this.reader.head())
  }

  close(): void {
    this.closed = true
  }

  private begin(after: number): Promise<CommitPage> {
    const page = this.read(after)
    const forget = () => {
      if (this.pages.get(after) === page) this.pages.delete(after)
    }
    // A page that ends where nothing is yet will have more; one that could not be read is no page.
    page.then(({ last }) => last === after && forget(), forget)
    this.keep(after, page)
    return page
  }

  /** As the one that was used last. */
  private keep(after: number, page: Promise<CommitPage>): void {
    this.pages.delete(after)
    this.pages.set(after, page)
    if (this.pages.size > this.limits.resumePagesMax) {
      this.metrics.limitMet('resumePagesMax')
      this.pages.delete(this.pages.keys().next().value!)
    }
  }

  private async read(after: number): Promise<CommitPage> {
    while (this.reading >= READS_MAX) await new Promise<void>((resolve) => this.queue.push(resolve))
    this.reading++
    try {
      const { batch, commits } = await this.tried(() => this.reader.commits(after))
      // Asked afterwards: what is there now was there before.
      const { oldest } = await this.head()
      const end = (Math.floor(after / BLOCK_COMMITS) + 1) * BLOCK_COMMITS
      const taken = commits.filter(({ sequence }) => sequence <= end)
      let items = 0
      for (const { rows, events } of taken) items += rows.length + events.length
      const segment = new LogSegment(Math.max(8, Math.ceil(items / 8) * 8))
      for (const { sequence, rows, events } of taken)
        segment.append(sequence, batch, rows, events, this.slotOf)
      if (batch !== null) discard(transferables(batch.toMessage()))
      this.metrics.pagesRead.inc()
      // Commits further on say that there are none up to the end of the block.
      const last = taken.length < commits.length ? end : (taken.at(-1)?.sequence ?? after)
      return { segment, after, last, oldest }
    } finally {
      this.reading--
      this.queue.shift()?.()
    }
  }

  private async tried<T>(read: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await read()
      } catch (error) {
        if (tries === TRIES_MAX || this.closed) throw error
        await sleep(RETRY_MS)
      }
    }
  }
}
