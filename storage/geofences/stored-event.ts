/** Events of geofences as the database hands them to ingest and live. */
import type { LiveEvent } from '../../schemas/live-port.ts'

/** As `geofence_event_json` gives it. */
export interface StoredEvent extends Omit<LiveEvent, 'time' | 'fixTime' | 'recordedAt'> {
  readonly timeMs: number
  readonly fixTimeMs: number | null
  readonly recordedAtMs: number
}

/** An event as live takes it. */
export function liveEvent({ timeMs, fixTimeMs, recordedAtMs, ...event }: StoredEvent): LiveEvent {
  return {
    ...event,
    time: new Date(timeMs).toISOString(),
    fixTime: fixTimeMs === null ? null : new Date(fixTimeMs).toISOString(),
    recordedAt: new Date(recordedAtMs).toISOString(),
  }
}
