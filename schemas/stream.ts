/**
 * Messages of the stream, `GET /api/v1/stream` on STREAM_PORT. JSON or msgpack, by subprotocol; JSON in text
 * frames, msgpack (every message a map with text keys) in binary frames.
 *
 * A subscription is one of three, by its `from`:
 *
 * - Without: the last position of every device in its scope, in one or more `positions`, then `live`, then every row that
 *   is stored from then on, late ones among them, in the order in which they were stored.
 * - A cursor of the log: every row and event that was stored after it, each once, then `live`, then as above.
 * - A time: a replay. Rows and events by the time of their fix, at `speed` times the speed of life, until `to`, then `end`;
 *   without `to` it goes on into `live` where its clock meets the present. A cursor of a replay goes on with it. What is
 *   stored later than its clock has passed the time of it is not in it.
 *
 * Every `positions`, `events` and `live` carries the cursor that is behind it. A client that reads too slowly gets the newest
 * row of a device instead of each, and is told by `lagging`: what it missed it gets by a new subscription from the cursor
 * it had before. One that stays slow is closed with {@link STREAM_CLOSE}.slow. With `intervalMs` it is meant to be so: the
 * newest row of a device, at most so often, and no `lagging`; behind its cursors is what it has left out, so that events
 * may come once more. Cursors of a snapshot are good from its `live` on.
 *
 * In an area (`bbox`, `polygon`, `geofence`) a row is sent where its place lies inside; a device whose newest place does
 * no more is told of by `left`. A late row inside of a device that is not there itself is followed by `left`. Who goes on
 * from a cursor is told `left` of all devices that have reported since and are not inside, whether they were or not.
 * Events are sent whose place lies inside; those without a place, which a timer made, while their device is inside; and of
 * the geofence that is watched all of them.
 *
 * Events of geofences follow in `events`, behind the rows that caused them. Live they are in the order in which they
 * were stored, which is not that of their times: late data makes late events. Events of a backfill are not sent.
 */
import { z } from 'zod'
import type { GeofenceEvent } from './geofence-event.ts'
import { attributesOf, roundSpeed } from './position.ts'
import type { PositionBatch } from './position-batch.ts'
import { ID_MAX, Id, Time } from './text.ts'

export const STREAM_PATH = '/api/v1/stream'

/** Subprotocols of the WebSocket, and how each writes a message. JSON where the client asks for none. */
export const STREAM_PROTOCOLS = { json: 'fleetflow.json', msgpack: 'fleetflow.msgpack' } as const

/** Close codes (RFC 6455 7.4) that the server gives a reason with. */
export const STREAM_CLOSE = {
  /** The server stops: come back later. */
  stopping: 1001,
  /** The user may no longer be here, or sends too much. */
  policy: 1008,
  /** The client does not read what is sent: come back, and subscribe to less. */
  slow: 1013,
} as const

/** Most devices that one subscription may name. */
export const SCOPE_DEVICES_MAX = 10_000

/** Most groups that one subscription may name. */
export const SCOPE_GROUPS_MAX = 100
/** Most vertices of the polygon of a scope, all rings together. */
export const SCOPE_VERTICES_MAX = 1_000

const Longitude = z.number().min(-180).max(180)
const Latitude = z.number().min(-90).max(90)

export const Scope = z.union([
  z.strictObject({ all: z.literal(true) }).describe('every device that the user may see'),
  z.strictObject({ devices: z.array(Id).min(1).max(SCOPE_DEVICES_MAX) }),
  z.strictObject({ groups: z.array(Id).min(1).max(SCOPE_GROUPS_MAX) }).describe('device groups'),
  z
    .strictObject({ bbox: z.tuple([Longitude, Latitude, Longitude, Latitude]) })
    .describe('west, south, east, north in degrees; west > east crosses the antimeridian'),
  z
    .strictObject({ polygon: z.array(z.array(z.tuple([Longitude, Latitude])).min(4)).min(1) })
    .describe('coordinates of a GeoJSON polygon'),
  z
    .strictObject({ geofence: Id })
    .describe('places inside a geofence, as it is at the time, also while it is disabled'),
])
export type Scope = z.infer<typeof Scope>

/** Number that the client gives a subscription, and that all messages about it carry. */
const SubscriptionId = z.int().min(0).max(ID_MAX)

/** Fastest replay that has a clock. */
export const SPEED_MAX = 3_600
/** 1 = as fast as life; 0 = no clock: as fast as the client takes it. */
const Speed = z.union([z.literal(0), z.number().min(0.1).max(SPEED_MAX)])

/** Longest minimum interval of a device, ms. */
export const INTERVAL_MS_MAX = 3_600_000

/** A cursor that the server gave; opaque. */
const Cursor = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/)

/** What a client sends. */
export const ClientMessage = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('subscribe'),
    id: SubscriptionId,
    scope: Scope,
    from: z.union([Time, Cursor]).optional(),
    /** Of a replay: time before which its last row lies. */
    to: Time.optional(),
    /** Of a replay; 1 by default. */
    speed: Speed.optional(),
    /** Least time between two rows of a device, ms: of those in between the newest is sent. Live only. */
    intervalMs: z.int().min(1).max(INTERVAL_MS_MAX).optional(),
    /** How rows are written: as objects, or as arrays in the order that a `header` gives once. */
    rows: z.enum(['objects', 'arrays']).default('objects'),
    /** Whether events are sent, too. */
    events: z.boolean().default(true),
  }),
  /**
   * Moves a subscription, such as a map's: only the difference is sent, new devices whole, others as `left`, and then
   * `live`. Before that no cursor is one of the new scope.
   */
  z.strictObject({ type: z.literal('scope'), id: SubscriptionId, scope: Scope }),
  z.strictObject({ type: z.literal('unsubscribe'), id: SubscriptionId }),
  /** The following are of replays. */
  z.strictObject({ type: z.literal('pause'), id: SubscriptionId }),
  z.strictObject({ type: z.literal('resume'), id: SubscriptionId }),
  z.strictObject({ type: z.literal('seek'), id: SubscriptionId, to: Time }),
  z.strictObject({ type: z.literal('speed'), id: SubscriptionId, speed: Speed }),
])
/** As a client writes it, without what has a default. */
export type ClientMessage = z.input<typeof ClientMessage>
/** As it is read. */
export type ReceivedMessage = z.output<typeof ClientMessage>

