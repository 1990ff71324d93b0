/** What the recorded packets of Ruptela do not hold: parts of records, alarms, cards, records sent again, damage, commands. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type Adapter, CommandError } from '../adapter.ts'
import { crc16Kermit } from '../checksums.ts'
import { DeviceSession, decodeFrame, repliesOf, toBuffer } from '../decoder.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { ruptela } from './ruptela.ts'

const adapter = ruptela as Adapter
const IMEI = 868204004248349n
/** Longitude, latitude, altitude, course, satellites, speed, HDOP. */
const FIX = '0d11398a1c0c19fd056524040b000c0a'
const NO_FIX = '8000000080000000ffffffffffffffff'
/** No elements of any width. */
const NOTHING = '00000000'

function frameOf(type: number, content: string): Buffer {
  const body = Buffer.from(content, 'hex')
  const frame = Buffer.alloc(body.length + 13)
  frame.writeUInt16BE(body.length + 9, 0)
  frame.writeBigUInt64BE(IMEI, 2)
  frame[10] = type
  body.copy(frame, 11)
  frame.writeUInt16BE(crc16Kermit(frame, 2, frame.length - 2), frame.length - 2)
  return frame
}

function decode(frame: Buffer): DecodedLine {
  const line = { protocol: 'ruptela', stream: 1, transport: 'tcp', bytes: frame.toString('hex') } as const
  return new RecordedStream(adapter).decode(line, 0)
}

/** A record of 2016-10-18T21:08:26Z with a fix, event 9 and the given elements. */
const record = (elements: string) => `58068f4a0000${FIX}09${elements}`
const records = (...list: string[]) =>
  frameOf(1, `00${list.length.toString(16).padStart(2, '0')}${list.join('')}`)
const attributesOf = (elements: string) => decode(records(record(elements))).positions[0]!.attributes

function sessionOf(options: Record<string, unknown> = {}): DeviceSession {
  const session = new DeviceSession(adapter, 'tcp', () => ({ model: '', options }))
  session.identify(String(IMEI))
  return session
}

test('makes one row of the parts of an extended record', () => {
  const part = (number: number, elements: string) => `58068f4a003${number}00${FIX}0009${elements}`
  const parts = [
    part(0, '0100050100 0000'),
    part(1, '00 01 001d 30d4 0000'),
    part(3, `0000 01 0041 00000005 00`),
  ]
  const content = parts.join('').replaceAll(' ', '')
  const frame = frameOf(68, `0004${content}58068f4b00100 0${FIX}0007${NOTHING}`.replaceAll(' ', ''))
  const session = sessionOf()
  const batch = new PositionBatch(8)
  decodeFrame(adapter, frame, session, batch)
  expect(batch.length).toBe(2)
  const bounds = [batch.recordStart[0], batch.recordEnd[0], batch.recordStart[1], batch.recordEnd[1]]
  expect(bounds).toEqual([13, 13 + content.length / 2, 13 + content.length / 2, frame.length - 2])
  expect(decode(frame).positions).toMatchObject([
    { attributes: { in4: 1, power: 12.5, odometer: 5, event: 9 } },
    { attributes: { event: 7 } },
  ])
})

test('makes a row of a part whose first one came in another packet', () => {
  const { positions } = decode(frameOf(68, `000158068f4a003100${FIX}0009${NOTHING}`))
  expect(positions).toMatchObject([{ latitude: 47.0555133, longitude: 21.923265, attributes: { event: 9 } }])
})

test('keeps the digest of a record that is sent again with others', () => {
  const digests = (frame: Buffer) => {
    const batch = new PositionBatch(8)
    decodeFrame(adapter, frame, sessionOf(), batch)
    return Array.from({ length: batch.length }, (_, row) => [batch.digestHigh[row], batch.digestLow[row]])
  }
  const first = record(NOTHING)
  const second = record('0105010000 00'.replaceAll(' ', ''))
  const [digest] = digests(records(second))
  expect(digests(records(first, second))[1]).toEqual(digest)
  expect(digests(records(first))[0]).not.toEqual(digest)
})

