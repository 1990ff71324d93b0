/** Messages of Teltonika codecs 12 to 15; the layout stands in protocols/teltonika.ts. */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError, type Session } from '../../adapter.ts'
import { crc16Ibm } from '../../checksums.ts'
import { latin1 } from '../../command-text.ts'

const CODEC_12 = 0x0c
const CODEC_13 = 0x0d
const CODEC_14 = 0x0e
const CODEC_15 = 0x0f
const TIMED: ReadonlySet<number> = new Set([CODEC_13, CODEC_15])
const NAMED: ReadonlySet<number> = new Set([CODEC_14, CODEC_15])
export const MESSAGE_CODECS: ReadonlySet<number> = new Set([CODEC_12, CODEC_13, CODEC_14, CODEC_15])

/** `refusal` is codec 14's: the IMEI of the command is not the device's. */
const TYPE = { command: 0x05, answer: 0x06, camera: 0x0d, refusal: 0x11 }

/**
 * Camera messages of codec 12: 1 announces a photo (id 4, maybe its size 4), 2 is asked for a part (id 4, offset 4,
 * length 2) and brings it (the same, then the bytes).
 */
const CAMERA = { announce: 1, part: 2 }
const PHOTO_PART_BYTES = 2048

/** Whether the data at `start` is a message of a camera. */
export function isCameraMessage(frame: Buffer, start: number): boolean {
  return frame[start] === CODEC_12 && frame[start + 2] === TYPE.camera
}

/** What a connection remembers of the photo that is on its way. */
export interface PhotoState {
  /** Size of the photo, bytes; 0 if the camera did not say. */
  photoBytes: number
}

/**
 * Appends the message at `start` as a row without a fix. Parts of a photo are no rows.
 * @returns Where the next one starts.
 * @throws DecodeError if the message does not end before `end`.
 */
export function decodeMessage(
  frame: Buffer,
  start: number,
  end: number,
  codec: number,
  session: Session<PhotoState>,
  out: PositionBatch,
): number {
  const type = frame.readUInt8(start)
  let at = start + 5
  const next = at + frame.readUInt32BE(start + 1)
  if (next > end) throw new DecodeError('malformed', 'the packet ends inside a message')
  if (codec === CODEC_12 && type === TYPE.camera) {
    readCamera(frame, at, next, session.state)
    return next
  }
  let timeMs = Number.NaN
  if (TIMED.has(codec)) {
    timeMs = frame.readUInt32BE(at) * 1000
    at += 4
  }
  if (NAMED.has(codec)) {
    const imei = frame.toString('hex', at, at + 8).replace(/^0/, '')
    if (session.uniqueId === '') session.identify(imei)
    at += 8
  }
  if (at > next) throw new DecodeError('malformed', 'the message is shorter than its head')
  const result = textOrHex(frame.subarray(at, next))
  if (!TIMED.has(codec) && (type === TYPE.answer || type === TYPE.refusal)) {
    session.answer({ ok: type === TYPE.answer, text: result })
  }
  // Codecs 13 and 15 carry what a device on the serial port sent, whose type says nothing.
  if (TIMED.has(codec) && result === '') return next
  const row = out.addWithoutFix(timeMs)
  if (!TIMED.has(codec)) out.set(row, 'type', type)
  if (result !== '') setResult(out, row, result)
  return next
}

const U32_MAX = 0xffff_ffff

/** Printable bytes as text, others as hex. */
function textOrHex(bytes: Buffer): string {
  const printable = bytes.every((byte) => (byte >= 0x20 && byte < 0x80) || byte === 0x0a || byte === 0x0d)
  return printable ? bytes.toString('latin1').trim() : bytes.toString('hex')
}

/** Axle loads of a weighing system on the serial port: `UUUUww`, twelve numbers, one more character, `SSS`. */
const AXLE_LOADS = /^UUUUww((?:-?[\d.]+;){11}-?[\d.]+)(?:;.*)?.SSS$/s
const AXLE_KEYS = [
  ...Array.from({ length: 8 }, (_, axle) => `axle${axle + 1}`),
  'loadTruck',
  'loadTrailer',
  'totalTruck',
  'totalTrailer',
]

