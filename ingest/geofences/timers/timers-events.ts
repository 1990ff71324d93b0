/** Events that timers make: no fix showed them, so they have no place. */
import type pg from 'pg'
import type { LiveEvent } from '../../../schemas/live-port.ts'
import { liveEvent, type StoredEvent } from '../../../storage/stored-event.ts'

export interface TimerEvent {
  readonly device: number
  readonly geofence: number
  /** Of the geofence. */
  readonly version: number
  readonly organizationId: number
  readonly type: 'dwell' | 'absence' | 'missing'
  /** ms UTC. */
  readonly timeMs: number
}

/**
 * Stores events unless they are there.
 * @returns Those that were not.
 */
export async function fire(client: pg.ClientBase, events: readonly TimerEvent[]): Promise<LiveEvent[]> {
  if (events.length === 0) return []
  const { rows } = await client.query<{ event: StoredEvent }>('SELECT geofence_fire($1) AS event', [
    JSON.stringify(events),
  ])
  return rows.map(({ event }) => liveEvent(event))
}
