/** Commands of Ruptela. */
import { type Adapter, CommandError, type Reply, type Session } from '../../adapter.ts'
import { printableAscii } from '../../command-text.ts'
import { packet, TYPE } from './packet.ts'

const U32_MAX = 0xffff_ffff
/** Photos of any time. */
const TIME_MAX_S = 0x7fff_ffff
/** Length, type and CRC. */
const HEAD_BYTES = 4

export const commands: NonNullable<Adapter['commands']> = {
  engineStop: (_, session) => sms('immobilizer 10', session),
  engineResume: (_, session) => sms('resetimmob', session),
  custom: ({ data }) =>
    /^([\da-f]{2})+$/i.test(data) ? wholePacket(data) : packet(TYPE.sms, printableAscii(data)),
  configuration: ({ data }) => packet(TYPE.configuration, `${printableAscii(data)}\r\n`),
  getVersion: () => packet(TYPE.version, ''),
  // Asks the device to begin: the firmware itself is what its maker's server sends.
  firmwareUpdate: () => packet(TYPE.firmware, '|FU_STRT*\r\n'),
  setConnection: ({ server, port }) => packet(TYPE.connection, `${server},${port},TCP`),
  setOdometer: ({ data = '0' }) => packet(TYPE.odometer, numbers(data)),
  outputControl: ({ index = 1, data }) => packet(TYPE.output, numbers(String(index), data)),
  requestPhoto: ({ index = 0 }) =>
    packet(TYPE.files, Buffer.concat([Buffer.from([1, index]), numbers('0', String(TIME_MAX_S))])),
}

/** The text of an SMS command: the password of the device, nothing where it has none, and a space before it. */
function sms(command: string, session: Session): Reply {
  const password = session.device?.options.devicePassword ?? ''
  return packet(TYPE.sms, printableAscii(`${password} ${command}`))
}

function numbers(...texts: readonly string[]): Buffer {
  const bytes = Buffer.alloc(4 * texts.length)
  texts.forEach((text, i) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
    if (!(value <= U32_MAX)) throw new CommandError(`${text} is no whole number up to ${U32_MAX}`)
    bytes.writeUInt32BE(value, 4 * i)
  })
  return bytes
}

/** @param hex A packet as it goes to the device. */
function wholePacket(hex: string): Buffer {
  const bytes = Buffer.from(hex, 'hex')
  if (bytes.length <= HEAD_BYTES || bytes.readUInt16BE(0) !== bytes.length - HEAD_BYTES) {
    throw new CommandError('hex is sent as it is, and must be a packet with its length and CRC')
  }
  return bytes
}
