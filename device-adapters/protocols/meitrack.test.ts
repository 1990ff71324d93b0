/** What the recorded frames of Meitrack do not hold: examples of its documents, other models, damaged frames, commands. */
import { expect, test, vi } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { QUALITY } from '../../schemas/quality.ts'
import { CommandError, DecodeError, type Transport } from '../adapter.ts'
import { sum8 } from '../checksums.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { meitrack } from './meitrack.ts'

const IMEI = '353358017784062'
const REPORT =
  '22.543176,114.078448,100313093738,A,5,22,2,205,5,-14,0,60,0|0|10133|4110,0000,149|153|173|2707|914,'

/** A frame from the device, with its length and checksum. */
function frameOf(body: Buffer | string, identifier = 'Q'): Buffer {
  const rest = Buffer.concat([Buffer.from(`,${IMEI},`), Buffer.from(body as string, 'latin1')])
  const text = Buffer.concat([Buffer.from(`$$${identifier}${rest.length + 5}`), rest, Buffer.from('*')])
  const checksum = sum8(text, 0, text.length).toString(16).toUpperCase().padStart(2, '0')
  return Buffer.concat([text, Buffer.from(`${checksum}\r\n`)])
}

function decode(bytes: Buffer, setup = {}, transport: Transport = 'tcp'): DecodedLine {
  return new RecordedStream(meitrack).decode(
    { protocol: 'meitrack', stream: 1, transport, bytes: bytes.toString('hex'), setup },
    Date.UTC(2026, 10, 21),
  )
}

function repliesTo(bytes: Buffer): string[] {
  return decode(bytes).replies.map((reply) => Buffer.from(reply, 'hex').toString())
}

/** Rows and answers of one frame. */
function rowsOf(bytes: Buffer) {
  const batch = new PositionBatch(64)
  const session = new DeviceSession(meitrack, 'tcp', () => ({ model: '', options: {} }))
  decodeFrame(meitrack, bytes, session, batch)
  return { batch, answers: session.answers }
}

function framesOf(...chunks: readonly Buffer[]): string[] {
  const reader = new FrameReader(meitrack, 'tcp')
  const frames: string[] = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let frame = reader.next(); frame !== undefined; frame = reader.next())
      frames.push(frame.toString('latin1'))
  }
  return frames
}

/** A record of CCC: event, place, seconds since 2000, then the rest of its 52 bytes. */
function fixedRecord(event: number, seconds: number, appended = 0): Buffer {
  const record = Buffer.alloc(52 + appended)
  record[0] = event
  record.writeInt32LE(-7_266_500, 1)
  record.writeInt32LE(112_743_650, 5)
  record.writeUInt32LE(seconds, 9)
  record.set([1, 9, 19], 13)
  record.writeUInt16LE(43, 16)
  record.writeUInt16LE(285, 18)
  record.writeUInt16LE(12, 20)
  record.writeInt16LE(-14, 22)
  record.writeUInt32LE(180_205, 24)
  record.writeUInt32LE(93_641, 28)
  record.writeUInt16LE(510, 32)
  record.writeUInt16LE(1, 34)
  record.writeUInt16LE(0x3848, 36)
  record.writeUInt16LE(0x6557, 38)
  record.writeUInt16LE(2, 40)
  record.writeUInt16LE(3, 42)
  record.writeUInt16LE(417, 44)
  record.writeUInt16LE(1218, 46)
  return record
}

function fixedFrame(records: readonly Buffer[], identifier?: string): Buffer {
  const head = Buffer.from('CCC,\x02\x01\0\0\0\0\0\0', 'latin1')
  head.writeUInt16LE(records[0]!.length, 6)
  head.writeUInt32LE(records.length, 8)
  return frameOf(Buffer.concat([head, ...records]), identifier)
}

test('takes the example of a report on demand as the answer to its command', () => {
  const bytes = Buffer.from(`$$Q128,${IMEI},AAA,34,${REPORT}*91\r\n`)
  const { batch, answers } = rowsOf(bytes)
  expect(batch.quality[0]).toBe(0)
  expect(answers).toEqual([{ ok: true, text: '' }])
  expect(decode(bytes).positions).toMatchObject([
    {
      device: IMEI,
      fixTime: '2010-03-13T09:37:38.000Z',
      latitude: 22.543176,
      longitude: 114.078448,
      altitude: -14,
      speed: 2,
      course: 205,
      attributes: { event: 34, sat: 5, hdop: 5, odometer: 0, runtime: '60', adc1: 0x149, battery: 99.91 },
    },
  ])
})

