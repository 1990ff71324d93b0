/** What a simulated device says of its vehicle's state. */
import type { Report } from './encoders/encoder.ts'
import type { TrackState } from './track-player.ts'

/** Counters of kilometres have six digits. */
const ODOMETER_MAX_M = 1e9

/**
 * @param seed Number of the device: what the recording does not say differs from device to device, but not from run to run.
 * @param fixTimeMs Time that the report carries, ms UTC.
 */
export function reportOf(state: TrackState, seed: number, fixTimeMs: number): Omit<Report, 'serial'> {
  const minute = Math.floor(fixTimeMs / 60_000)
  return {
    fixTimeMs,
    latitudeDeg: state.latitudeDeg,
    longitudeDeg: state.longitudeDeg,
    altitudeM: state.altitudeM,
    speedKmh: state.speedKmh,
    courseDeg: state.courseDeg,
    satellites: 9 + ((seed + minute) % 5),
    ignition: !state.parked,
    odometerM: odometerOf(state.odometerM + (seed % 1000) * 137_000),
    // A 24 V board: the generator runs with the engine.
    powerV: state.parked ? 25.1 : 27.4 + ((seed + minute) % 4) / 10,
    batteryV: 4.1,
    signalBars: 3 + ((seed + minute) % 2),
  }
}

/** What the counter shows after `metres`, which are below nought where a clock stands before the start of play. */
function odometerOf(metres: number): number {
  return ((metres % ODOMETER_MAX_M) + ODOMETER_MAX_M) % ODOMETER_MAX_M
}