/** A position as the stream shows it: fields, units and attributes as in `Position`. */
export interface StreamRow {
  readonly device: number
  readonly fixTime: string
  readonly receivedAt: string
  readonly latitude: number
  readonly longitude: number
  readonly altitude: number | null
  readonly speed: number | null
  readonly course: number | null
  /** Readings and other attributes by key; satellites and HDOP are `sat` and `hdop` here. */
  readonly attributes: Record<string, unknown>
}

export type StreamErrorCode =
  /** The message is no JSON or msgpack, or of the wrong kind of frame. */
  | 'malformed'
  /** The message is none of {@link ClientMessage}. */
  | 'invalid-message'
  /** A subscription of that id is open. */
  | 'id-in-use'
  /** No subscription of that id is open. */
  | 'unknown-subscription'
  /** The role of the user may not subscribe to that scope. */
  | 'forbidden'
  /** `devices` are not there, or not the user's to see; nothing was subscribed. */
  | 'unknown-device'
  | 'unknown-group'
  /** It is not there, or not the user's to see; or was deleted, and the subscription has ended. */
  | 'unknown-geofence'
  /** The polygon is none: it crosses itself, is empty or too large. */
  | 'invalid-area'
  /** `from`, `to`, `speed` and `intervalMs` do not go together. */
  | 'invalid-times'
  /** The cursor is none that this server gave. */
  | 'cursor-invalid'
  /** What follows the cursor is no longer kept: subscribe without it, or replay. */
  | 'cursor-expired'
  /** The message is for replays, and the subscription is none. */
  | 'not-a-replay'
  /** The subscription can not be moved to such a scope, or is a replay. */
  | 'scope-fixed'
  | 'too-many-subscriptions'
  | 'too-many-devices'
  | 'too-many-replays'
  /** The database can not be read now; the subscription has ended. */
  | 'storage-unavailable'

/** What the server sends. `id` is the subscription's; null in an error of a message that has none. */
export type ServerMessage =
  | {
      readonly type: 'positions'
      readonly id: number
      /** What to go on with behind these rows: opaque. */
      readonly cursor: string
      readonly rows: readonly StreamRow[]
    }
  /** Events of devices in the scope. `cursor` as above. */
  | {
      readonly type: 'events'
      readonly id: number
      readonly cursor: string
      readonly rows: readonly GeofenceEvent[]
    }
  /** First, where rows are arrays: names of their fields, as in the objects; times are `fixTimeMs` and so on, ms UTC. */
  | {
      readonly type: 'header'
      readonly id: number
      readonly positions: readonly string[]
      readonly events: readonly string[]
    }
  /** Snapshot, what followed the cursor, or the difference to another scope is complete; what follows is live. */
  | { readonly type: 'live'; readonly id: number; readonly cursor: string }
  /** The devices are no longer in the scope: outside of its area, deleted, disabled, or now of another organisation. */
  | { readonly type: 'left'; readonly id: number; readonly devices: readonly number[] }
  /**
   * The client, or the stream itself, was too slow: `dropped` positions were left out, newer ones of the same devices
   * follow; and `events` events, which do not follow: `GET /api/v1/events` has them.
   */
  | { readonly type: 'lagging'; readonly id: number; readonly dropped: number; readonly events: number }
  /** Where a replay is: sent when it begins, when its clock is changed, and every second. */
  | {
      readonly type: 'clock'
      readonly id: number
      readonly time: string
      readonly speed: number
      readonly paused: boolean
    }
  /** A replay has come to its `to`. It can still be moved by `seek`. */
  | { readonly type: 'end'; readonly id: number; readonly cursor: string }
  /** Rows come late, since the way from ingest is interrupted: none is lost. `delayed: false` = it is whole again. */
  | { readonly type: 'status'; readonly delayed: boolean; readonly detail: string }
  | {
      readonly type: 'error'
      readonly id: number | null
      readonly code: StreamErrorCode
      /** What is wrong and what to do, for people. */
      readonly detail: string
      /** With `unknown-device`: the first of them. */
      readonly devices?: readonly number[]
    }

/** Row `row` of a stored batch, which must have a place. */
export function streamRowOf(batch: PositionBatch, row: number): StreamRow {
  return {
    device: batch.device[row]!,
    fixTime: new Date(batch.fixTimeMs[row]!).toISOString(),
    receivedAt: new Date(batch.receivedMs[row]!).toISOString(),
    latitude: batch.latitudeDeg[row]!,
    longitude: batch.longitudeDeg[row]!,
    altitude: orNull(batch.altitudeM[row]!),
    speed: orNull(roundSpeed(batch.speedKmh[row]!)),
    course: orNull(batch.courseDeg[row]!),
    attributes: attributesOf(batch, row),
  }
}

function orNull(value: number): number | null {
  return Number.isNaN(value) ? null : value
}
