/** Commands to devices. Those of the standard are 0x8103 to 0x9102; what trackers add depends on their model. */
import { type Adapter, CommandError, type Session } from '../../adapter.ts'
import { printableAscii } from '../../command-text.ts'
import { utcDigits } from '../../units.ts'
import { encode, type Peer, peerOf, serialBytes } from './frame.ts'

/** State of a connection: how its device writes headers, for commands. */
export interface Jt808State {
  peer: Peer | undefined
}

const SETTINGS = 0x8103
const CONTROL = 0x8105
const LOCATION_QUERY = 0x8201
const TEXT = 0x8300
const TRANSPARENT = 0x8900
const VIDEO = 0x9101
const VIDEO_CONTROL = 0x9102
/** Settings and the relay of trackers that are no terminals of the standard. */
const TRACKER_SETTINGS = 0x0310
const RELAY = 0xa006

/** Words of the terminal control, JT/T 808 table "terminal control command". */
const REBOOT = 0x04
/** Of trackers: cut and restore fuel. */
const CUT = 0xf0
const RESTORE = 0xf1

/** Setting "interval of reports by default", s. */
const REPORT_INTERVAL = 0x0029
/** Setting of AOVX and Jimi by which a line of text is a command. */
const COMMAND_LINE = 0xf030
/** Kind of transparent message by which a line of text is a command. */
const ONLINE_COMMAND = 0xf0
/** Flag of a text: urgent. */
const URGENT = 0x01

const COMMAND_LINE_MODELS: ReadonlySet<string> = new Set(['AL300', 'GL100', 'VL300'])
const TEXT_MODELS: ReadonlySet<string> = new Set(['BSJ', 'C5', 'C5L'])

/** Length u8 of a value. */
const VALUE_MAX_BYTES = 255
/** Length of the body in the attributes. */
const BODY_MAX_BYTES = 1023
/** Who arms and disarms, for the log of the device. */
const USER = 'user'
const CHINA_MS = 8 * 3_600_000

type Commands = NonNullable<Adapter<Jt808State>['commands']>

export const commands: Commands = {
  custom: ({ data }, session) => custom(session, data),
  positionSingle: (_, session) => message(session, LOCATION_QUERY, Buffer.alloc(0)),
  positionPeriodic({ frequency }, session) {
    const value = Buffer.alloc(4)
    value.writeUInt32BE(frequency)
    return message(session, SETTINGS, setting(REPORT_INTERVAL, value))
  },
  engineStop: (_, session) => engine(session, true),
  engineResume: (_, session) => engine(session, false),
  alarmArm: (_, session) => arm(session, true),
  alarmDisarm: (_, session) => arm(session, false),
  rebootDevice: (_, session) => message(session, CONTROL, Buffer.from([REBOOT])),
  videoStart: ({ index }, session) => message(session, VIDEO, video(session, index ?? 1)),
  // Close both sound and picture of the main stream.
  videoStop: ({ index }, session) => message(session, VIDEO_CONTROL, Buffer.from([index ?? 1, 0, 0, 0])),
}

/** A whole message as hex; or text, in the message that the model takes commands in. */
function custom(session: Session<Jt808State>, data: string): Buffer {
  const { model } = session.device ?? { model: '' }
  if (COMMAND_LINE_MODELS.has(model)) return message(session, SETTINGS, setting(COMMAND_LINE, ascii(data)))
  if (model.startsWith('JC')) {
    return message(session, TRANSPARENT, Buffer.concat([Buffer.from([ONLINE_COMMAND]), ascii(data)]))
  }
  if (!TEXT_MODELS.has(model) && /^(7e|e7)([0-9a-f]{2}){13,2048}\1$/i.test(data))
    return Buffer.from(data, 'hex')
  return message(session, TEXT, Buffer.concat([Buffer.from([URGENT]), ascii(data)]))
}

/**
 * Option `alternative` of a device: the relay of trackers that want the time with it. VL300 and W15L have words of
 * their own.
 */
function engine(session: Session<Jt808State>, stop: boolean): Buffer {
  const { model, options } = session.device ?? { model: '', options: {} }
  if (options.alternative === true) {
    const time = utcDigits(session.receivedMs + CHINA_MS).slice(2)
    return message(session, RELAY, Buffer.concat([Buffer.from([stop ? 1 : 0]), Buffer.from(time, 'hex')]))
  }
  if (model === 'VL300') return message(session, CONTROL, ascii(stop ? '#0;1' : '#0;0'))
  if (model === 'W15L') return message(session, CONTROL, Buffer.from([stop ? 0x64 : 0x65]))
  return message(session, CONTROL, Buffer.from([stop ? CUT : RESTORE]))
}

/** Setting 0x24 of trackers: count u8, id u8, length u8, state u8, user. */
function arm(session: Session<Jt808State>, armed: boolean): Buffer {
  const head = Buffer.from([1, 0x24, 1 + USER.length, armed ? 1 : 0])
  return message(session, TRACKER_SETTINGS, Buffer.concat([head, ascii(USER)]))
}

/** One setting of 0x8103: count u8, id u32, length u8, value. */
function setting(id: number, value: Buffer): Buffer {
  if (value.length > VALUE_MAX_BYTES) {
    throw new CommandError(`a command has at most ${VALUE_MAX_BYTES} characters here, got ${value.length}`)
  }
  const head = Buffer.alloc(6)
  head[0] = 1
  head.writeUInt32BE(id, 1)
  head[5] = value.length
  return Buffer.concat([head, value])
}

/**
 * Where the device sends its picture, JT/T 1078: options `videoServer` and `videoPort` of the device. Host after its
 * length u8, port of TCP and of UDP u16, channel u8, picture alone, main stream.
 * @throws CommandError if they are not set.
 */
function video(session: Session<Jt808State>, channel: number): Buffer {
  const { videoServer, videoPort } = session.device?.options ?? {}
  if (typeof videoServer !== 'string' || !/^[\w.:-]{1,253}$/.test(videoServer)) {
    throw new CommandError('option videoServer of the device must be the host that takes its picture')
  }
  if (typeof videoPort !== 'number' || !Number.isInteger(videoPort) || videoPort < 1 || videoPort > 65_535) {
    throw new CommandError('option videoPort of the device must be the port that takes its picture')
  }
  const tail = Buffer.alloc(7)
  tail.writeUInt16BE(videoPort, 0)
  tail.set([channel, 1, 0], 4)
  return Buffer.concat([Buffer.from([videoServer.length]), ascii(videoServer), tail])
}

/** @throws CommandError for what is no printable ASCII: no device takes it in a command. */
function ascii(value: string): Buffer {
  return Buffer.from(printableAscii(value), 'latin1')
}

function message(session: Session<Jt808State>, type: number, body: Buffer): Buffer {
  if (body.length > BODY_MAX_BYTES) {
    throw new CommandError(`a command has at most ${BODY_MAX_BYTES} bytes, got ${body.length}`)
  }
  const peer = session.state.peer ?? peerOf(session.uniqueId)
  return encode(peer, type, serialBytes(session.commandSerial), body)
}