test.each([
  ['MVT380', (0x2707 * 3 * 2) / 1024, (0x914 * 3 * 16) / 1024],
  ['mvt600', (0x2707 * 3.3 * 2) / 4096, (0x914 * 3.3 * 16) / 4096],
  ['MT90', (0x2707 * 3.3 * 2) / 4096, 0x914],
  ['T333', 0x2707 / 100, 0x914 / 100],
])('reads the voltages of a report of %s', (modelOverride, battery, power) => {
  const [position] = decode(frameOf(`AAA,35,${REPORT}`), { modelOverride }).positions
  expect(position!.attributes.battery).toBeCloseTo(battery, 9)
  expect(position!.attributes.power).toBeCloseTo(power, 9)
})

test('leaves out the supply of a device that does not measure it', () => {
  const { attributes } = decode(frameOf(`AAA,29,${REPORT.replace('2707|914,', '28C|,')}`)).positions[0]!
  expect(attributes.battery).toBeCloseTo(6.52, 9)
  expect(attributes).not.toHaveProperty('power')
})

test.each([
  [1, '001206', { temp0: 18.06 }],
  [1, '01FB10', { temp1: -5.16 }],
  [3, '06FB2E|010A92', { temp6: -12.34, temp1: 27.06 }],
  [3, '06FB2|xx', {}],
])('reads temperatures of version %i from %s', (version, temperatures, expected) => {
  const { attributes } = decode(frameOf(`AAA,35,${REPORT},,${version},,${temperatures},0,0`)).positions[0]!
  const found = Object.entries(attributes).filter(([key]) => key.startsWith('temp'))
  expect(found.map(([key, value]) => [key, Number((value as number).toFixed(9))]).sort()).toEqual(
    Object.entries(expected).sort(),
  )
})

test.each([
  ['00000001,,1,0A32', { eventData: '00000001', fuel: 10.5 }],
  [',1,0A32', { fuel: 10.5 }],
  ['x,3,0A32,010A92', { fuel: 10.5, temp1: 27.06 }],
  [',,1,0A32,,7,0,33', { fuel: 10.5, tempData: '33' }],
  ['00000001,,50,,,,,', {}],
  ['00000001,', {}],
])('reads what follows the analog inputs, %s', (tail, expected) => {
  const { attributes } = decode(frameOf(`AAA,35,${REPORT}${tail}`)).positions[0]!
  const found = Object.entries(attributes).filter(([key]) => /^(eventData|fuel|temp)/.test(key))
  expect(Object.fromEntries(found)).toEqual(expected)
})

test('deletes a report that waits for it, and knows it again when more wait', () => {
  const first = frameOf(`AFF,0004,35,${REPORT}`, 'J')
  const again = frameOf(`AFF,0012,35,${REPORT}`, 'K')
  expect(decode(first).positions).toMatchObject([{ latitude: 22.543176, attributes: { event: 35 } }])
  expect(repliesTo(first)).toEqual([`@@J27,${IMEI},AFF,1*ED\r\n`])
  expect(rowsOf(first).batch.digestHigh[0]).toBe(rowsOf(again).batch.digestHigh[0])
  expect(rowsOf(first).batch.digestLow[0]).toBe(rowsOf(again).batch.digestLow[0])
  expect(repliesTo(frameOf('AFF,OK'))).toEqual([])
})

test('reads each record of CCC, and says how many', () => {
  const records = Array.from({ length: 20 }, (_, i) => fixedRecord(i === 3 ? 23 : 35, 442_170_000 + i))
  const bytes = fixedFrame(records, 'G')
  const { positions, replies } = decode(bytes)
  expect(positions).toHaveLength(20)
  expect(positions[3]).toEqual({
    device: IMEI,
    deviceTime: '2014-01-04T17:00:03.000Z',
    fixTime: '2014-01-04T17:00:03.000Z',
    valid: true,
    latitude: -7.2665,
    longitude: 112.74365,
    altitude: -14,
    speed: 43,
    course: 285,
    attributes: {
      sat: 9,
      hdop: 1.2,
      odometer: 180_205,
      battery: 4.17,
      power: 12.18,
      event: 23,
      alarm: 'powerCut',
      runtime: 93_641,
      status: 2,
      adc1: 3,
    },
    network: {
      radioType: 'gsm',
      cellTowers: [{ mcc: 510, mnc: 1, lac: 0x3848, cid: 0x6557, rssi: -19 }],
    },
  })
  expect(Buffer.from(replies[0]!, 'hex').toString()).toBe(`@@G28,${IMEI},CCC,20*18\r\n`)
})

test('reads records of CCC to which a newer device appends fields', () => {
  expect(decode(fixedFrame([fixedRecord(35, 1, 4), fixedRecord(35, 2, 4)])).positions).toHaveLength(2)
})

