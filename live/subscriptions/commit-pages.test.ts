import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import type { CommitReader, StoredCommits } from '../log/stored-commits.ts'
import { liveMetrics } from '../metrics.ts'
import { LIVE_LIMITS } from '../options.ts'
import { CommitPages } from './commit-pages.ts'

/** A storage whose answers come when they are let. */
class HeldStorage implements CommitReader {
  newest = 0
  reads = 0
  private readonly held: (() => void)[] = []

  async head(): Promise<{ newest: number; oldest: number }> {
    return { newest: this.newest, oldest: Math.min(1, this.newest) }
  }

  async rowsBehind(): Promise<number> {
    return 0
  }

  async commits(after: number): Promise<StoredCommits> {
    this.reads++
    const commits = Array.from({ length: this.newest - after }, (_, i) => ({
      sequence: after + i + 1,
      rows: new Uint32Array(0),
      events: [],
    }))
    await new Promise<void>((resolve) => this.held.push(resolve))
    return { batch: null, commits }
  }

  async letAnswer(): Promise<void> {
    while (this.held.length === 0) await new Promise(setImmediate)
    this.held.shift()!()
  }
}

describe('a page', () => {
  test('that was under way when something was stored is read again for who asked for it afterwards', async () => {
    const storage = new HeldStorage()
    const pages = new CommitPages(storage, LIVE_LIMITS, liveMetrics(new Registry()), () => 0)
    storage.newest = 40
    const before = pages.get(40)
    await new Promise(setImmediate)
    storage.newest = 42
    const afterwards = [pages.get(40), pages.get(40)]
    await storage.letAnswer()
    expect(await before).toMatchObject({ after: 40, last: 40 })
    await storage.letAnswer()
    for (const page of await Promise.all(afterwards)) expect(page).toMatchObject({ after: 40, last: 42 })
    // Both waited for the same.
    expect(storage.reads).toBe(2)
    expect(await pages.get(40)).toMatchObject({ last: 42 })
    expect(storage.reads).toBe(2)
  })
})
