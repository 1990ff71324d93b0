/** Metrics of the geofences in memory. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export type FenceMetrics = ReturnType<typeof fenceMetrics>

export function fenceMetrics(registry: Registry) {
  const registers = [registry]
  const fences = new Gauge({
    name: 'fleetflow_geofences',
    help: 'Geofences in memory: in the base, in the delta of what changed since, and gone from the base.',
    labelNames: ['part'],
    registers,
  })
  const failures = new Counter({
    name: 'fleetflow_geofence_build_failures_total',
    help: 'Builds of geofences that failed; they are tried again.',
    labelNames: ['part'],
    registers,
  })
  for (const part of ['base', 'delta', 'gone']) fences.set({ part }, 0)
  for (const part of ['base', 'delta']) failures.inc({ part }, 0)
  return {
    fences,
    failures,
    refused: new Gauge({
      name: 'fleetflow_geofences_refused',
      help: 'Geofences that are left out since their shape, rules or time zone cannot be evaluated.',
      registers,
    }),
    buildSeconds: new Histogram({
      name: 'fleetflow_geofence_build_seconds',
      help: 'Time in which geofences are read and an index of them is built.',
      labelNames: ['part'],
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250],
      registers,
    }),
    /** Shows how old the oldest change is that is not effective yet, s; asked for when the metrics are read. */
    watchAge: (ageS: () => number) => {
      new Gauge({
        name: 'fleetflow_geofence_change_age_seconds',
        help: 'Age of the oldest change of a geofence that is not effective yet; 0 = there is none.',
        registers,
        collect() {
          this.set(ageS())
        },
      })
    },
  }
}
