/**
 * Galileosky trackers, over mobile networks and over Iridium.
 *
 *     01 | length u16 | tags                                          | crc u16      records; bit 15 of the length: more wait
 *     07 | length u16 | part u8 | bytes of a photo                    | crc u16      no bytes after the last part
 *     08 | length u16 | minimal data u8[10] | count u8 | tags | values | crc u16     records without tags
 *
 * A tag is a number u8 and a value whose length the number says, see galileo/tags.ts; a tag that comes again begins the
 * next record. Numbers are little-endian; the crc (CRC-16/MODBUS) covers all before it. The server answers 02 and the
 * crc of a packet, 07 and the crc of a part; a packet that it does not answer comes again. The first packet of a
 * connection names the device (tag 0x03), the others need not.
 *
 * Iridium (Short Burst Data, Mobile Originated): 01 | length u16 | 01 length u16: index u32, IMEI of the modem, status
 * u8, counters u16[2], time u32 | 03 length u16: hemispheres u8, degrees u8 and minutes u16, twice; accuracy u32 | 02
 * length u16: tags, or a record without them (option `compressed` of the device). Big-endian but for the tags, without a
 * crc and an answer.
 *
 * Commands: tags 0x03, 0x04, 0xE0 number u32, 0xE1 text after its length u8; the answer has the same tags.
 *
 * Source: Galileosky protocol, "Data exchange with server", 2023; Iridium SBD Developers Guide, DirectIP.
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { CommandError, DecodeError, defineAdapter, type Session } from '../adapter.ts'
import { crc16Modbus } from '../checksums.ts'
import { isTagged, readCompressed } from './galileo/compressed.ts'
import { RecordReader } from './galileo/record.ts'
import { starts } from './galileo/starts.ts'
import { DEVICE_TAG, IMEI_TAG, INDEX_TAG, readTag, TEXT_TAG } from './galileo/tags.ts'

const RECORDS = 0x01
const ANSWER = 0x02
const PHOTO = 0x07
const COMPRESSED = 0x08

/** Header and length; crc. */
const HEAD_BYTES = 3
const CRC_BYTES = 2
const LENGTH_MASK = 0x7fff
/** What tells Iridium after the length: its first element and the length of that. */
const IRIDIUM_HEAD = Buffer.from([0x01, 0x00, 0x1c])
const HEAD_TAG_LAST = DEVICE_TAG

export const galileo = defineAdapter({
  id: 'galileo',
  version: 1,
  makers: ['Galileosky'],
  source: 'Galileosky protocol, data exchange with server, 2023',
  listen: { tcp: 5034 },
  options: {
    compressed: '`true` or `false`: whether records by satellite are compressed; found out if not given',
  },
  maxFrameBytes: HEAD_BYTES + LENGTH_MASK + CRC_BYTES,

  starts,

  frame(bytes) {
    const header = bytes[0]
    if (header !== RECORDS && header !== PHOTO && header !== COMPRESSED) return -1
    if (bytes.length < HEAD_BYTES + IRIDIUM_HEAD.length) return 0
    const length = isIridium(bytes)
      ? HEAD_BYTES + bytes.readUInt16BE(1)
      : HEAD_BYTES + (bytes.readUInt16LE(1) & LENGTH_MASK) + CRC_BYTES
    return bytes.length < length ? 0 : length
  },

  decode(frame, session, out) {
    if (isIridium(frame)) {
      decodeIridium(frame, session, out)
      return
    }
    const end = frame.length - CRC_BYTES
    if (end < HEAD_BYTES || frame.readUInt16LE(end) !== crc16Modbus(frame, 0, end)) {
      throw new DecodeError('checksum', 'the crc does not fit')
    }
    const reader = new RecordReader(frame, HEAD_BYTES, end)
    if (frame[0] === RECORDS) decodeRecords(reader, end, session, out)
    else if (frame[0] === COMPRESSED) decodeCompressed(reader, session, out)
    // The last part has no bytes: the photo came, of which only that is kept.
    else if (frame[0] === PHOTO && reader.left <= 1) out.addWithoutFix()
  },

  ack(frame) {
    if (isIridium(frame)) return undefined
    const crc = frame.subarray(frame.length - CRC_BYTES)
    return Buffer.concat([Buffer.from([frame[0] === PHOTO ? PHOTO : ANSWER]), crc])
  },

  commands: {
    custom: ({ data }, session) => command(session, data),
    outputControl({ index = 0, data }, session) {
      if (!/^[01]$/.test(data)) throw new CommandError('an output is set to 1 or 0')
      return command(session, `Out ${index},${data}`)
    },
  },
})

