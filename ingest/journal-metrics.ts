/** Metrics of the journal and of what is in it only. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Journal } from './journal/journal.ts'

/** What is in the journal and not in the database. */
export interface Lag {
  /** From the oldest record that is not stored to the last one; those between may be stored. */
  readonly records: number
  /** Since that record came in, s. */
  readonly seconds: number
}

/** Gauges ask when the metrics are read. */
export function journalMetrics(registry: Registry, journal: () => Journal, lag: () => Lag) {
  const registers = [registry]
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name: `fleetflow_journal_${name}`,
      help,
      registers,
      collect() {
        this.set(value())
      },
    })
  gauge('lag_records', 'Records from the oldest one that is not in the database on.', () => lag().records)
  gauge('lag_seconds', 'Age of the oldest record that is not in the database.', () => lag().seconds)
  gauge('bytes', 'Bytes of all segments that are kept.', () => journal().figures.bytes)
  gauge('segments', 'Segments that are kept.', () => journal().figures.segments)
  gauge('pending_bytes', 'Bytes of records that are not durable yet.', () => journal().figures.pendingBytes)
  return {
    full: new Gauge({
      name: 'fleetflow_journal_full',
      help: '1 while the disk is full: nothing is taken or acknowledged.',
      registers,
    }),
    behind: new Gauge({
      name: 'fleetflow_shard_behind',
      help: '1 while the shard leaves frames to the journal, since the database is slow or away.',
      registers,
      labelNames: ['shard'],
    }),
    damaged: new Counter({
      name: 'fleetflow_journal_damaged_records_total',
      help: 'Records that were synced and cannot be read any more.',
      registers,
    }),
  }
}
