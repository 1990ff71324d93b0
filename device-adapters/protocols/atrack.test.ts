/** What the recorded frames of ATrack do not hold: other forms and prefixes, positions sent again, damaged frames, commands. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { QUALITY } from '../../schemas/quality.ts'
import { CommandError, DecodeError, type Transport } from '../adapter.ts'
import { crc16Ibm } from '../checksums.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { atrack } from './atrack.ts'

const UNIT = '352964052096642'
const FIX_S = 1_381_944_669

/** Times of fix, clock and sending, then the rest of a position up to its custom fields. */
function position({
  fixS = FIX_S,
  clockS = FIX_S,
  sentS = FIX_S,
  report = 2,
  message = '',
}: {
  fixS?: number
  clockS?: number
  sentS?: number
  report?: number
  message?: string
} = {}): Buffer {
  const bytes = Buffer.alloc(40)
  bytes.writeUInt32BE(fixS, 0)
  bytes.writeUInt32BE(clockS, 4)
  bytes.writeUInt32BE(sentS, 8)
  bytes.writeInt32BE(-3_635_179, 12)
  bytes.writeInt32BE(40_547_543, 16)
  bytes.writeUInt16BE(271, 20)
  bytes[22] = report
  bytes.writeUInt32BE(4164, 23)
  bytes.writeUInt16BE(9, 27)
  bytes[29] = 1
  bytes.writeUInt16BE(11, 30)
  bytes.writeUInt16BE(1500, 33)
  bytes.writeInt16BE(-55, 36)
  bytes.writeInt16BE(2000, 38)
  return Buffer.concat([bytes, Buffer.from(`${message}\0`, 'latin1')])
}

function packet(positions: readonly Buffer[], { prefix = '@P', sequence = 480 } = {}): Buffer {
  const head = Buffer.alloc(16)
  head.write(prefix, 'latin1')
  const bytes = Buffer.concat([head, ...positions])
  bytes.writeUInt16BE(bytes.length - 6, 4)
  bytes.writeUInt16BE(sequence, 6)
  bytes.writeBigUInt64BE(BigInt(UNIT), 8)
  bytes.writeUInt16BE(crc16Ibm(bytes, 4, bytes.length), 2)
  return bytes
}

function custom(form: string, hex: string): Buffer {
  return Buffer.concat([Buffer.from(`${form}\0`, 'latin1'), Buffer.from(hex.replaceAll(' ', ''), 'hex')])
}

function textPacket(lines: readonly string[], { sequence = 145, sent = '' } = {}): Buffer {
  const body = `,${sequence},${UNIT},${lines.map((line) => `${line}\r\n`).join('')}`.replaceAll('SENT', sent)
  // The length counts from the comma after it on.
  const counted = `,${body.length}${body}`
  return Buffer.from(
    `@P,${crc16Ibm(Buffer.from(counted), 0, counted.length).toString(16).toUpperCase().padStart(4, '0')}${counted}`,
  )
}

const LINE = '1546830150,1546830151,SENT,-88429209,44271154,54,10,2,10,1,7,0,0,,2000,2000,'

function decode(bytes: Buffer, setup = {}, transport: Transport = 'tcp'): DecodedLine {
  return new RecordedStream(atrack).decode(
    { protocol: 'atrack', stream: 1, transport, bytes: bytes.toString('hex'), setup },
    Date.UTC(2026, 10, 21),
  )
}

/** Attributes of the first position of a packet. */
function attributesOf(bytes: Buffer, setup = {}): Record<string, unknown> {
  const { positions, error } = decode(bytes, setup)
  expect(error).toBeNull()
  return positions[0]!.attributes
}

function rowsOf(bytes: Buffer) {
  const batch = new PositionBatch(64)
  const session = new DeviceSession(atrack, 'tcp', () => ({ model: '', options: {} }))
  decodeFrame(atrack, bytes, session, batch)
  return { batch, session }
}

const digestsOf = (bytes: Buffer) => {
  const { batch } = rowsOf(bytes)
  return Array.from({ length: batch.length }, (_, row) => `${batch.digestHigh[row]} ${batch.digestLow[row]}`)
}

test('reads each position of a binary packet, and acknowledges it', () => {
  const bytes = packet([position(), position({ clockS: FIX_S + 60, report: 101 })])
  const { positions, replies } = decode(bytes)
  expect(rowsOf(bytes).batch.quality[0]).toBe(0)
  expect(positions).toHaveLength(2)
  expect(positions[1]).toEqual({
    device: UNIT,
    fixTime: '2013-10-16T17:31:09.000Z',
    deviceTime: '2013-10-16T17:32:09.000Z',
    valid: true,
    latitude: 40.547543,
    longitude: -3.635179,
    altitude: 0,
    speed: 11,
    course: 271,
    attributes: {
      type: 101,
      odometer: 416_400,
      hdop: 0.9,
      input: 1,
      output: 0,
      adc1: 1.5,
      temp1: -5.5,
      temp2: 200,
    },
  })
  expect(replies).toEqual(['fe0200014104d8f1968201e0'])
})