function setResult(out: PositionBatch, row: number, result: string): void {
  const loads = AXLE_LOADS.exec(result)?.[1]?.split(';')
  if (loads !== undefined) for (const [i, key] of AXLE_KEYS.entries()) out.set(row, key, Number(loads[i]))
  else if (/^GTSL(\|[^|]*){4}/.test(result)) out.set(row, 'driverUniqueId', result.split('|')[4])
  else out.set(row, 'result', result)
}

/** Checks a camera message, so that {@link photoRequest} can rely on it. */
function readCamera(frame: Buffer, at: number, end: number, state: PhotoState): void {
  const bytes = end - at
  const kind = frame.readUInt8(at)
  const short =
    bytes < 1 ||
    (kind === CAMERA.announce && bytes < 5) ||
    (kind === CAMERA.part && (bytes < 11 || bytes < 11 + frame.readUInt16BE(at + 9)))
  if (short) throw new DecodeError('malformed', 'the camera message is cut')
  if (kind === CAMERA.part && partEnd(frame, at) > U32_MAX) {
    throw new DecodeError('malformed', 'the part of the photo lies beyond any photo')
  }
  if (kind === CAMERA.announce) state.photoBytes = bytes >= 9 ? frame.readUInt32BE(at + 5) : 0
}

/** Where in the photo a part ends, bytes. @param at Of the camera message in the frame. */
function partEnd(frame: Buffer, at: number): number {
  return frame.readUInt32BE(at + 5) + frame.readUInt16BE(at + 9)
}

/**
 * What asks for the next part of a photo, given a frame that decoded.
 * @param at Of the codec in the frame.
 * @returns Undefined if the frame is not of the camera, or the photo is complete.
 */
export function photoRequest(frame: Buffer, at: number, { photoBytes }: PhotoState): Buffer | undefined {
  if (frame[at] !== CODEC_12 || frame[at + 1] === 0 || frame[at + 2] !== TYPE.camera) return undefined
  const camera = at + 7
  let offset = 0
  if (frame[camera] === CAMERA.part) {
    // A camera that gave no size has sent all once a part is empty.
    if (frame.readUInt16BE(camera + 9) === 0) return undefined
    offset = partEnd(frame, camera)
  } else if (frame[camera] !== CAMERA.announce) return undefined
  const rest = photoBytes === 0 ? PHOTO_PART_BYTES : photoBytes - offset
  if (rest <= 0) return undefined
  const request = Buffer.alloc(11)
  request.writeUInt8(CAMERA.part, 0)
  frame.copy(request, 1, camera + 1, camera + 5)
  request.writeUInt32BE(offset, 5)
  request.writeUInt16BE(Math.min(PHOTO_PART_BYTES, rest), 9)
  return packet(TYPE.camera, request)
}

/**
 * A command to the device.
 * @param text As an SMS command has it, such as `setdigout 11`; an even number of hex digits stands for bytes, which
 *   the device passes to its serial port.
 * @throws CommandError if a character of it is no byte.
 */
export function commandPacket(text: string): Buffer {
  const binary = /^([\da-f]{2})+$/i.test(text)
  return packet(TYPE.command, Buffer.from(latin1(text), binary ? 'hex' : 'latin1'))
}

function packet(type: number, payload: Buffer): Buffer {
  const dataBytes = payload.length + 8
  const bytes = Buffer.alloc(12 + dataBytes)
  bytes.writeUInt32BE(dataBytes, 4)
  bytes.writeUInt8(CODEC_12, 8)
  bytes.writeUInt8(1, 9)
  bytes.writeUInt8(type, 10)
  bytes.writeUInt32BE(payload.length, 11)
  payload.copy(bytes, 15)
  bytes.writeUInt8(1, 15 + payload.length)
  bytes.writeUInt32BE(crc16Ibm(bytes, 8, 8 + dataBytes), 8 + dataBytes)
  return bytes
}
