/**
 * What feeds a subscription, and where it writes. A socket has several subscriptions; each has a feed of its own: of
 * the log, or of a replay. The feed decides what is sent, the outlet how, and when the socket has enough.
 */
import type { ReceivedMessage, ServerMessage, StreamErrorCode } from '../../schemas/stream.ts'
import type { Encoding } from '../format/encoding.ts'
import type { ScopeFilter } from './scope-filter.ts'

export type { Encoding }

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

/** What a replay is told. */
export type ReplayMessage = Extract<ReceivedMessage, { type: 'pause' | 'resume' | 'seek' | 'speed' }>

/** Why something is not done; the subscription stays as it was. */
export interface Refusal {
  readonly code: StreamErrorCode
  readonly detail: string
  /** With `unknown-device`: the first of them. */
  readonly devices?: readonly number[]
}

export interface Feed {
  /** Devices that its scope names, for the limit of the socket; undefined = none. */
  readonly deviceCount?: number
  /** It has begun, the log has grown, or a tick has come: send what is due, as long as the outlet is not full. */
  tick(): void
  /** The outlet was full, and takes more now. */
  drained(): void
  /** The subscription has ended, by whomever. Nothing may be sent any more. */
  close(): void
  /** Gives it another scope; what has none of this can not be moved. */
  move?(filter: ScopeFilter): void
  /** Of replays only. */
  control?(message: ReplayMessage): Refusal | undefined
}
