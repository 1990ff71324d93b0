/** What the server answers; most messages are answered with their own type and serial number. */
import type { Reply, Session } from '../../adapter.ts'
import { contentAt, encode, serialOf, typeOf } from './frame.ts'
import type { Gt06State } from './state.ts'

export type Answer = (frame: Buffer, session: Session<Gt06State>) => Reply | undefined

const NOTHING = Buffer.alloc(0)
const ADDRESS = 0x97

export const none: Answer = () => undefined

export const echo: Answer = (frame) => encode(typeOf(frame), NOTHING, serialOf(frame))

/** {@link echo} as a long frame. */
export const echoLong: Answer = (frame) => encode(typeOf(frame), NOTHING, serialOf(frame), true)

/** Year, month, day, hour, minute, second: UTC. */
export const serverTime: Answer = (frame, session) => {
  const now = new Date(session.receivedMs)
  const content = Buffer.from([
    now.getUTCFullYear() % 100,
    now.getUTCMonth() + 1,
    now.getUTCDate(),
    now.getUTCHours(),
    now.getUTCMinutes(),
    now.getUTCSeconds(),
  ])
  return encode(typeOf(frame), content, serialOf(frame))
}

/** "No address, no phone number": the server does not turn positions into addresses. */
export const noAddress: Answer = () => {
  const text = 'NA&&NA&&0##'
  const content = Buffer.alloc(5 + text.length)
  content.writeUInt8(text.length, 0)
  content.write(text, 5, 'latin1')
  return encode(ADDRESS, content, 0, true)
}

/** Type and date of the message, in a frame of the form of 0x17 and 0x69: length 0, neither serial number nor checksum. */
export const echoDate: Answer = (frame) => {
  const at = contentAt(frame)
  return Buffer.concat([
    Buffer.from([0x78, 0x78, 0, typeOf(frame)]),
    frame.subarray(at, at + 6),
    Buffer.from('\r\n', 'latin1'),
  ])
}
