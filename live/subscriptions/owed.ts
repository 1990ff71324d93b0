/** What a subscription would have been sent while its socket had enough: of that, what it never gets is told. */
import type { View } from './chunks.ts'
import type { Outlet } from './feed.ts'
import type { Hub } from './hub.ts'

export interface Count {
  readonly rows: number
  readonly events: number
}

export class Owed {
  private rows = 0
  private events = 0
  /** Item of the log up to which it is counted. */
  private to = 0
  private readonly hub: Hub

  constructor(hub: Hub) {
    this.hub = hub
  }

  /** Begins anew with what is owed up to the end of the log. */
  begin({ rows, events }: Count): void {
    this.rows = rows
    this.events = events
    this.to = this.hub.stream.commits.end
  }

  /** What has come so far was counted, by whatever scope there was. */
  skip(): void {
    this.to = this.hub.stream.commits.end
  }

  add(isEvent: boolean): void {
    if (isEvent) this.events++
    else this.rows++
  }

  /** Counts what has come since, for who gets everything. */
  addEverything(view: View): void {
    const { chunks, stream } = this.hub
    const { end } = stream.commits
    const { rows, events } = chunks.count(view, this.to, end)
    this.rows += rows
    this.events += events
    this.to = end
  }

  /** Says what is left out, if anything is. @param rest What is still sent. */
  tell(outlet: Outlet, rest: () => Count): void {
    if (this.rows + this.events === 0) return
    const { rows, events } = rest()
    const dropped = Math.max(0, this.rows - rows)
    const droppedEvents = Math.max(0, this.events - events)
    this.begin({ rows: 0, events: 0 })
    if (dropped + droppedEvents === 0) return
    const { metrics } = this.hub
    metrics.lagging.inc()
    metrics.dropped.inc(dropped)
    metrics.droppedEvents.inc(droppedEvents)
    outlet.send({ type: 'lagging', id: outlet.id, dropped, events: droppedEvents })
  }
}
