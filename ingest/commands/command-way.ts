/** A way on which commands reach a device, and a command as the bytes that go there. */
import { type Adapter, CommandError, type KnownDevice, type Reply } from '../../device-adapters/adapter.ts'
import { type DeviceSession, toBuffer } from '../../device-adapters/decoder.ts'

export interface CommandWay {
  readonly adapter: Adapter
  readonly session: DeviceSession
  /** Since when the device has been there without a break, ms since 1970-01-01T00:00Z. */
  readonly sinceMs: number
  /** Whether the device can be written to now. */
  readonly open: boolean
  /** @returns False if nothing was written, since the way was closed meanwhile. */
  sendCommand(bytes: Buffer): boolean
}

/** A command that is about to be sent. */
export interface OutgoingCommand {
  readonly type: string
  readonly attributes: unknown
  /** Its number in the session. */
  readonly serial: number
}

/** Why a command cannot be put into bytes. */
export interface EncodingFault {
  /** `adapter-bug`: the adapter threw what it may not; it is the cause. */
  readonly code: 'unsupported' | 'not-encodable' | 'adapter-bug'
  /** A sentence for who gave the command. */
  readonly detail: string
  readonly cause?: unknown
}

/** The bytes of a command for the device at the end of `way`. */
export function encodeCommand(
  { adapter, session }: CommandWay,
  device: KnownDevice,
  { type, attributes, serial }: OutgoingCommand,
): Buffer | EncodingFault {
  const encoders: Readonly<Record<string, unknown>> = adapter.commands ?? {}
  if (!Object.hasOwn(encoders, type)) {
    return { code: 'unsupported', detail: `devices of ${adapter.id} cannot be told ${type}` }
  }
  session.device = device
  session.receivedMs = Date.now()
  session.commandSerial = serial
  try {
    // Attributes were checked against the schema of their type when the command was given.
    return toBuffer(
      (encoders[type] as (attributes: unknown, session: DeviceSession) => Reply)(attributes, session),
    )
  } catch (error) {
    if (error instanceof CommandError) return { code: 'not-encodable', detail: error.message }
    return { code: 'adapter-bug', detail: 'the adapter failed on this command', cause: error }
  }
}
