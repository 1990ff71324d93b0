/** Packets of the server to a Ruptela device; the layout stands in ../protocols/ruptela.ts. */
import { crc16Kermit } from '../../checksums.ts'

/** What devices send. The server's packets of a type have {@link SERVER} more. */
export const TYPE = {
  records: 1,
  configuration: 2,
  version: 3,
  firmware: 4,
  connection: 5,
  odometer: 6,
  smsAnswer: 7,
  sms: 8,
  faults: 9,
  identification: 15,
  heartbeat: 16,
  output: 17,
  files: 37,
  extendedRecords: 68,
} as const

const SERVER = 100

/** @param type Of {@link TYPE}. @param content Text is sent as Latin-1. */
export function packet(type: number, content: Buffer | readonly number[] | string): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : Buffer.from(content)
  const frame = Buffer.alloc(bytes.length + 5)
  frame.writeUInt16BE(bytes.length + 1, 0)
  frame.writeUInt8(SERVER + type, 2)
  bytes.copy(frame, 3)
  frame.writeUInt16BE(crc16Kermit(frame, 2, frame.length - 2), frame.length - 2)
  return frame
}
