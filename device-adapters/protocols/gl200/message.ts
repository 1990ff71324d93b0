/** A text message, taken apart. */
import { DecodeError, type Session } from '../../adapter.ts'
import { timeOf } from './fields.ts'
import { modelOf } from './models.ts'

export interface Message {
  readonly frame: Buffer
  /** `RESP` for a report, `BUFF` for one that waited for the network, `ACK` for the answer to a command. */
  readonly kind: string
  /** `FRI`, `ERI`, …. */
  readonly type: string
  /** All fields: head, protocol version, id, mostly the name of the device, …, send time, count number. */
  readonly values: readonly string[]
  /** Whether it has no protocol version, as messages of GL100 and GT300. */
  readonly short: boolean
  readonly version: string
  readonly id: string
  /** When it was sent, ms UTC; NaN if that is not there. */
  readonly sentMs: number
}

/** First field after the id. */
export const CONTENT = 3

const HEAD = /^\+(RESP|BUFF|ACK):GT([A-Z0-9]{3})$/
/** IMEI, or MEID. */
const ID = /^(\d{15}|[0-9A-F]{14})$/i

/** @throws DecodeError if the frame is none of the protocol. */
export function messageOf(frame: Buffer): Message {
  let end = frame.length
  while (end > 0 && '$\0\r\n'.includes(String.fromCharCode(frame[end - 1]!))) end--
  const text = frame.toString('latin1', 0, end)
  // PostgreSQL stores no U+0000.
  if (text.includes('\0')) throw new DecodeError('malformed', 'U+0000 in a message')
  const values = text.split(',')
  const [, kind, type] = HEAD.exec(values[0]!) ?? []
  if (type === undefined) throw new DecodeError('malformed', `no head of a message: ${text.slice(0, 20)}`)
  const short = /^\d{15}$/.test(values[1] ?? '')
  const id = values[short ? 1 : 2] ?? ''
  if (!ID.test(id)) throw new DecodeError('malformed', `no IMEI in ${text.slice(0, 40)}`)
  // Fields that are empty at the end are none: the send time and the count number are told from there.
  while (values.length > 0 && values.at(-1) === '') values.pop()
  const version = short ? '' : values[1]!
  return { frame, kind: kind!, type, values, short, version, id, sentMs: timeOf(values.at(-2) ?? '') }
}

/** Model of the device, see {@link modelOf}. */
export function modelOfMessage(message: Message, session: Session): string {
  return modelOf(session, message.version)
}

/** Bytes of the fields `[from, to)`, with the commas between them. */
export function spanOf({ values }: Message, from: number, to: number): [start: number, end: number] {
  const bytes = (first: number, last: number) => {
    let length = 0
    for (let i = first; i < last; i++) length += values[i]!.length + 1
    return length
  }
  const start = bytes(0, from)
  return [start, start + Math.max(0, bytes(from, to) - 1)]
}