test('reads the fields of a form that the device sends with the position', () => {
  const values = '007f 0028 0004bbf4 00012345 0abc 14 09 01 01 00 03 0055 000004d0 01 00 01 000000fd 00'
  const form = '%CI%MV%BV%CN%CE%LC%GQ%GS%DT%MT%HA%HB%ET%EH%IN0%IN1%HC%AT%ML'
  const { positions } = decode(packet([Buffer.concat([position(), custom(form, values)])]))
  expect(positions).toMatchObject([
    {
      altitude: 253,
      attributes: {
        power: 12.7,
        battery: 4,
        rssi: 9,
        archive: true,
        motion: true,
        alarm: 'hardBraking,hardCornering',
        coolantTemp: 85,
        hours: 443_520_000,
        ignition: true,
        in1: false,
        temp1: -5.5,
      },
      network: { cellTowers: [{ mcc: 310, mnc: 260, lac: 0x0abc, cid: 0x12345, rssi: -20 }] },
    },
  ])
})

test('shows the temperature of the engine as the first where no sensor is connected', () => {
  const bytes = position()
  bytes.writeInt16BE(2000, 36)
  const temperatures = { coolantTemp: 85, temp1: 85, temp2: 200 }
  expect(attributesOf(packet([Buffer.concat([bytes, custom('%CI%ET', '0055')])]))).toMatchObject(temperatures)
})

test('reads a network code of two digits', () => {
  const { positions } = decode(
    packet([Buffer.concat([position(), custom('%CI%CN%CE%LC', '0000cd17 00012345 0abc')])]),
  )
  expect(positions[0]!.network).toEqual({
    radioType: 'gsm',
    cellTowers: [{ mcc: 525, mnc: 3, lac: 0x0abc, cid: 0x12345 }],
  })
})

test.each([
  [
    '%CI%JH1%JH2%JO11%JL4%JL2%JS3',
    '6400 1f40 78 000f4240 00000014 4100',
    { obdSpeed: 100, rpm: 1000, coolantTemp: 80, fuelUsed: 1000, hours: 3_600_000, driver1: 'A' },
  ],
  [
    '%CI%ZO4%ZO6%ZH3%ZL2%ZS1',
    '64 64 0fa0 0000000a 00',
    { throttle: 40, obdSpeed: 80.5, rpm: 1000, odometer: 1610 },
  ],
])('reads what the vehicle tells by %s', (form, hex, expected) => {
  const found = attributesOf(packet([Buffer.concat([position(), custom(form, hex)])]))
  for (const [key, value] of Object.entries(expected)) {
    if (typeof value === 'number') expect(found[key], key).toBeCloseTo(value, 9)
    else expect(found[key], key).toBe(value)
  }
  expect(found).not.toHaveProperty('vin')
})

test('reads the fields of a form that is an option of the device', () => {
  const bytes = packet([Buffer.concat([position(), Buffer.from('0c007f', 'hex')])])
  expect(attributesOf(bytes, { form: '%SA%MV' })).toMatchObject({ sat: 12, power: 12.7 })
})

test('keeps a position behind which a field is not known, but not a packet in which it hides the next', () => {
  const unknown = Buffer.concat([position(), custom('%CI%MV%XX9', '007f 0102')])
  expect(attributesOf(packet([unknown])).power).toBeCloseTo(12.7, 9)
  expect(decode(packet([unknown, unknown])).error).toMatchObject({
    code: 'unsupported',
    message: 'custom field %XX9',
  })
})

test('reads long dates without being told to', () => {
  const date = Buffer.from('07de011b0b1f03', 'hex')
  const long = Buffer.concat([date, date, date, position().subarray(12)])
  expect(decode(packet([long, long])).positions).toMatchObject([
    { fixTime: '2014-01-27T11:31:03.000Z', latitude: 40.547543 },
    { fixTime: '2014-01-27T11:31:03.000Z', latitude: 40.547543 },
  ])
})

test.each([
  ['FULS:F=2091 t=17 N=0901', {}, { fuel: 230.5 }],
  ['FULS:F=2091 t=17 N=0901', { decimalFuel: true }, { fuel: 90.1 }],
  ['hello', {}, { message: 'hello' }],
])('reads the message %s with %j', (message, options, expected) => {
  expect(attributesOf(packet([position({ message })]), options)).toMatchObject(expected)
})

