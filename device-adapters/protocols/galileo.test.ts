/** What the recorded packets of Galileosky do not hold: Iridium, compressed records, answers, damage, commands. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type Adapter, CommandError } from '../adapter.ts'
import { crc16Modbus } from '../checksums.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { galileo } from './galileo.ts'

const adapter = galileo as Adapter
const RECEIVED_MS = Date.UTC(2026, 0, 2)
const IMEI = '868204001549087'
const IMEI_TAG = `03${Buffer.from(IMEI).toString('hex')}`
/** Time 2022-11-18T08:28:06Z, fix 41.206420 N 72.450703 E, 36 km/h, 90°. */
const TIME = '2016427763'
const PLACE = '300794c274029f825104'
const MOTION = '3368018403'

function packet(tags: string, header = '01', more = 0): string {
  const length = Buffer.alloc(2)
  length.writeUInt16LE((tags.length / 2) | more)
  const bytes = Buffer.from(`${header}${length.toString('hex')}${tags}0000`, 'hex')
  const end = bytes.length - 2
  bytes.writeUInt16LE(crc16Modbus(bytes, 0, end), end)
  return bytes.toString('hex')
}

/** Decodes the packets of one connection, and gives what came of the last. */
function decode(packets: readonly string[], options: Record<string, unknown> = {}): DecodedLine {
  const stream = new RecordedStream(adapter)
  return packets
    .map((bytes) =>
      stream.decode({ protocol: 'galileo', stream: 1, transport: 'tcp', bytes, setup: options }, RECEIVED_MS),
    )
    .at(-1)!
}

function session(): DeviceSession {
  const created = new DeviceSession(adapter, 'tcp', () => ({ model: '', options: {} }))
  created.receivedMs = RECEIVED_MS
  return created
}

function batchOf(bytes: string): PositionBatch {
  const batch = new PositionBatch(8)
  decodeFrame(adapter, Buffer.from(bytes, 'hex'), session(), batch)
  return batch
}

const crcOf = (bytes: string) => bytes.slice(-4)
const HEAD = packet(`0182021303${IMEI_TAG.slice(2)}043200`)

test('a head names the device, is answered, and is no position', () => {
  const line = decode([HEAD])
  expect(line).toMatchObject({ positions: [], replies: [`02${crcOf(HEAD)}`], error: null })
})

test('reads the records of a packet, each where a tag comes again', () => {
  const line = decode([HEAD, packet(`${TIME}${PLACE}${MOTION}341400${TIME}${PLACE}`, '01', 0x8000)])
  expect(line.error).toBeNull()
  expect(line.positions).toHaveLength(2)
  expect(line.positions[0]).toEqual({
    device: IMEI,
    deviceTime: '2022-11-18T08:28:06.000Z',
    fixTime: '2022-11-18T08:28:06.000Z',
    valid: true,
    latitude: 41.20642,
    longitude: 72.450719,
    altitude: 20,
    speed: 36,
    course: 90,
    attributes: {},
  })
})

test('a place by the network is no valid fix', () => {
  expect(decode([packet(IMEI_TAG + TIME + PLACE.replace('3007', '3027'))]).positions).toMatchObject([
    { valid: false, latitude: 41.20642 },
  ])
})

test('a record is the same one behind another head, and another one with another index', () => {
  const digestOf = (tags: string, row = 0) => {
    const batch = batchOf(packet(tags))
    return [batch.digestHigh[row], batch.digestLow[row]]
  }
  const record = `100100${TIME}${PLACE}`
  const first = digestOf(`${IMEI_TAG}043200${record}`)
  expect(digestOf(`043200${record}`)).toEqual(first)
  expect(digestOf(`04320010ff00${TIME}${PLACE}043200${record}`, 1)).toEqual(first)
  expect(digestOf(`043200100200${TIME}${PLACE}`)).not.toEqual(first)
})

test('extended tags and those without a name are stepped over', () => {
  const tags = `${IMEI_TAG}${TIME}${PLACE}470000000078010089fffe0600210001020304d464000000`
  expect(decode([packet(tags)]).positions).toMatchObject([{ attributes: { adc8: 1, odometer: 100 } }])
})

