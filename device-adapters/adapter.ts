/** What a protocol adapter is. Pure: no I/O, no clock, no logger, no state outside the session. */
import type { CommandAttributes, CommandType } from '../schemas/command.ts'
import type { PositionBatch } from '../schemas/position-batch.ts'

export type Transport = 'tcp' | 'udp' | 'http' | 'mqtt'

export interface Adapter<State = unknown> {
  /** Stable lower-case name: file name, configuration key, metric label. */
  readonly id: string
  /** 1 at first. Raise it by one whenever frames decode to something else than before: rows name it. */
  readonly version: number
  /** Who makes devices that speak it, the best known first. */
  readonly makers: readonly string[]
  /** Where the wire format is described: a public document and its version. */
  readonly source: string
  /** Customary ports, and the topic filters that the MQTT broker hands to this adapter; configuration may move or switch off each. */
  readonly listen: {
    readonly tcp?: number
    readonly udp?: number
    readonly http?: number
    readonly mqtt?: readonly string[]
  }
  /** Options of a registered device (`devices.options`) that the adapter looks at beside `devicePassword`, and what each says. */
  readonly options?: Readonly<Record<string, string>>
  /** Longest legal frame, bytes; a connection that buffers more without a frame is closed. */
  readonly maxFrameBytes: number

  /**
   * Whether a stream or datagram that begins with `bytes` (which is never empty) may be of this protocol, told by its
   * first bytes alone: undefined while too few are there. Not on HTTP and MQTT. See signature.ts for the common cases.
   * Strict: what it lets through and `frame` then waits for keeps all other protocols waiting on the port that
   * finds out what a device speaks.
   */
  starts?(bytes: Buffer, transport: Transport): boolean | undefined

  /** State of a fresh connection, for protocols that need more than {@link Session.uniqueId}. */
  open?(): State

  /**
   * Finds the first frame at the start of `bytes` (which is never empty), on TCP and in UDP datagrams.
   * HTTP requests and MQTT messages come whole, see requests.ts, and never pass here.
   *
   * @returns Its length in bytes; 0 if more bytes are needed; −n to drop n bytes of no frame.
   * @throws DecodeError where the stream cannot be read on: the connection is closed.
   */
  frame?(bytes: Buffer, transport: Transport): number

  /**
   * The frame without what the stream puts around its bytes, such as an escape before those that would end it. All
   * else sees, and the journal keeps, what this returns; only {@link frame} sees the bytes of the wire.
   *
   * @param wire What {@link frame} found.
   */
  unescape?(wire: Buffer): Buffer

  /**
   * Appends the positions of one frame to `out`, and calls `session.identify` when the frame names the device.
   *
   * @throws DecodeError for a frame that breaks the protocol. A read past the end of the frame
   *   (RangeError) counts as one; rows already appended for the frame are then taken back.
   */
  decode(frame: Buffer, session: Session<State>, out: PositionBatch): void

  /**
   * Reply, or replies, that the device expects for a frame that decoded. Called once, after `decode` of the same
   * frame. The engine sends them at once when the frame held no position, else after its positions are stored,
   * always in the order of the frames: a device that saw its reply may delete the position. Nothing is sent to a
   * device that is not registered. On HTTP the reply is the body of the 200, on MQTT there is none but the PUBACK.
   */
  ack?(frame: Buffer, session: Session<State>): Reply | readonly Reply[] | undefined

  /** What tells an unregistered device, after the frame that named it, to keep its data; nothing is sent without it. */
  refuse?(frame: Buffer, session: Session<State>): Reply | undefined

  /** Encoders of the commands that the protocol knows; the API lists exactly these. */
  readonly commands?: {
    readonly [Type in CommandType]?: CommandEncoder<Type, State>
  }
}

/**
 * Bytes of a command for the session's device, which has named itself. `session.commandSerial` is the number of the command,
 * where the protocol has one.
 *
 * @throws CommandError if the protocol, or this device, cannot take it with these attributes.
 */
export type CommandEncoder<Type extends CommandType, State> = (
  attributes: CommandAttributes<Type>,
  session: Session<State>,
) => Reply

/** Why a command cannot be put into bytes, as a sentence for who gave it. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/** What a device says of a command. */
export interface CommandAnswer {
  /** `commandSerial` of the command; undefined where the protocol has none: the oldest one without an answer is meant. */
  readonly serial?: number
  /** Whether the device did it, or took it. */
  readonly ok: boolean
  /** What the device says; '' for nothing but that. */
  readonly text: string
}

/** Bytes for the device; text is sent as Latin-1. */
export type Reply = Buffer | string

/** One device connection (TCP), or one datagram, request or message (UDP, HTTP, MQTT). */
export interface Session<State = unknown> {
  /** IMEI or other id of the device; '' until a frame names it, see {@link identify}. */
  readonly uniqueId: string
  /** What the registry knows of the device named {@link uniqueId}; undefined before it is named, and if unknown. */
  readonly device: KnownDevice | undefined
  /** Server clock when the frame came in, ms since 1970-01-01T00:00Z: an adapter's only clock. */
  readonly receivedMs: number
  readonly transport: Transport
  /**
   * What only an earlier frame of the connection tells and later ones have to be read with, such as the version of the
   * protocol; '' at first. The journal keeps it with every frame, so that each can be decoded on its own, at any
   * time: what `decode` makes of a frame with positions may depend on this, on the device and on the frame, and on
   * nothing in {@link state}.
   */
  dialect: string
  /** Number of the command that is encoded: 0 for the first of a session, then one more each. */
  commandSerial: number
  readonly state: State

  /**
   * Called by `decode` when the frame names its device: sets {@link uniqueId} and {@link device}.
   * @param uniqueIds The device's name, the likeliest first where a frame leaves several open: the first
   *   registered one is taken, else the first.
   */
  identify(...uniqueIds: [string, ...string[]]): void

  /** Called by `decode` when the frame is the device's answer to a command, also where it has a position as well. */
  answer(answer: CommandAnswer): void
}

/** What an adapter may need to know of a registered device. */
export interface KnownDevice {
  /** Model as registered, such as `FMB130`; '' if not given. Some frames can be read only with it. */
  readonly model: string
  /** Protocol options of the device by name, such as `{"extended": true}`. */
  readonly options: Readonly<Record<string, unknown>>
}

/** Checks the shape of an adapter at compile time without widening it. */
export function defineAdapter<State>(adapter: Adapter<State>): Adapter<State> {
  return adapter
}

/**
 * `checksum`: it fails. `malformed`: the frame breaks its layout. `unsupported`: a layout we know of and do not read.
 * Adapters do not use these: `too-large`: it is longer than a frame may be. `adapter-bug`: the adapter threw what it may
 * not, see {@link DecodeError.of}.
 */
export type DecodeErrorCode = 'checksum' | 'malformed' | 'unsupported' | 'too-large' | 'adapter-bug'

/** A frame that breaks its protocol; counted by code, kept in quarantine, never fatal to the engine. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError'
  readonly code: DecodeErrorCode

  constructor(code: DecodeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  /** What an adapter threw, as the fault of the frame: a bug of one adapter must not end the others. */
  static of(thrown: unknown): DecodeError {
    if (thrown instanceof DecodeError) return thrown
    return new DecodeError('adapter-bug', 'the adapter failed on this frame', { cause: thrown })
  }
}