test('names the reports that an operator made alarms', () => {
  const options = { alarmMap: '2=sos,101=tow' }
  expect(attributesOf(packet([position({ report: 101 })]), options).alarm).toBe('tow')
  expect(attributesOf(packet([position({ report: 3 })]), options)).not.toHaveProperty('alarm')
  expect(attributesOf(textPacket([LINE]), { alarmMap: '10=sos' }).alarm).toBe('sos')
})

test('knows a position again that is sent at another time', () => {
  const first = packet([position({ sentS: FIX_S + 1 }), position({ report: 3 })])
  const again = packet([position({ sentS: FIX_S + 900 })], { sequence: 481 })
  expect(digestsOf(again)).toEqual([digestsOf(first)[0]])
  expect(new Set(digestsOf(first)).size).toBe(2)
  const text = textPacket([LINE, LINE.replace(',10,', ',11,')], { sent: '1546830151' })
  const textAgain = textPacket([LINE], { sent: '1546830951', sequence: 146 })
  expect(digestsOf(textAgain)).toEqual([digestsOf(text)[0]])
  expect(new Set(digestsOf(text)).size).toBe(2)
})

test('tells positions apart that only the clock of the device does, while there is no fix', () => {
  const positions = [60, 120, 180].map((seconds) => position({ clockS: FIX_S + seconds }))
  expect(new Set(digestsOf(packet(positions))).size).toBe(3)
})

test('acknowledges a text packet by its length, or as an option by its unit', () => {
  const bytes = textPacket([LINE], { sequence: 104_547 })
  const length = Number(bytes.toString().split(',')[2]).toString(16).padStart(16, '0')
  expect(decode(bytes).replies).toEqual([`fe02${length}9863`])
  expect(decode(bytes, { acknowledgeUnit: true }).replies).toEqual(['fe0200014104d8f196829863'])
})

test('reads the form and the fields of a text position', () => {
  const line = `${LINE}\x1a,%CI%GQ%GS%CN%CE%LC%MV%VN%HA%PC%BC,5,10,310260,7888593,14953,137,2T1KR32E28C706185,1,7`
  expect(rowsOf(textPacket([line])).batch.quality[0]).toBe(0)
  expect(decode(textPacket([line, LINE])).positions).toMatchObject([
    {
      speed: 7,
      attributes: {
        event: 10,
        odometer: 200,
        rssi: 10,
        power: 13.7,
        vin: '2T1KR32E28C706185',
        alarm: 'hardAcceleration',
        count1: 7,
      },
      network: { cellTowers: [{ mcc: 310, mnc: 260, lac: 14953, cid: 7888593, rssi: -5 }] },
    },
    { attributes: { event: 10 } },
  ])
})

test.each([
  ['1:248:f128833445e6000100024cc5', { tag1Id: 'f128833445e6', tag1Rssi: 0xc5 }],
  ['2:104:0bb80123c5 0bb80124c6', { tag1Temp: 0x123, tag1Rssi: 0xc5, tag2Temp: 0x124, tag2Rssi: 0xc6 }],
  ['3:96:002c09c6002d09', { tag1Humidity: 44, tag1Temp: 2502 }],
  ['0AE0CD9F8F14F0FE092D0B08FFCD9F8F14F0FE00', { tag1Temp: 23.49 }],
  ['0AE0CD9F8F14F0FEFFF60B0AE0CD', { tag1Temp: -0.1 }],
  ['4:224:f1288334450102abcdf1288334450203000102030405', { tag1Id: 'f12883344501', tag2Id: 'f12883344502' }],
  ['4:240:f1288334450109abcd', { tag1Id: 'f12883344501' }],
  ['4:96:02abcd', {}],
  ['9:255:00', {}],
  ['1:0:00', {}],
  ['zz', {}],
])('reads the beacons %s', (beacons, expected) => {
  const line = `${LINE}\x1a,%CI%BC,${beacons.replaceAll(' ', '')}`
  const found = Object.entries(attributesOf(textPacket([line]))).filter(([key]) => key.startsWith('tag'))
  expect(Object.fromEntries(found)).toEqual(expected)
})

test('reads what a device says of itself', () => {
  const line = `$INFO=${UNIT},AX7,Rev.0.61 Build.1624,${UNIT},466924131626767,89886920041316267670,144,39,9,1,12,1,0\r\n`
  expect(decode(Buffer.from(line)).positions).toEqual([
    {
      device: UNIT,
      noFix: true,
      attributes: {
        model: 'AX7',
        versionFw: 'Rev.0.61 Build.1624',
        power: 14.4,
        battery: 3.9,
        sat: 9,
        rssi: 12,
      },
    },
  ])
})

test.each([
  ['$OK', { ok: true, text: '' }],
  ['$ERROR=101', { ok: false, text: '$ERROR=101' }],
  ['$FORM=1,@P,0,"%MV"', { ok: true, text: '$FORM=1,@P,0,"%MV"' }],
])('takes %s as the answer to a command', (line, answer) => {
  const { session, batch } = rowsOf(Buffer.from(`${line}\r\n`))
  expect(session.answers).toEqual([answer])
  expect(batch.length).toBe(1)
})

