/** Pictures of Meitrack's cameras, which the server fetches in packets; there is no place for them in a position. */
import { encode, type Frame } from './frame.ts'

/** The device sends this many packets for each request. */
const PACKETS_OF_REQUEST = 8
/** The name that pictures on demand are given, see the command `requestPhoto`. */
const ASKED_FOR = 'camera_picture.jpg'
const IDENTIFIER = 'O'
/** Bytes of `D00,name,packets,number,`. */
const HEAD_BYTES_MAX = 96

/** What a packet of a picture says of itself. */
interface Packet {
  readonly file: string
  readonly total: number
  /** Number of the packet that follows. */
  readonly next: number
}

/** Whether it is the last packet of a picture. */
export function endsPicture(bytes: Buffer, frame: Frame): boolean {
  const packet = packetOf(headOf(bytes, frame))
  return packet !== undefined && packet.next === packet.total
}

/** Asks for the first packets of a picture that was taken, and for more when eight are there. */
export function pictureRequest(bytes: Buffer, frame: Frame): string | undefined {
  const { type, uniqueId } = frame
  const text = headOf(bytes, frame)
  if (type === 'D03') return text === 'D03,OK' ? request(uniqueId, ASKED_FOR, 0) : undefined
  const packet = packetOf(text)
  if (packet === undefined) return undefined
  const { file, total, next } = packet
  return next < total && next % PACKETS_OF_REQUEST === 0 ? request(uniqueId, file, next) : undefined
}

function headOf(bytes: Buffer, { typeAt, end }: Frame): string {
  return bytes.toString('latin1', typeAt, Math.min(end, typeAt + HEAD_BYTES_MAX))
}

function packetOf(text: string): Packet | undefined {
  const [, file, total, number] = /^D00,([\w.-]{1,64}),(\d{1,5}),(\d{1,5}),/.exec(text) ?? []
  return file === undefined ? undefined : { file, total: Number(total), next: Number(number) + 1 }
}

function request(uniqueId: string, file: string, packet: number): string {
  return encode(IDENTIFIER, uniqueId, `D00,${file},${packet}`)
}
