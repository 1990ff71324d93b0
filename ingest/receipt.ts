/** Fate of a frame, as the intake tells it to the transport that brought it. */
import { DecodeError } from '../device-adapters/adapter.ts'

export type Receipt =
  /** Nothing to store: the replies may go, which are none for a frame that needs none. */
  | { readonly kind: 'session'; readonly replies: readonly Buffer[] }
  /** Positions are on their way; `replies` may go when `whenSafe` is called. */
  | { readonly kind: 'pending'; readonly replies: readonly Buffer[] }
  /** A datagram or request of a device that sends too much: nothing of it is taken. */
  | { readonly kind: 'limited'; readonly replies: readonly Buffer[] }
  /** The device of that name is not registered. `replies` refuse it, where the protocol can. */
  | { readonly kind: 'unknown'; readonly uniqueId: string; readonly replies: readonly Buffer[] }
  | FaultReceipt

/** The frame breaks its protocol. */
export interface FaultReceipt {
  readonly kind: 'fault'
  readonly error: DecodeError
  readonly replies: readonly Buffer[]
}

/**
 * Called once, when the positions of a frame are safe: durable in the journal, or committed to the database where
 * ACK_AFTER=database asks for that. Never called after the engine has failed or stopped.
 */
export type WhenSafe = () => void

export const NO_REPLIES: readonly Buffer[] = []
/** Of a frame whose checksum fails, so that the name may be what is damaged. */
export const RENAMED: Receipt = {
  kind: 'fault',
  error: new DecodeError('checksum', 'a frame whose checksum fails names another device'),
  replies: NO_REPLIES,
}
export const LIMITED: Receipt = { kind: 'limited', replies: NO_REPLIES }
