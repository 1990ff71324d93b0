/**
 * Messages of the live stream, `GET /api/v1/stream` on STREAM_PORT. JSON or msgpack, by subprotocol; JSON in text
 * frames, msgpack (every message a map with text keys) in binary frames.
 *
 * A subscription begins with the last position of every device in its scope, in one or more `positions`, then
 * `live`, then every newer position once it is stored. Within a subscription the positions of a device never go
 * back in time. A client that reads too slowly gets the newest position of a device
 * instead of each, and is told by `lagging`; one that stays slow is closed with {@link STREAM_CLOSE}.slow.
 *
 * Events of geofences that are stored after the subscription was made follow in `events`, behind the position that
 * caused them or a newer one of its device. They are in the order in which they were stored, which is not that of their
 * times: late data makes late events. Events of a backfill are not sent. All events, also those that `lagging` says were
 * left out, are read by `GET /api/v1/events`.
 */
import { z } from 'zod'
import type { GeofenceEvent } from './geofence-event.ts'
import { attributesOf, roundSpeed } from './position.ts'
import type { PositionBatch } from './position-batch.ts'
import { ID_MAX, Id } from './text.ts'

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

export const Scope = z.union([
  z.strictObject({ all: z.literal(true) }).describe('every device that the user may see'),
  z.strictObject({ devices: z.array(Id).min(1).max(SCOPE_DEVICES_MAX) }),
])
export type Scope = z.infer<typeof Scope>

/** Number that the client gives a subscription, and that all messages about it carry. */
const SubscriptionId = z.int().min(0).max(ID_MAX)

/** What a client sends. */
export const ClientMessage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('subscribe'), id: SubscriptionId, scope: Scope }),
  z.strictObject({ type: z.literal('unsubscribe'), id: SubscriptionId }),
])
export type ClientMessage = z.infer<typeof ClientMessage>

/** Last position of a device as the stream shows it: fields, units and attributes as in `Position`. */
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
  | 'too-many-subscriptions'
  | 'too-many-devices'

/** What the server sends. `id` is the subscription's; null in an error of a message that has none. */
export type ServerMessage =
  | {
      readonly type: 'positions'
      readonly id: number
      /** Where in the stream this is: opaque, and greater than any before. */
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
  /** The snapshot is complete; what follows is live. */
  | { readonly type: 'live'; readonly id: number }
  /** The devices are no longer in the scope: deleted, disabled, or now of another organisation. */
  | { readonly type: 'left'; readonly id: number; readonly devices: readonly number[] }
  /**
   * The client, or the stream itself, was too slow: `dropped` positions were left out, newer ones of the same devices
   * follow; and `events` events, which do not follow: `GET /api/v1/events` has them.
   */
  | { readonly type: 'lagging'; readonly id: number; readonly dropped: number; readonly events: number }
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
