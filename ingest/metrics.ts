/** Metrics of ingest. Names and units follow Prometheus: totals count, seconds and bytes are the units. */
import { Gauge, Histogram, type Registry } from 'prom-client'
import { FIXED_LIMITS, type LimitName, type Limits } from './limits.ts'
import { type Tally, TallyCounter } from './tally-counter.ts'

export type IngestMetrics = ReturnType<typeof ingestMetrics>

/** What is counted at every frame of one protocol over one transport. */
export interface FrameTallies {
  readonly frames: Tally
  readonly positions: Tally
  readonly replies: Tally
}

/** @param limits As they are set, to be shown beside the times that they were met. */
export function ingestMetrics(registry: Registry, limits: Limits) {
  const registers = [registry]
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new TallyCounter<Label>({ name: `fleetflow_${name}`, help, labelNames, registers })
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Gauge<Label>({ name: `fleetflow_${name}`, help, labelNames, registers })
  const frames = counter('frames_total', 'Frames that were decoded.', ['protocol', 'transport'])
  const positions = counter('positions_received_total', 'Positions decoded of registered devices.', [
    'protocol',
  ])
  const replies = counter('replies_total', 'Replies sent to devices.', ['protocol'])
  const limitsMet = counter('limits_total', 'Times that a limit was met.', ['limit'])
  const limitValues = gauge('limit', 'Value of a limit, in the unit that its name says.', ['limit'])
  const commands = counter('commands_total', 'Commands to devices that came into a state.', ['state'])
  for (const state of ['sent', 'acknowledged', 'failed', 'expired']) commands.inc({ state }, 0)
  const limitTallies = new Map<string, Tally>()
  for (const [limit, value] of Object.entries({ ...limits, ...FIXED_LIMITS })) {
    limitValues.set({ limit }, value)
    // Shown from the start: the rate of a counter that appears with its first count does not show that one.
    limitsMet.inc({ limit }, 0)
    limitTallies.set(limit, limitsMet.tally({ limit }))
  }
  return {
    frames,
    positions,
    replies,
    /** To be asked for once a connection or session: its tallies are shared by all of the protocol. */
    frameTallies: (protocol: string, transport: string): FrameTallies => ({
      frames: frames.tally({ protocol, transport }),
      positions: positions.tally({ protocol }),
      replies: replies.tally({ protocol }),
    }),
    faults: counter('frame_faults_total', 'Frames that were not taken, by code.', ['protocol', 'code']),
    stored: counter('positions_stored_total', 'Positions committed to the database, without duplicates.', []),
    duplicates: counter('positions_duplicate_total', 'Positions that were stored before.', []),
    refused: counter('positions_refused_total', 'Positions that the database refused, by SQLSTATE.', [
      'code',
    ]),
    storeSeconds: new Histogram({
      name: 'fleetflow_store_seconds',
      help: 'Time from a batch in its shard to its commit.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    connections: gauge('connections', 'Open connections of devices.', ['protocol', 'transport']),
    /** States that commands came into here; they are queued by the API. */
    commands,
    commandsQueued: new Gauge({
      name: 'fleetflow_commands_queued',
      help: 'Commands that wait for their devices, in the whole database.',
      registers,
    }),
    limits: limitsMet,
    limitMet: (limit: LimitName) => limitTallies.get(limit)!.add(),
    /** Shows the number of registered devices in memory, asked for when the metrics are read. */
    watchDevices: (count: () => number) => {
      new Gauge({
        name: 'fleetflow_devices',
        help: 'Registered devices in memory.',
        registers,
        collect() {
          this.set(count())
        },
      })
    },
    databaseUp: gauge('shard_database_up', '1 if the shard is connected to the database.', ['shard']),
    quarantineDropped: counter(
      'quarantine_dropped_total',
      'Quarantine entries left out for want of room.',
      [],
    ),
  }
}