test('keeps a record without a fix as one, with its time', () => {
  const { positions } = decode(records(`58068f4a0000${NO_FIX}07${NOTHING}`))
  expect(positions).toMatchObject([
    { noFix: true, deviceTime: '2016-10-18T21:08:26.000Z', attributes: { event: 7 } },
  ])
})

test.each([
  ['a temperature below 0', '0120f6000000', { deviceTemp: -10 }],
  ['a probe below 0', '00014fff9c0000', { temp1: -10 }],
  ['several alarms', '025801860100 0000', { alarm: 'jamming,hardBraking' }],
  ['an alarm that is off', '0158000000 00', { alarm: undefined, io88: undefined }],
  ['an iButton', '0000000122 0123456789abcdef', { driverUniqueId: '0123456789abcdef' }],
  [
    'a card of the CAN bus',
    `000000027e ${hex('ABCDEFGH')}7f${hex('12345678')}`,
    { driverUniqueId: 'ABCDEFGH12345678' },
  ],
  [
    'a card that fills one half',
    `000000029b${hex('ABCDEFGH')}9c0000000000000000`,
    { driverUniqueId: 'ABCDEFGH' },
  ],
  [
    'no card',
    '000000027e00000000000000007f0000000000000000',
    { driverUniqueId: undefined, io126: undefined },
  ],
  ['half of a card', `000000017e${hex('ABCDEFGH')}`, { driverUniqueId: undefined, io126: undefined }],
  ['fuel in percent and in litres', '0162ff01cd00500000', { fuelLevel: 100, fuel: 80 }],
  ['an element of no name', '00000001fa ffffffffffffffff', { io250: -1 }],
])('reads %s', (_, elements, expected) => {
  const attributes = attributesOf(elements.replaceAll(' ', ''))
  for (const [key, value] of Object.entries(expected)) expect(attributes[key]).toEqual(value)
})

test('reads the alarms and the tag of extended records', () => {
  const elements = `04 019a01 019b01 019f00 02f601 00 00 02 02f8 0123456789abcdef 02f9 fedcba9876543210`
  const { positions } = decode(frameOf(68, `000158068f4a000000${FIX}0009${elements}`.replaceAll(' ', '')))
  expect(positions[0]!.attributes).toMatchObject({
    alarm: 'tow,accident,gpsAntennaCut,tampering',
    tagId: '123456789abcdeffedcba9876543210',
  })
})

test.each([
  ['more records than there are', records(record(NOTHING)).subarray(0, -2)],
  ['more elements than there are', record('ff')],
])('refuses %s', (_, broken) => {
  const content = typeof broken === 'string' ? `0001${broken}` : `0002${broken.subarray(13).toString('hex')}`
  const { positions, replies, error } = decode(frameOf(1, content))
  expect(positions).toEqual([])
  expect(replies).toEqual([])
  expect(error?.code).toBe('malformed')
})

test('refuses a packet whose CRC does not fit', () => {
  const frame = records(record(NOTHING))
  frame[20]! ^= 1
  expect(decode(frame)).toMatchObject({ positions: [], replies: [], error: { code: 'checksum' } })
})

test('refuses a number that is no IMEI', () => {
  const frame = frameOf(1, '0000')
  frame.writeBigUInt64BE(10n ** 15n, 2)
  frame.writeUInt16BE(crc16Kermit(frame, 2, frame.length - 2), frame.length - 2)
  expect(decode(frame).error?.code).toBe('malformed')
})

test('answers heartbeats and asks for each part of a photo but the last', () => {
  expect(decode(frameOf(16, '')).replies).toEqual(['00027401862d'])
  const part = (number: string) => decode(frameOf(37, `0200${hex('TDA1FADA')}0003${number}ffd8`))
  const request = (number: number) => `000d890200${hex('TDA1FADA')}${number.toString(16).padStart(4, '0')}`
  expect(part('0000').replies[0]).toMatch(request(1))
  expect(part('0001').replies[0]).toMatch(request(2))
  expect(part('0001').positions).toEqual([])
  // The last says that the photo came.
  expect(part('0002')).toMatchObject({ positions: [{ noFix: true, attributes: {} }], replies: [] })
  expect(decode(frameOf(37, '02')).error?.code).toBe('malformed')
})

