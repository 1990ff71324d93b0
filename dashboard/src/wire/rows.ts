/** Rows of the stream as this page works with them, from objects or from arrays with a header. */
import type { GeofenceEvent } from '../../../schemas/geofence-event.ts'
import type { StreamRow } from '../../../schemas/stream.ts'

/** A position with its times in ms UTC; units as in {@link StreamRow}. */
export interface Fix extends Omit<StreamRow, 'fixTime' | 'receivedAt'> {
  readonly fixTimeMs: number
  readonly receivedMs: number
}

/** An event with its time in ms UTC. */
export interface FleetEvent
  extends Pick<
    GeofenceEvent,
    | 'id'
    | 'device'
    | 'geofence'
    | 'type'
    | 'latitude'
    | 'longitude'
    | 'speed'
    | 'crossing'
    | 'replaces'
    | 'retracted'
    | 'current'
  > {
  readonly timeMs: number
}

type ArrayRow = readonly unknown[]
type FieldOf = (row: ArrayRow, field: string) => unknown

/** Makes rows whole: objects as they come, arrays by the fields that their header names. */
export class RowReader {
  readonly #positions: FieldOf
  readonly #events: FieldOf

  /**
   * @param positions Names of the fields of a position, in the order of the arrays.
   * @param events Of an event.
   */
  constructor(positions: readonly string[], events: readonly string[]) {
    this.#positions = fieldsOf(positions)
    this.#events = fieldsOf(events)
  }

  position(row: StreamRow | ArrayRow): Fix {
    if (!isArrayRow(row)) return fixOf(row)
    const field = this.#positions
    return {
      device: field(row, 'device') as number,
      fixTimeMs: field(row, 'fixTimeMs') as number,
      receivedMs: field(row, 'receivedMs') as number,
      latitude: field(row, 'latitude') as number,
      longitude: field(row, 'longitude') as number,
      altitude: field(row, 'altitude') as number | null,
      speed: field(row, 'speed') as number | null,
      course: field(row, 'course') as number | null,
      attributes: (field(row, 'attributes') ?? {}) as Record<string, unknown>,
    }
  }

  event(row: GeofenceEvent | ArrayRow): FleetEvent {
    if (!isArrayRow(row)) return eventOf(row)
    const field = this.#events
    return {
      id: field(row, 'id') as number,
      device: field(row, 'device') as number,
      geofence: field(row, 'geofence') as number,
      type: field(row, 'type') as GeofenceEvent['type'],
      timeMs: field(row, 'timeMs') as number,
      latitude: field(row, 'latitude') as number | null,
      longitude: field(row, 'longitude') as number | null,
      speed: field(row, 'speed') as number | null,
      crossing: field(row, 'crossing') as boolean,
      replaces: field(row, 'replaces') as number | null,
      retracted: field(row, 'retracted') as boolean,
      current: field(row, 'current') as boolean,
    }
  }
}

/** A position of the stream or the API. */
export function fixOf({ fixTime, receivedAt, ...row }: StreamRow): Fix {
  return { ...row, fixTimeMs: Date.parse(fixTime), receivedMs: Date.parse(receivedAt) }
}

/** An event of the stream or the API. */
export function eventOf(event: GeofenceEvent): FleetEvent {
  return { ...event, timeMs: Date.parse(event.time) }
}

function fieldsOf(names: readonly string[]): FieldOf {
  const places = new Map(names.map((name, index) => [name, index]))
  return (row, field) => {
    const place = places.get(field)
    return place === undefined ? null : row[place]
  }
}

function isArrayRow(row: object): row is ArrayRow {
  return Array.isArray(row)
}
