/**
 * Ingest's end of a way to live, a shard's or that of the timers, with a bound that ingest never waits for: while live
 * has too many batches to take yet, further ones are left out, and only the numbers of their devices are kept. When live
 * has caught up it gets these, and reads the last positions from the database, which are those left out or newer: what is
 * published is committed. Of events it gets how many were left out of which device, which is what it tells its clients.
 */
import type { MessagePort } from 'node:worker_threads'
import type { LiveEvent, MissedEvents, ShardToLive } from '../../schemas/live-port.ts'
import { type PositionBatch, transferables } from '../../schemas/position-batch.ts'

/** Batches that live has not taken yet, at most; of the largest these are 50 MB. */
export const LIVE_BATCHES_MAX = 16
/** Live has caught up when it has no more than so many to take. */
const LIVE_BATCHES_CAUGHT_UP = 4
/** How often it is looked at whether live has caught up, ms. */
const CATCH_UP_POLL_MS = 50

export class LiveOutlet {
  private readonly port: MessagePort
  private readonly untaken = new Int32Array(new SharedArrayBuffer(4))
  /** Devices of what was left out; at most all of the shard's. */
  private readonly missed = new Set<number>()
  /** By device and organisation; at most the same number, twice over where they move. */
  private readonly missedEvents = new Map<string, MissedEvents>()
  private poll: NodeJS.Timeout | undefined

  constructor(port: MessagePort) {
    this.port = port
    this.post({ type: 'count', untaken: this.untaken })
  }

  /** Publishes rows that are committed. The batch must not be used afterwards. */
  publish(batch: PositionBatch): void {
    if (this.hasRoom()) {
      const message = batch.toMessage()
      this.post(message, transferables(message))
      return
    }
    for (let row = 0; row < batch.length; row++) {
      if (batch.quality[row] === 0) this.missed.add(batch.device[row]!)
    }
  }

  /** Publishes events that are committed, after the rows that caused them. */
  publishEvents(events: readonly LiveEvent[]): void {
    if (events.length === 0) return
    if (this.hasRoom()) {
      this.post({ type: 'events', events })
      return
    }
    this.leaveOutEvents(events)
  }

  /** Tells of committed events no more than how many there were of each device, when live has caught up. */
  leaveOutEvents(events: readonly LiveEvent[]): void {
    this.poll ??= setInterval(() => this.catchUp(), CATCH_UP_POLL_MS)
    for (const { organizationId, device } of events) {
      const key = `${organizationId}/${device}`
      const count = (this.missedEvents.get(key)?.count ?? 0) + 1
      this.missedEvents.set(key, { organizationId, device, count })
    }
  }

  close(): void {
    clearInterval(this.poll)
    this.port.close()
  }

  /** Takes a place for a batch, if live has not too many; else what follows is left out until it has caught up. */
  private hasRoom(): boolean {
    if (this.poll === undefined && Atomics.load(this.untaken, 0) < LIVE_BATCHES_MAX) {
      Atomics.add(this.untaken, 0, 1)
      return true
    }
    this.poll ??= setInterval(() => this.catchUp(), CATCH_UP_POLL_MS)
    return false
  }

  private catchUp(): void {
    if (Atomics.load(this.untaken, 0) > LIVE_BATCHES_CAUGHT_UP) return
    clearInterval(this.poll)
    this.poll = undefined
    if (this.missed.size > 0) this.post({ type: 'missed', devices: Uint32Array.from(this.missed) })
    this.missed.clear()
    if (this.missedEvents.size > 0) {
      this.post({ type: 'missed-events', missed: [...this.missedEvents.values()] })
    }
    this.missedEvents.clear()
  }

  private post(message: ShardToLive, transfer: ArrayBuffer[] = []): void {
    this.port.postMessage(message, transfer)
  }
}