test('an unknown tag and a wrong crc are not answered', () => {
  const unknown = decode([packet(`${IMEI_TAG}${TIME}${PLACE}ff00`)])
  expect(unknown).toMatchObject({ positions: [], replies: [], error: { code: 'unsupported' } })
  const damaged = `${packet(IMEI_TAG + TIME + PLACE).slice(0, -4)}0000`
  expect(decode([damaged])).toMatchObject({ positions: [], replies: [], error: { code: 'checksum' } })
})

test('reads compressed records, whose time counts from the start of the year', () => {
  // 1 January 01:00:00, valid, the middle of both axes and a quarter east of it, an alarm.
  const bits = `0${(3600).toString(2).padStart(25, '0')}0${'11'.padEnd(22, '0')}${'1'.padEnd(21, '0')}1`
  const minimal = BigInt(`0b${bits.padEnd(80, '0')}`)
    .toString(16)
    .padStart(20, '0')
  const bytes = packet(`${minimal}02c8d405${'64000000'}${minimal}00`, '08')
  const line = decode([HEAD, bytes])
  expect(line.error).toBeNull()
  expect(line.replies).toEqual([`02${crcOf(bytes)}`])
  expect(line.positions).toMatchObject([
    {
      device: IMEI,
      fixTime: '2026-01-01T01:00:00.000Z',
      valid: true,
      latitude: 0,
      longitude: 90,
      attributes: { alarm: 'general', can8BitR4: 5, odometer: 100 },
    },
    { fixTime: '2026-01-01T01:00:00.000Z' },
  ])
})

test('a compressed record of December that comes in in January is of last year', () => {
  const seconds = 364 * 86_400
  const bits = `0${seconds.toString(2).padStart(25, '0')}`
  const minimal = BigInt(`0b${bits.padEnd(80, '0')}`)
    .toString(16)
    .padStart(20, '0')
  expect(decode([HEAD, packet(`${minimal}00`, '08')]).positions).toMatchObject([
    { fixTime: '2025-12-31T00:00:00.000Z' },
  ])
})

const IRIDIUM =
  '01003f01001c475b166133303035333430363431383437393000001d000064897bb003000b0221c20512a60a0000000802000f209d7b8964300f2536fbfd103c1d01'

/** A message of Iridium with other data. */
function iridium(data: string): string {
  const elements = `${IRIDIUM.slice(6, IRIDIUM.indexOf('02000f209d'))}02${bytesOf(data)}${data}`
  return `01${bytesOf(elements)}${elements}`
}

const bytesOf = (hex: string) => (hex.length / 2).toString(16).padStart(4, '0')

test('reads a message of Iridium, whose fix stands for the place of the satellite', () => {
  const line = decode([IRIDIUM])
  expect(line).toMatchObject({ replies: [], error: null })
  expect(line.positions).toEqual([
    {
      device: '300534064184790',
      deviceTime: '2023-06-14T08:34:37.000Z',
      fixTime: '2023-06-14T08:34:37.000Z',
      valid: true,
      latitude: -33.868251,
      longitude: 18.693136,
      altitude: 0,
      speed: 0,
      course: 0,
      attributes: {},
    },
  ])
})

test('a message of Iridium without a fix has the place of the satellite, south of the equator', () => {
  const line = decode([iridium('3514')])
  expect(line.error).toBeNull()
  expect(line.positions).toMatchObject([
    {
      valid: false,
      latitude: -(33 + 0xc205 / 60_000),
      longitude: 18 + 0xa60a / 60_000,
      attributes: { hdop: 2 },
    },
  ])
})

test('reads compressed records of Iridium, told by the option or by what they cannot be', () => {
  const data = `${'00'.repeat(3)}80${'00'.repeat(6)}00`
  for (const options of [{ compressed: true }, {}]) {
    expect(decode([iridium(data)], options).positions).toMatchObject([
      { device: '300534064184790', fixTime: '2026-01-01T00:00:02.000Z', latitude: -90, longitude: -180 },
    ])
  }
  // What could as well be the tags 0x20 and 0x30 is compressed where the option says so.
  const both = `20${'00'.repeat(4)}30${'00'.repeat(9)}`
  const fixTimeOf = (options: Record<string, unknown>) =>
    decode([iridium(both)], options).positions[0]!.fixTime
  expect(fixTimeOf({})).toBe('1970-01-01T00:00:00.000Z')
  expect(fixTimeOf({ compressed: true })).toBe('2025-04-08T02:10:08.000Z')
})

