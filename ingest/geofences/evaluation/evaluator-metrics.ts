/** Metrics of the evaluation of positions against geofences. */
import { Counter, Gauge, type Registry } from 'prom-client'
import { GEOFENCE_EVENT_TYPES } from '../../../schemas/geofence-event.ts'
import type { EvaluationFigures } from '../../shards/shard-messages.ts'

/** @returns Takes what a shard did. */
export function evaluationMetrics(registry: Registry): (shard: number, figures: EvaluationFigures) => void {
  const registers = [registry]
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Counter<Label>({ name: `fleetflow_geofence_${name}`, help, labelNames, registers })
  const devices = new Gauge({
    name: 'fleetflow_geofence_devices',
    help: 'Devices of which it is in memory where they are in geofences.',
    labelNames: ['shard'],
    registers,
  })
  const revisions = counter(
    'revisions_total',
    'Evaluations of a device that looked at what is stored, mostly since positions came late.',
    [],
  )
  const failures = counter(
    'evaluation_failures_total',
    'Parts of batches that were stored without events, since these could not be stored.',
    [],
  )
  const seconds = counter(
    'evaluation_seconds_total',
    'Time that batches waited for their evaluation in all shards.',
    [],
  )
  const events = counter('events_total', 'Events of geofences that positions made, by type.', ['type'])
  for (const type of GEOFENCE_EVENT_TYPES) events.inc({ type }, 0)
  return (shard, figures) => {
    devices.set({ shard: String(shard) }, figures.devices)
    revisions.inc(figures.revisions)
    failures.inc(figures.failures)
    seconds.inc(figures.seconds)
    for (const [type, count] of Object.entries(figures.events)) events.inc({ type }, count)
  }
}
