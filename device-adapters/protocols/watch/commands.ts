/** Commands to watches: `[MAKER*ID*[INDEX*]LENGTH*NAME,…]`, with the maker and the index of what the watch itself sends. */
import { type Adapter, CommandError, type Session } from '../../adapter.ts'

const CONTENT_BYTES_MAX = 0xffff
/** Names of commands without an answer that are remembered. */
const NAMES_MAX = 16
const ESCAPE = 0x7d

/** Bytes that must not stand in a sound, by the byte that follows {@link ESCAPE} instead of them. */
const ESCAPED = [0, 0x7d, 0x5b, 0x5d, 0x2c, 0x2a] as const

/** What a connection tells of the watch, for what is sent to it. */
export interface WatchState {
  /** Two characters that begin its frames. */
  maker: string
  /** Whether its frames have an index. */
  indexed: boolean
  /** Names of commands that were sent, until the watch answers with the name. */
  readonly sent: string[]
}

export const COMMANDS: NonNullable<Adapter<WatchState>['commands']> = {
  custom: ({ data }, session) => command(session, data),
  positionSingle: (_, session) => command(session, 'CR'),
  positionPeriodic: ({ frequency }, session) => command(session, `UPLOAD,${frequency}`),
  sosNumber({ index, phone }, session) {
    if (index < 1 || index > 3) throw new CommandError('there are SOS numbers 1 to 3')
    return command(session, `SOS${index},${phone}`)
  },
  alarmSos: ({ enable }, session) => command(session, `SOSSMS,${Number(enable)}`),
  alarmBattery: ({ enable }, session) => command(session, `LOWBAT,${Number(enable)}`),
  alarmRemove: ({ enable }, session) => command(session, `REMOVE,${Number(enable)}`),
  alarmClock: ({ data }, session) => command(session, `REMIND,${data}`),
  silenceTime: ({ data }, session) => command(session, `SILENCETIME,${data}`),
  setPhonebook: ({ data }, session) => command(session, `PHB,${data}`),
  setIndicator: ({ data }, session) => command(session, `FLOWER,${data}`),
  setTimezone: ({ timezone, language }, session) =>
    command(session, `LZ,${language ?? ''},${hoursOf(timezone, session.receivedMs)}`),
  message: ({ message }, session) => command(session, `MESSAGE,${utf16Hex(message)}`),
  voiceMessage: ({ data }, session) => binaryCommand(session, 'TK,', escaped(Buffer.from(data, 'hex'))),
  rebootDevice: (_, session) => command(session, 'RESET'),
  powerOff: (_, session) => command(session, 'POWEROFF'),
}

/** Takes `name` from the commands without an answer; whether it was one of them. */
export function isAnswer(name: string, { sent }: WatchState): boolean {
  const at = sent.indexOf(name)
  if (at >= 0) sent.splice(at, 1)
  return at >= 0
}

/** The bytes of the wire without their escapes; an escape of no meaning stays as it is. */
export function unescaped(wire: Buffer): Buffer {
  let from = wire.indexOf(ESCAPE)
  if (from < 0) return wire
  const bytes = Buffer.from(wire)
  let length = from
  while (from < wire.length) {
    const byte = wire[from] === ESCAPE ? ESCAPED[wire[from + 1] ?? 0] : 0
    bytes[length++] = byte || wire[from]!
    from += byte ? 2 : 1
  }
  return bytes.subarray(0, length)
}

function escaped(bytes: Buffer): Buffer {
  return Buffer.from(
    [...bytes].flatMap((byte) => {
      const code = byte === 0 ? -1 : ESCAPED.indexOf(byte as 0x7d)
      return code < 0 ? [byte] : [ESCAPE, code]
    }),
  )
}

function command(session: Session<WatchState>, text: string): Buffer {
  if (!/^[\x20-\x7e]+$/.test(text) || /[[\]}]/.test(text)) {
    throw new CommandError('a command is text in ASCII without [ ] and }')
  }
  return binaryCommand(session, text, Buffer.alloc(0))
}

function binaryCommand({ uniqueId, commandSerial, state }: Session<WatchState>, text: string, data: Buffer) {
  const length = text.length + data.length
  if (length > CONTENT_BYTES_MAX) throw new CommandError(`a command has ${CONTENT_BYTES_MAX} bytes at most`)
  const index = state.indexed ? `${hex4((commandSerial % CONTENT_BYTES_MAX) + 1)}*` : ''
  if (state.sent.push(text.split(',', 1)[0]!) > NAMES_MAX) state.sent.shift()
  const head = `[${state.maker}*${uniqueId}*${index}${hex4(length)}*${text}`
  return Buffer.concat([Buffer.from(head, 'ascii'), data, Buffer.from(']')])
}

/** Four digits of hex, in lower case. */
export function hex4(value: number): string {
  return value.toString(16).padStart(4, '0')
}

function utf16Hex(text: string): string {
  return Buffer.from(text, 'utf16le').swap16().toString('hex')
}

/**
 * Hours that the zone's standard time is ahead of UTC, such as `+5.75`: a watch knows no summer time.
 * @param nowMs Decides what the rules of the zone are.
 */
function hoursOf(timezone: string, nowMs: number): string {
  const year = new Date(nowMs).getUTCFullYear()
  const minutes = Math.min(
    offsetMinutes(timezone, Date.UTC(year, 0, 1)),
    offsetMinutes(timezone, Date.UTC(year, 6, 1)),
  )
  return `${minutes < 0 ? '' : '+'}${Number((minutes / 60).toFixed(2))}`
}

function offsetMinutes(timezone: string, timeMs: number): number {
  const [, sign, hours, minutes = '0'] =
    /^(?:GMT|UTC)?([-+])(\d{1,2})(?::?(\d\d))?$/.exec(timezone) ??
    /GMT(?:([-+])(\d\d):(\d\d))?/.exec(longOffset(timezone, timeMs))!
  if (hours === undefined) return 0
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes))
}

/** `GMT+01:00`, or `GMT` alone. */
function longOffset(timeZone: string, timeMs: number): string {
  try {
    return new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' }).format(timeMs)
  } catch {
    throw new CommandError(`there is no time zone ${timeZone}`)
  }
}
