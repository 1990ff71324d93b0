/** Metrics of the timers of geofences. */
import { Counter, Gauge, type Registry } from 'prom-client'

export type TimerMetrics = ReturnType<typeof timerMetrics>

export function timerMetrics(registry: Registry) {
  const registers = [registry]
  const events = new Counter({
    name: 'fleetflow_geofence_timer_events_total',
    help: 'Events that timers of geofences made.',
    labelNames: ['type'],
    registers,
  })
  for (const type of ['dwell', 'absence', 'missing']) events.inc({ type }, 0)
  return {
    events,
    held: new Gauge({
      name: 'fleetflow_geofence_timers_held',
      help: 'Visits that are due and wait for positions of their device to be stored.',
      registers,
    }),
  }
}