test('parts of a photo are answered, and its end is a message', () => {
  const part = packet('01ffd8ffe0', '07')
  expect(decode([HEAD, part])).toMatchObject({ positions: [], replies: [`07${crcOf(part)}`] })
  expect(decode([HEAD, packet('02', '07')]).positions).toEqual([
    { device: IMEI, noFix: true, attributes: {} },
  ])
})

test('the answer to a command names it', () => {
  const text = Buffer.from('OK').toString('hex')
  const bytes = packet(`${IMEI_TAG}043200e007000000e102${text}`)
  const created = session()
  const batch = new PositionBatch(8)
  decodeFrame(adapter, Buffer.from(bytes, 'hex'), created, batch)
  expect(created.answers).toEqual([{ serial: 7, ok: true, text: 'OK' }])
  expect(decode([bytes]).positions).toEqual([
    { device: IMEI, noFix: true, attributes: { deviceId: 50, index: 7, result: 'OK' } },
  ])
  expect(decode([packet(`${IMEI_TAG}${TIME}e102${text}`)]).positions).toEqual([
    { device: IMEI, noFix: true, deviceTime: '2022-11-18T08:28:06.000Z', attributes: { result: 'OK' } },
  ])
})

test('commands are numbered, set outputs, and take no text that is not one', () => {
  const created = session()
  created.identify(IMEI)
  created.commandSerial = 0x01020304
  const { custom, outputControl } = adapter.commands!
  const hex = (reply: unknown) => (reply as Buffer).toString('hex')
  const command = (text: string) =>
    packet(
      `${IMEI_TAG}040000e004030201e1${text.length.toString(16).padStart(2, '0')}${Buffer.from(text).toString('hex')}`,
    )
  expect(hex(custom!({ data: 'status' }, created))).toBe(command('status'))
  expect(hex(outputControl!({ index: 2, data: '1' }, created))).toBe(command('Out 2,1'))
  expect(hex(outputControl!({ data: '0' }, created))).toBe(command('Out 0,0'))
  expect(() => outputControl!({ data: '1;reset' }, created)).toThrow(CommandError)
  expect(() => custom!({ data: 'x'.repeat(256) }, created)).toThrow(CommandError)
  expect(() => custom!({ data: 'a\r\n' }, created)).toThrow(CommandError)
})

test('finds its packets behind bytes of none', () => {
  const reader = new FrameReader(adapter, 'tcp')
  reader.push(Buffer.from(`00ff${HEAD}${IRIDIUM}${HEAD.slice(0, 20)}`, 'hex'))
  expect(reader.next()?.toString('hex')).toBe(HEAD)
  expect(reader.next()?.toString('hex')).toBe(IRIDIUM)
  expect(reader.next()).toBeUndefined()
  expect(reader.buffered).toBe(10)
})

test('its first bytes are not those of others that begin with 01', () => {
  const starts = (bytes: string) => adapter.starts!(Buffer.from(bytes, 'hex'), 'tcp')
  expect(starts('01')).toBeUndefined()
  expect(starts(HEAD)).toBe(true)
  expect(starts(packet(`${IMEI_TAG}043200`))).toBe(true)
  expect(starts(IRIDIUM)).toBe(true)
  expect(starts(IRIDIUM.slice(0, 60))).toBeUndefined()
  // Black Kite: the time behind the IMEI; ADM: a length that no packet has; Iridium of T622: no place.
  expect(starts(packet(`${IMEI_TAG}20983605560500`))).toBe(false)
  expect(starts(`010042${IMEI_TAG}0400`)).toBe(false)
  expect(
    starts('01003501001c68b2cb1733303034333430363735343836353000016e000064b5f497020013234c5ea0ff1c'),
  ).toBe(false)
})
