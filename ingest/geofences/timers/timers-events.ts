/** Events that timers make: no fix showed them, so they have no place. */
import pg from 'pg'
import type { Commit } from '../../../schemas/live-port.ts'
import { liveEvent, type StoredEvent } from '../../../storage/geofences/stored-event.ts'

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
export async function fire(client: pg.ClientBase, events: readonly TimerEvent[]): Promise<StoredEvent[]> {
  if (events.length === 0) return []
  const { rows } = await client.query<{ event: StoredEvent }>('SELECT geofence_fire($1) AS event', [
    JSON.stringify(events),
  ])
  return rows.map(({ event }) => event)
}

/**
 * Commits the transaction in which the events were stored, and gives it its place among those that store something.
 * @returns What is to be published; undefined where there are no events.
 */
export async function commitEvents(
  client: pg.ClientBase,
  events: readonly StoredEvent[],
): Promise<Commit | undefined> {
  if (events.length === 0) {
    await client.query('COMMIT')
    return undefined
  }
  // At once with the end: until then nobody else who stores something can commit.
  const answers: unknown = await client.query(
    `SELECT commit_events(${pg.escapeLiteral(JSON.stringify(events))}) AS sequence; COMMIT`,
  )
  const [{ rows }] = answers as [pg.QueryResult<{ sequence: string | number }>]
  return { sequence: Number(rows[0]!.sequence), rows: new Uint32Array(0), events: events.map(liveEvent) }
}
