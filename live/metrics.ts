/** Metrics of the stream. Names and units follow Prometheus. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { LiveLimits } from './options.ts'

/** Why a connection was refused before it became a WebSocket. */
export type RefusalReason =
  | 'not-a-websocket'
  | 'origin-not-allowed'
  | 'unknown-subprotocol'
  | 'too-many-sockets'
  | 'not-logged-in'
  | 'token-invalid'
  | 'ticket-invalid'
  | 'database-unavailable'

export type LiveMetrics = ReturnType<typeof liveMetrics>

export function liveMetrics(registry: Registry) {
  const registers = [registry]
  const counter = <Label extends string = never>(name: string, help: string, labelNames: Label[] = []) =>
    new Counter<Label>({ name: `fleetflow_stream_${name}`, help, labelNames, registers })
  const gauge = (name: string, help: string, read?: () => number) =>
    new Gauge({
      name: `fleetflow_stream_${name}`,
      help,
      registers,
      ...(read !== undefined && {
        collect(this: Gauge) {
          this.set(read())
        },
      }),
    })
  /** Counted for every message, so as plain numbers; the counters take them over when they are read. */
  const sent = { messages: 0, rows: 0, events: 0, bytes: 0 }
  const total = (name: keyof typeof sent, help: string) =>
    new Counter({
      name: `fleetflow_stream_${name}_total`,
      help,
      registers,
      collect() {
        this.reset()
        this.inc(sent[name])
      },
    })
  total('messages', 'Messages sent.')
  total('rows', 'Positions sent, counted for each subscription.')
  total('events', 'Events sent, counted for each subscription.')
  total('bytes', 'Bytes sent, without frame headers.')
  const limits = counter<'limit'>('limits_total', 'Times that a limit was met.', ['limit'])
  return {
    sent,
    lagging: counter('lagging_total', 'Times that a client was told that positions or events were left out.'),
    dropped: counter('dropped_total', 'Positions left out for clients that were too slow.'),
    droppedEvents: counter('dropped_events_total', 'Events left out, counted for each subscription.'),
    lookedUp: counter('looked_up_commits_total', 'Commits read from the database, since they did not come.'),
    jumps: counter(
      'jumps_total',
      'Times that live was too far behind, and went on with last positions only.',
    ),
    pagesRead: counter('resume_pages_total', 'Pages of commits read for clients that came back.'),
    refused: counter<'reason'>('refused_total', 'Connections refused.', ['reason']),
    closed: counter<'code'>('closed_total', 'Sockets that ended, by close code.', ['code']),
    errors: counter<'code'>('errors_total', 'Error messages sent to clients, by code.', ['code']),
    latencySeconds: new Histogram({
      name: 'fleetflow_stream_latency_seconds',
      help: 'Time from the receipt of a position to its publication; a sample of each tick.',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60],
      registers,
    }),
    databaseUp: gauge('database_up', '1 if changes of devices are heard from the database.'),
    limitMet(limit: keyof LiveLimits): void {
      limits.inc({ limit })
    },
    /** Shows numbers that are asked for when the metrics are read. */
    watch(numbers: {
      sockets(): number
      subscriptions(): number
      bufferedBytes(): number
      devices(): number
      rowsKept(): number
      pagesKept(): number
      replays(): number
      replayRows(): number
    }): void {
      gauge('sockets', 'Open sockets.', numbers.sockets)
      gauge('subscriptions', 'Open subscriptions.', numbers.subscriptions)
      gauge('buffered_bytes', 'Bytes that sockets hold unsent.', numbers.bufferedBytes)
      gauge('rows_kept', 'Rows and events in memory, of the limit rowsKept.', numbers.rowsKept)
      gauge('resume_pages_kept', 'Pages in memory, of the limit resumePagesMax.', numbers.pagesKept)
      gauge('replays', 'Open replays.', numbers.replays)
      gauge('replay_rows', 'Rows that replays have read ahead.', numbers.replayRows)
      gauge('devices', 'Devices with a last position in memory.', numbers.devices)
    },
  }
}