function isIridium(bytes: Buffer): boolean {
  return (
    bytes[0] === RECORDS && bytes.subarray(HEAD_BYTES, HEAD_BYTES + IRIDIUM_HEAD.length).equals(IRIDIUM_HEAD)
  )
}

function decodeRecords(reader: RecordReader, end: number, session: Session, out: PositionBatch): void {
  const seen = new Set<number>()
  let start = reader.at
  let isHead = true
  const finish = (recordEnd: number) => {
    if (reader.imei !== '') session.identify(reader.imei)
    answerFrom(reader, session)
    reader.finish(out, start, recordEnd)
  }
  while (reader.left > 0) {
    const { at } = reader
    const tag = reader.u8()
    if (seen.has(tag)) {
      finish(at)
      seen.clear()
      start = at
      isHead = true
    }
    seen.add(tag)
    readTag(reader, tag)
    // Who sends it may be said once for a connection: sent again over another, the record has to be the same.
    isHead &&= tag <= HEAD_TAG_LAST
    if (isHead) start = reader.at
  }
  finish(end)
}

/** What a record has that answers a command. */
function answerFrom(reader: RecordReader, session: Session): void {
  const text = reader.get('result')
  if (typeof text !== 'string') return
  const serial = reader.get('index')
  session.answer({ ...(typeof serial === 'number' && { serial }), ok: true, text })
}

function decodeCompressed(reader: RecordReader, session: Session, out: PositionBatch): void {
  while (reader.left > 0) {
    const start = reader.at
    readCompressed(reader, session.receivedMs)
    reader.finish(out, start, reader.at)
  }
}

/** Elements in the order in which gateways send them. */
function decodeIridium(frame: Buffer, session: Session, out: PositionBatch): void {
  const head = new RecordReader(frame, HEAD_BYTES)
  // Element, its length, and the number of the message in the gateway.
  head.skip(3 + 4)
  const imei = head.latin1(15)
  if (!/^\d{15}$/.test(imei)) throw new DecodeError('malformed', 'the IMEI of the modem has 15 digits')
  session.identify(imei)
  head.skip(1 + 4)
  const timeMs = head.u32() * 1000
  // Element and length of the place.
  head.skip(3)
  const hemispheres = head.u8()
  const latitudeDeg = head.u8() + head.u16() / 60_000
  const longitudeDeg = head.u8() + head.u16() / 60_000
  head.skip(4 + 1)
  const bytes = head.u16()
  const start = head.at
  head.skip(bytes)

  const record = new RecordReader(frame, start, head.at)
  record.setTime(timeMs)
  // The place by the satellite is good to kilometres: a fix in the data stands for it.
  record.setPlace(
    (hemispheres & 0x02) !== 0 ? -latitudeDeg : latitudeDeg,
    (hemispheres & 0x01) !== 0 ? -longitudeDeg : longitudeDeg,
    false,
  )
  const { compressed } = session.device?.options ?? {}
  const isCompressed =
    typeof compressed === 'boolean' ? compressed : !isTagged(new RecordReader(frame, start, head.at))
  if (isCompressed) readCompressed(record, session.receivedMs)
  else while (record.left > 0) readTag(record, record.u8())
  record.finish(out, start, head.at)
}

/** @throws CommandError if the text is too long, or is no printable ASCII. */
function command(session: Session, text: string): Buffer {
  if (!/^[\x20-\x7e]{1,255}$/.test(text)) {
    throw new CommandError('a command has at most 255 printable ASCII characters')
  }
  const device = Buffer.from(session.uniqueId, 'latin1')
  const tags = Buffer.concat([
    Buffer.from([IMEI_TAG]),
    device,
    // The number of the device stands for its IMEI where that is not known.
    Buffer.from([DEVICE_TAG, 0, 0]),
    Buffer.from([INDEX_TAG]),
    u32LittleEndian(session.commandSerial),
    Buffer.from([TEXT_TAG, text.length]),
    Buffer.from(text, 'latin1'),
  ])
  const head = Buffer.from([RECORDS, tags.length & 0xff, tags.length >> 8])
  const packet = Buffer.concat([head, tags, Buffer.alloc(CRC_BYTES)])
  const end = packet.length - CRC_BYTES
  packet.writeUInt16LE(crc16Modbus(packet, 0, end), end)
  return packet
}

function u32LittleEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