test('knows the device of a keep-alive, and sends it back', () => {
  const bytes = Buffer.from('fe0200014104d8f196820007', 'hex')
  expect(rowsOf(bytes).session.uniqueId).toBe(UNIT)
  expect(decode(bytes).replies).toEqual([bytes.toString('hex')])
})

test('acknowledges a part of a picture', () => {
  const part = packet([Buffer.from('525ecd5d00060004ffd8ffdb', 'hex')], { prefix: '@R' })
  expect(decode(part)).toMatchObject({ positions: [], replies: ['fe0200014104d8f1968201e0'], error: null })
})

test('says that a picture came when its last part does', () => {
  const part = packet([Buffer.from('525ecd5d05060004ffd8ffdb', 'hex')], { prefix: '@R' })
  expect(decode(part).positions).toEqual([
    { device: UNIT, noFix: true, deviceTime: '2013-10-16T17:31:09.000Z', attributes: {} },
  ])
})

test('marks positions whose checksum does not fit', () => {
  const bytes = packet([position(), position()])
  bytes[3]! ^= 1
  expect(Array.from(rowsOf(bytes).batch.quality.subarray(0, 2))).toEqual([QUALITY.checksum, QUALITY.checksum])
})

test.each([
  [`@P,0000,30,1,${UNIT},`, 'no position'],
  ['@P,0000,30,1,x,1,2,3', 'no unit id'],
  [`@P,0000,30,1,${UNIT},1546830150,1546830151,1546830151,east`, 'no place'],
  [`@P,0000,30,1,${UNIT},${LINE}\0`, 'U+0000'],
  ['@P\0\0', 'a head cut off'],
])('refuses %j: %s', (text) => {
  const found = () => {
    const { batch } = rowsOf(Buffer.from(text, 'latin1'))
    if (batch.length === 0) throw new DecodeError('malformed', 'no rows')
  }
  expect(found).toThrow(/./)
})

test('finds packets of any prefix between stray bytes, also where a checksum looks like a comma', () => {
  const comma = Array.from({ length: 1000 }, (_, sequence) => packet([position()], { sequence })).find(
    (bytes) => bytes[2] === 0x2c,
  )!
  const frames = [
    comma,
    textPacket([LINE]),
    Buffer.from('$OK\r\n'),
    packet([position()], { prefix: '\x02\x03' }),
  ]
  const reader = new FrameReader(atrack, 'tcp')
  reader.push(Buffer.concat(frames.flatMap((frame) => [Buffer.from('zz\r\n'), frame])))
  for (const frame of frames) expect(reader.next()?.toString('latin1')).toBe(frame.toString('latin1'))
  expect(reader.next()).toBeUndefined()
})

test('begins like no other protocol', () => {
  const starts = (bytes: Buffer, transport: Transport) => atrack.starts!(bytes, transport)
  const other = packet([position()], { prefix: '\x02\x03' })
  expect(starts(other, 'udp')).toBe(true)
  expect(starts(other, 'tcp')).toBe(false)
  other[20]! ^= 1
  expect(starts(other, 'udp')).toBe(false)
  expect(starts(packet([position()]).subarray(0, 9), 'tcp')).toBeUndefined()
  expect(starts(packet([position()]).subarray(0, 10), 'tcp')).toBe(true)
  expect(starts(Buffer.from('@P,12AB,120,'), 'tcp')).toBe(true)
  expect(starts(Buffer.from('@P,12AB,x,1'), 'tcp')).toBe(false)
  expect(starts(Buffer.from('@@A25,353358017784062,A10'), 'tcp')).toBe(false)
  expect(starts(Buffer.from('fe020001', 'hex'), 'tcp')).toBe(true)
  expect(starts(Buffer.from('fe02ff01', 'hex'), 'tcp')).toBe(false)
  expect(starts(Buffer.from('$IN'), 'tcp')).toBeUndefined()
  expect(starts(Buffer.from('$GPRMC'), 'tcp')).toBe(false)
})

test('encodes a command as its line, and refuses what would be two', () => {
  const session = new DeviceSession(atrack, 'tcp', () => ({ model: '', options: {} }))
  const encode = (data: string) => atrack.commands!.custom!({ data }, session)
  expect(encode('AT$INFO=?')).toBe('AT$INFO=?\r\n')
  expect(() => encode('AT$INFO=?\r\nAT$RESET')).toThrow(CommandError)
  expect(() => encode('AT$FORM=\u0142')).toThrow(CommandError)
  expect(() => encode('x'.repeat(513))).toThrow(CommandError)
})