test('knows a record of CCC again in another frame', () => {
  const one = rowsOf(fixedFrame([fixedRecord(35, 1), fixedRecord(35, 2)], 'A')).batch
  const two = rowsOf(fixedFrame([fixedRecord(35, 2)], 'B')).batch
  expect(two.digestHigh[0]).toBe(one.digestHigh[1])
  expect(two.digestLow[0]).toBe(one.digestLow[1])
  expect(one.digestLow[0]).not.toBe(one.digestLow[1])
})

test('refuses records of CCC shorter than their layout', () => {
  const bytes = fixedFrame([fixedRecord(35, 1).subarray(0, 40)])
  expect(decode(bytes).error).toMatchObject({ code: 'unsupported' })
})

test('refuses records of CCC in the layout of vehicle buses', () => {
  const bytes = fixedFrame([fixedRecord(35, 1)])
  bytes.writeUInt16BE(0x0501, bytes.indexOf('CCC,') + 4)
  expect(decode(bytes)).toMatchObject({ positions: [], replies: [], error: { code: 'unsupported' } })
})

/** A frame of CCE with one record. */
function taggedFrame(...lists: readonly string[]): Buffer {
  const record = Buffer.from(lists.join('').replaceAll(' ', ''), 'hex')
  const head = Buffer.alloc(12)
  head.write('CCE,')
  head.writeUInt16LE(1, 8)
  head.writeUInt16LE(record.length, 10)
  return frameOf(Buffer.concat([head, record]))
}

test('reads access points, neighbours and the driver of CCE', () => {
  const bytes = taggedFrame(
    // Parameters in all; event, satellites and an unknown one of one byte.
    '0d00 03 0103 0609 fe4455',
    // km/h, altitude −5.
    '02 083c00 0bfbff',
    // Place, time, card of the driver.
    '04 022e795701 03e55ccc06 04e1fdb32b 250ca2b900',
    // Tower, neighbour, access point, and one of unknown length.
    '04 0e0ccc010000b627bf1100009cff 0f0ccc010001b627bf1100000000 1d081d082abd890acdff fe9903010203',
  )
  const { positions, error, replies } = decode(bytes)
  expect(error).toBeNull()
  expect(replies).toEqual([])
  expect(positions).toMatchObject([
    {
      valid: false,
      latitude: 22.50987,
      speed: 60,
      altitude: -5,
      attributes: { event: 3, sat: 9, driverUniqueId: '12165644' },
      network: {
        cellTowers: [
          { mcc: 460, mnc: 0, lac: 10166, cid: 4543, rssi: -100 },
          { mcc: 460, mnc: 256, lac: 10166, cid: 4543, rssi: 0 },
        ],
        wifi: [{ mac: '1d:08:2a:bd:89:0a', rssi: -51 }],
      },
    },
  ])
})

test('leaves out of CCE what is shorter than its layout', () => {
  // Event and time; tower, access point, temperature, camera, sensor tag whose name has 9 bytes, batteries.
  const sized =
    '06 0e0acc010000b627bf110000 1d061d082abd890a 2a020001 fe310102 fe730e0109 000102030405060708090a0b fea80101'
  const { positions, error } = decode(taggedFrame('0800 01 0103 00 01 04e1fdb32b', sized))
  expect(error).toBeNull()
  expect(positions).toEqual([
    { device: IMEI, noFix: true, deviceTime: '2023-03-27T07:10:25.000Z', attributes: { event: 3 } },
  ])
})

test('asks for the rest of a picture after eight packets, but not after the last', () => {
  const packet = (number: number, total: number) =>
    repliesTo(frameOf(`D00,0506_C1E03.jpg,${total},${number},\xff\xd8,*`))
  expect(packet(6, 16)).toEqual([])
  expect(packet(7, 16)).toEqual([`@@O42,${IMEI},D00,0506_C1E03.jpg,8*AE\r\n`])
  expect(packet(15, 16)).toEqual([])
  expect(repliesTo(frameOf('D03,Error'))).toEqual([])
})

test('says that a picture came when its last packet does', () => {
  const packet = (number: number) => decode(frameOf(`D00,0506_C1E03.jpg,16,${number},\xff\xd8,*`)).positions
  expect(packet(14)).toEqual([])
  expect(packet(15)).toEqual([{ device: IMEI, noFix: true, attributes: {} }])
})

test.each([
  ['C01,OK', { ok: true, text: '' }],
  ['E91,FWV1.00,12345678', { ok: true, text: 'E91,FWV1.00,12345678' }],
  ['C01,Error', { ok: false, text: 'C01,Error' }],
  ['D03,OK', { ok: true, text: '' }],
])('takes %s as the answer to a command', (body, answer) => {
  const { batch, answers } = rowsOf(frameOf(body))
  expect(batch.length).toBe(0)
  expect(answers).toEqual([answer])
})

