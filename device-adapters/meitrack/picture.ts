/** Pictures of Meitrack's cameras, which the server fetches in packets; there is no place for them in a position. */
import { encode, type Frame } from './frame.ts'

/** The device sends this many packets for each request. */
const PACKETS_OF_REQUEST = 8
/** The name that pictures on demand are given, see the command `requestPhoto`. */
const ASKED_FOR = 'camera_picture.jpg'
const IDENTIFIER = 'O'
/** Bytes of `D00,name,packets,number,`. */
const HEAD_BYTES_MAX = 96

/** Asks for the first packets of a picture that was taken, and for more when eight are there. */
export function pictureRequest(bytes: Buffer, { type, typeAt, end, uniqueId }: Frame): string | undefined {
  const text = bytes.toString('latin1', typeAt, Math.min(end, typeAt + HEAD_BYTES_MAX))
  if (type === 'D03') return text === 'D03,OK' ? request(uniqueId, ASKED_FOR, 0) : undefined
  const [, file, total, number] = /^D00,([\w.-]{1,64}),(\d{1,5}),(\d{1,5}),/.exec(text) ?? []
  if (file === undefined) return undefined
  const next = Number(number) + 1
  return next < Number(total) && next % PACKETS_OF_REQUEST === 0 ? request(uniqueId, file, next) : undefined
}

function request(uniqueId: string, file: string, packet: number): string {
  return encode(IDENTIFIER, uniqueId, `D00,${file},${packet}`)
}
