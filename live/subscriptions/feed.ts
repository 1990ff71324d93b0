/**
 * What feeds a subscription, and where it writes. A socket has several subscriptions; each has a feed of its own: of
 * the log, or of a replay. The feed decides what is sent, the outlet how, and when the socket has enough.
 */
import type { GeofenceEvent } from '../../schemas/geofence-event.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import type { ServerMessage } from '../../schemas/stream.ts'

/** How rows are written: format of the socket, and objects or arrays as the subscription asked. */
export interface Encoding {
  /** Place among all encodings, 0 and up: what is encoded once is kept by it. */
  readonly index: number
  /** Stands between two rows of a message. */
  readonly separator: string
  /** Row `row` of a batch, which must have a place; one character a byte. */
  encodePosition(batch: PositionBatch, row: number): string
  encodeEvent(event: GeofenceEvent): string
  /** The `header` of a subscription whose rows are arrays; null where they are objects. */
  header(id: number): ServerMessage | null
  /** A message of `count` encoded rows that are joined by the separator. */
  encodeRows(type: 'positions' | 'events', id: number, cursor: string, count: number, joined: string): Buffer
}

/** A subscription's way to its socket. */
export interface Outlet {
  /** Of the subscription. */
  readonly id: number
  readonly encoding: Encoding
  /** Organisation that the user sees; null = every one. */
  readonly organizationId: number | null
  /** Whether the socket holds so much unsent that nothing more is to be written before {@link Feed.drained}. */
  readonly full: boolean
  /** Writes a message of {@link Encoding.encodeRows}. @returns Whether the socket is still open. */
  writeRows(message: Buffer, type: 'positions' | 'events', count: number): boolean
  /** @returns Whether the socket is still open. */
  send(message: ServerMessage): boolean
  /** Ends the subscription, which is no longer the socket's then. */
  end(): void
}

export interface Feed {
  /** The log has grown, or a tick has come: send what is due, as long as the outlet is not full. */
  tick(): void
  /** The outlet was full, and takes more now. */
  drained(): void
  /** The subscription has ended, by whomever. Nothing may be sent any more. */
  close(): void
}