test('tells an unknown device that its data is not taken', () => {
  const refusal = (frame: Buffer) => {
    const reply = adapter.refuse!(frame, sessionOf())
    return reply === undefined ? undefined : toBuffer(reply).toString('hex')
  }
  expect(refusal(records(record(NOTHING)))).toBe('000264000235')
  expect(refusal(frameOf(9, '00'))).toMatch(/^00026d00/)
  expect(refusal(frameOf(37, `0200${hex('TDA1FADA')}00030000`))).toBeUndefined()
})

test('takes what a device says of a command for its answer', () => {
  const session = sessionOf()
  const texts = ['Immobilizer OK', 'immobilizer is not configured', 'Invalid speed', '']
  for (const text of texts) decodeFrame(adapter, frameOf(7, hex(text)), session, new PositionBatch(8))
  for (const frame of [frameOf(17, '01'), frameOf(6, '')]) {
    expect(repliesOf(adapter, frame, session)).toEqual([])
    decodeFrame(adapter, frame, session, new PositionBatch(8))
  }
  expect(session.answers).toEqual([
    { ok: true, text: 'Immobilizer OK' },
    { ok: false, text: 'immobilizer is not configured' },
    { ok: false, text: 'Invalid speed' },
    { ok: true, text: '' },
    { ok: true, text: '1' },
    { ok: true, text: '' },
  ])
})

test('encodes its commands', () => {
  const { commands } = adapter
  const session = sessionOf({ devicePassword: '1234' })
  const content = (reply: unknown) => (reply as Buffer).subarray(2, -2).toString('latin1')
  expect(content(commands!.engineStop!({}, session))).toBe('l1234 immobilizer 10')
  expect(content(commands!.engineResume!({}, sessionOf()))).toBe('l resetimmob')
  expect(content(commands!.configuration!({ data: '#cfg_send' }, session))).toBe('f#cfg_send\r\n')
  expect(content(commands!.getVersion!({}, session))).toBe('g')
  expect(content(commands!.firmwareUpdate!({ data: 'x' }, session))).toBe('h|FU_STRT*\r\n')
  expect(content(commands!.setConnection!({ server: 'fleet.example', port: 5046 }, session))).toBe(
    'ifleet.example,5046,TCP',
  )
  expect(content(commands!.setOdometer!({ data: '66051' }, session))).toBe('j\0\x01\x02\x03')
  expect(content(commands!.outputControl!({ index: 2, data: '1' }, session))).toBe('u\0\0\0\x02\0\0\0\x01')
  expect((commands!.requestPhoto!({}, session) as Buffer).toString('hex')).toBe(
    '000b890100000000007fffffff89f0',
  )
})

test('refuses commands that no packet can say', () => {
  const { custom, outputControl, setOdometer, configuration } = adapter.commands!
  const session = sessionOf()
  expect(() => custom!({ data: ' setio\n2,1' }, session)).toThrow(CommandError)
  expect(() => custom!({ data: '000b8901' }, session)).toThrow(CommandError)
  expect(() => outputControl!({ data: 'on' }, session)).toThrow(CommandError)
  expect(() => setOdometer!({ data: '4294967296' }, session)).toThrow(CommandError)
  expect(() => configuration!({ data: 'a\r\nb' }, session)).toThrow(CommandError)
})

test.each([
  ['0056000311', undefined],
  ['00560003116e7438a7a501', true],
  ['00560003116e7438a7a5ff', false],
  ['005600038d7ea4c6800001', false],
  ['000f3335', false],
  ['0008', false],
  ['7878', false],
])('knows whether %s may begin a stream', (bytes, starts) => {
  expect(ruptela.starts!(Buffer.from(bytes, 'hex'), 'tcp')).toBe(starts)
})

test('ends a stream that gives a length of no packet', () => {
  expect(decode(Buffer.from('ffff', 'hex')).error?.code).toBe('malformed')
})

function hex(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex')
}
