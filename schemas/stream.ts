/** Messages of the live stream, `GET /api/v1/stream` on STREAM_PORT. JSON or msgpack, by subprotocol. */
import { z } from 'zod'

/** Subprotocols of the WebSocket, and how each writes a message. */
export const STREAM_PROTOCOLS = { json: 'fleetflow.json', msgpack: 'fleetflow.msgpack' } as const

/** Most devices that one subscription may name. */
export const SCOPE_DEVICES_MAX = 10_000

export const Scope = z.union([
  z.strictObject({ all: z.literal(true) }),
  z.strictObject({ devices: z.array(z.int().positive()).min(1).max(SCOPE_DEVICES_MAX) }),
])
export type Scope = z.infer<typeof Scope>

/** What a client sends. `id` is the client's own number of the subscription. */
export const ClientMessage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('subscribe'), id: z.int().min(0), scope: Scope }),
  z.strictObject({ type: z.literal('unsubscribe'), id: z.int().min(0) }),
])
export type ClientMessage = z.infer<typeof ClientMessage>

/** Last position of a device as the stream shows it; times in ms UTC, units as in {@link Position}. */
export interface StreamRow {
  readonly device: number
  readonly fixTime: string
  readonly receivedAt: string
  readonly latitude: number
  readonly longitude: number
  readonly altitude: number | null
  readonly speed: number | null
  readonly course: number | null
  readonly attributes: Record<string, unknown>
}

/** What the server sends. */
export type ServerMessage =
  | { readonly type: 'positions'; readonly id: number; readonly cursor: string; readonly rows: StreamRow[] }
  /** The snapshot is complete; what follows is live. */
  | { readonly type: 'live'; readonly id: number }
  /** The client was too slow: `dropped` rows were left out, newer ones of the same devices follow. */
  | { readonly type: 'lagging'; readonly id: number; readonly dropped: number }
  | { readonly type: 'error'; readonly id: number | null; readonly code: string; readonly detail: string }