test('marks a report with a wrong checksum', () => {
  const right = frameOf(`AAA,35,${REPORT}`)
  const wrong = Buffer.from(
    right
      .toString('latin1')
      .replace(/\*..\r/, '*zz\r')
      .replace('zz', '00'),
  )
  expect(rowsOf(right).batch.quality[0]).toBe(0)
  expect(rowsOf(wrong).batch.quality[0]).toBe(QUALITY.checksum)
})

test.each([
  ['AAA,35', 'a report without a place'],
  [`AAA,35,22.5,114.0,10031309,A${REPORT.slice(37)}`, 'a report without a time'],
  ['AAA,OK\0', 'U+0000'],
  ['CCE,\0\0\0\0\x01\0\xff\0\0\0', 'a record beyond the end'],
  ['CCE,\0\0\0\0\xff\xff', 'fewer records than counted'],
])('refuses %j: %s', (body) => {
  const found = rowsOf.bind(undefined, frameOf(body))
  expect(found).toThrow(DecodeError)
})

test('finds frames between stray bytes, and behind a length that no frame has', () => {
  const one = frameOf('C01,OK')
  const stray = Buffer.from('\r\n$A$$A99999,353358017784062,AAA,$$')
  expect(framesOf(Buffer.concat([stray, one, stray, one]))).toEqual([String(one), String(one)])
})

test('takes a datagram as whole, also where its end is cut off', () => {
  const bytes = frameOf('C01,OK')
  const reader = new FrameReader(meitrack, 'udp')
  reader.push(Buffer.concat([bytes, bytes.subarray(0, -2)]))
  expect([reader.next()?.length, reader.next()?.length]).toEqual([bytes.length, bytes.length - 2])
})

test('does not start like other protocols with two dollar signs', () => {
  const starts = (text: string) => meitrack.starts!(Buffer.from(text, 'latin1'), 'tcp')
  for (let cut = 1; cut < 27; cut++) expect(starts(frameOf('AAA,1').toString().slice(0, cut))).not.toBe(false)
  expect(starts(`$$G98,${IMEI},AA`)).toBeUndefined()
  expect(starts(`$$G98,${IMEI},AAA`)).toBe(true)
  expect(starts('$$\x00\x60\x12\x34')).toBe(false)
  expect(starts('$$105,866104023192332,1,A03')).toBe(false)
  expect(starts('$$A,353358017784062')).toBe(false)
})

function encode(type: keyof NonNullable<typeof meitrack.commands>, attributes: object, options = {}): string {
  const session = new DeviceSession(meitrack, 'tcp', () => ({ model: '', options }))
  session.identify(IMEI)
  const encoder = meitrack.commands![type] as (attributes: object, session: DeviceSession) => string
  return encoder(attributes, session)
}

test.each([
  ['engineStop', {}, {}, `@@A33,${IMEI},C01,0,12222*DC\r\n`],
  ['engineResume', {}, {}, `@@A33,${IMEI},C01,0,02222*DB\r\n`],
  ['alarmArm', {}, {}, `@@A33,${IMEI},C01,0,22122*DC\r\n`],
  ['alarmArm', {}, { alternative: true }, `@@A27,${IMEI},B21,1*BC\r\n`],
  ['alarmDisarm', {}, { alternative: true }, `@@A27,${IMEI},B21,0*BB\r\n`],
  ['requestPhoto', { index: 2 }, {}, `@@A46,${IMEI},D03,2,camera_picture.jpg*1F\r\n`],
  ['custom', { data: 'E91' }, {}, `@@A25,${IMEI},E91*67\r\n`],
] as const)('encodes %s %j for %j', (type, attributes, options, expected) => {
  expect(encode(type, attributes, options)).toBe(expected)
})

test.each([
  ['custom', { data: 'A10\r\n' }],
  ['custom', { data: 'A10\u0142' }],
  ['custom', { data: 'x'.repeat(1025) }],
  ['sendSms', { phone: '15360853789', message: 'a*00\r\n' }],
  ['sendSms', { phone: '15360853789', message: 'a*00' }],
  ['sendSms', { phone: '15360853789', message: 'x'.repeat(141) }],
  ['sendSms', { phone: '12345678901234567', message: 'x' }],
] as const)('refuses to encode %s %j', (type, attributes) => {
  expect(() => encode(type, attributes)).toThrow(CommandError)
})

test('drops dollars that begin no frame without a text of each', () => {
  const reader = new FrameReader(meitrack, 'tcp')
  reader.push(Buffer.alloc(10_000, '$'))
  const texts = vi.spyOn(Buffer.prototype, 'toString')
  expect(reader.next()).toBeUndefined()
  expect(texts.mock.calls.length).toBeLessThan(10)
  texts.mockRestore()
})
