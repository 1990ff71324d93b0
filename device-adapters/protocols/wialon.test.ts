/** What the recorded packets of Wialon IPS do not hold: the rest of its documents, damage, commands. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { CommandError, type Transport } from '../adapter.ts'
import { crc16Ibm } from '../checksums.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { wialon } from './wialon.ts'

const RECEIVED_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const DATA = '270413;205601;5544.6025;N;03739.6834;E;1;2;3;4'
const EXTENDED = `${DATA};0.0;0;0;14.77,0.02,3.6;NA;count1:1:564,fuel:2:45.8,hw:3:V4.5`

function decode(text: string, transport: Transport = 'tcp'): DecodedLine {
  return new RecordedStream(wialon).decode(
    { protocol: 'wialon', stream: 1, transport, bytes: Buffer.from(text).toString('hex') },
    RECEIVED_MS,
  )
}

const repliesOf = (line: DecodedLine) => line.replies.map((reply) => Buffer.from(reply, 'hex').toString())

/** A body of version 2 with its CRC. */
function signed(body: string): string {
  const bytes = Buffer.from(body)
  return body + crc16Ibm(bytes, 0, bytes.length).toString(16).toUpperCase()
}

function session(): DeviceSession {
  const created = new DeviceSession(wialon, 'tcp', () => ({ model: '', options: {} }))
  created.identify('353')
  created.receivedMs = RECEIVED_MS
  return created
}

test('answers each packet in its own words', () => {
  const text = [
    '#L#2.0;353;NA;1234',
    `#SD#${DATA}`,
    `#SD#${signed(`${DATA};`)}`,
    `#D#${signed(`${EXTENDED};`)}`,
    `#B#${DATA}|${DATA}|${EXTENDED}`,
    `#B#${signed(`${DATA}|${DATA}|${EXTENDED}|`)}`,
    '#P#',
    '#M#done',
  ]
  const line = decode(`${text.join('\r\n')}\r\n`)
  expect(line.error).toBeNull()
  expect(line.positions).toHaveLength(10)
  expect(repliesOf(line)).toEqual(
    ['#AL#1', '#ASD#1', '#ASD#1', '#AD#1', '#AB#3', '#AB#3', '#AP#', '#AM#1'].map((reply) => `${reply}\r\n`),
  )
})

test('names the device by a login with and without a version, and by the head of a datagram', () => {
  expect(decode(`#L#353;pw\r\n#SD#${DATA}\r\n`).positions[0]!.device).toBe('353')
  expect(decode(`#L#2.1;354;pw;FF\r\n#SD#${DATA}\r\n`).positions[0]!.device).toBe('354')
  expect(decode(`2.0;355#SD#${DATA}`, 'udp').positions[0]!.device).toBe('355')
  expect(decode(`356#SD#${DATA}\r\n#SD#${DATA}\r\n`, 'udp').positions.map(({ device }) => device)).toEqual([
    '356',
    '356',
  ])
})

test('takes the time of receipt where there is none, and parts of seconds', () => {
  const [now, precise] = decode(
    `#SD#NA;NA;${DATA.slice(14)}\r\n#SD#270413;205601.25;${DATA.slice(14)}\r\n`,
  ).positions
  expect(now!.fixTime).toBe('2026-01-02T03:04:05.000Z')
  expect(precise!.fixTime).toBe('2013-04-27T20:56:01.250Z')
})

test('reads cells without a number and with one, and what is nobody else’s', () => {
  const params =
    'mcc:1:250,mnc:1:1,lac:1:5901,cell_id:1:4554,mcc1:1:250,mnc1:1:2,lac1:1:5902,cell_id1:1:4555,mcc2:1:250'
  const head = `${DATA.replaceAll(/;4$/g, ';NA')};NA;NA;NA;;AB`
  const [position] = decode(`#D#${head};${params},accuracy:2:7.5,On:3:TRUE,Note:3:a b,bad,:1:2\r\n`).positions
  expect(position).toMatchObject({ valid: false, accuracy: 7.5 })
  expect(position!.attributes).toEqual({
    driverUniqueId: 'AB',
    cell_id: 4554,
    cell_id1: 4555,
    mcc2: 250,
    on: true,
    note: 'a b',
  })
  expect(position!.network).toEqual({
    radioType: 'gsm',
    cellTowers: [
      { mcc: 250, mnc: 1, lac: 5901, cid: 4554 },
      { mcc: 250, mnc: 2, lac: 5902, cid: 4555 },
    ],
  })
})

test('reads a number in any form that devices print', () => {
  const params = 'a:2:1.5E-3,b:2:.5,c:1:+7,d:1:-8,e:2:9.,f:2:1e999,g:3:1.2.3,h:3:0x10'
  const [position] = decode(`#D#${DATA};NA;NA;NA;;NA;${params}\r\n`).positions
  expect(position!.attributes).toEqual({
    sat: 4,
    ...{ a: 0.0015, b: 0.5, c: 7, d: -8, e: 9 },
    ...{ f: '1e999', g: '1.2.3', h: '0x10' },
  })
})

test('leaves out what no device has so many of', () => {
  const many = Array.from({ length: 1000 }, (_, i) => `p${i}:1:${i}`).join(',')
  const line = decode(`#D#${DATA};NA;NA;NA;${'1,'.repeat(1000)};NA;${many},${'n'.repeat(65)}:1:1\r\n`)
  expect(Object.keys(line.positions[0]!.attributes)).toHaveLength(1 + 64 + 256)
  expect(repliesOf(line)).toEqual(['#AD#1\r\n'])
})

test('knows a record that it sent before by its bytes, also out of the black box', () => {
  const batch = new PositionBatch(8)
  const device = session()
  const texts = [`#D#${EXTENDED}`, `#D#${signed(`${EXTENDED};`)}`, `#B#${DATA}|${EXTENDED}`]
  for (const text of texts) decodeFrame(wialon, Buffer.from(`${text}\r\n`), device, batch)
  const digests = Array.from({ length: 4 }, (_, row) => `${batch.digestHigh[row]} ${batch.digestLow[row]}`)
  expect(new Set(digests).size).toBe(2)
  expect(digests[2]).not.toBe(digests[0])
})

test('keeps what can be read of a black box', () => {
  const line = decode(`#B#${DATA}|garbage;1|${DATA.replace('5544', '5545')}\r\n`)
  expect(line.positions).toHaveLength(2)
  expect(repliesOf(line)).toEqual(['#AB#2\r\n'])
})

test.each([
  ['a CRC that does not fit', `#D#${EXTENDED};0000`, 'checksum'],
  ['a CRC of a black box that does not fit', `#B#${DATA}|${DATA}|0000`, 'checksum'],
  ['a latitude that is no number', `#SD#${DATA.replace('5544', '55x4')}`, 'malformed'],
  ['data without satellites', '#SD#270413;205601;5544.6025;N;03739.6834;E;1;2;3', 'malformed'],
  ['a login without a name', '#L#;pw', 'malformed'],
  ['a line without a type', 'hello', 'malformed'],
  ['U+0000', '#M#a\0b', 'malformed'],
  ['a tachograph packet', '#IT#1;2;3', 'unsupported'],
])('refuses %s', (_, text, code) => {
  const line = decode(`${text}\r\n`)
  expect(line.positions).toEqual([])
  expect(line.replies).toEqual([])
  expect(line.error?.code).toBe(code)
})

test('takes a message for the answer to a command, without its CRC', () => {
  const device = session()
  for (const body of ['V1.2;3', signed('Привет;')]) {
    decodeFrame(wialon, Buffer.from(`#M#${body}\r\n`), device, new PositionBatch(8))
  }
  expect(device.answers).toEqual([
    { ok: true, text: 'V1.2;3' },
    { ok: true, text: 'Привет' },
  ])
})

test('steps over the bytes of a photo and of a tachograph file', () => {
  const reader = new FrameReader(wialon, 'tcp')
  reader.push(Buffer.from('\r\n#I#6;0;1;270413;205601;a.jpg\r\n\n#P#\r\n#T#7;3;0;1A2B\r\n#\n#'))
  expect(reader.next()?.toString()).toBe('#I#6;0;1;270413;205601;a.jpg\r\n\n#P#\r\n')
  expect(reader.next()?.toString()).toBe('#T#7;3;0;1A2B\r\n#\n#')
  expect(reader.next()).toBeUndefined()
})

test('tells an unregistered device to keep its data', () => {
  expect(wialon.refuse?.(Buffer.from('#L#2.0;353;NA;1234\r\n'), session())).toBe('#AL#0\r\n')
  expect(wialon.refuse?.(Buffer.from('#P#\r\n'), session())).toBeUndefined()
})

test.each([
  ['#', undefined],
  ['#S', undefined],
  ['#SD#', true],
  ['2.0;', undefined],
  ['2.0;353#D', undefined],
  ['2.0;353#D#27', true],
  ['353#SD#', true],
  ['#X', false],
  ['##,imei:', false],
  ['*HQ', false],
  ['$GP', false],
  ['(0123', false],
  ['ST600STT;', false],
])('tells by its first bytes whether %s is of the protocol', (text, expected) => {
  expect(wialon.starts?.(Buffer.from(text), 'tcp')).toBe(expected)
})

test('encodes its commands, each in a line', () => {
  const device = session()
  const { commands } = wialon
  expect(String(commands?.rebootDevice?.({}, device))).toBe('reboot\r\n')
  expect(String(commands?.deviceIdentification?.({}, device))).toBe('VER?\r\n')
  expect(String(commands?.sendUssd?.({ phone: '*100#' }, device))).toBe('USSD:*100#\r\n')
  expect(String(commands?.outputControl?.({ data: '1' }, device))).toBe('L1=1\r\n')
  expect(String(commands?.outputControl?.({ index: 3, data: '0' }, device))).toBe('L3=0\r\n')
  expect(String(commands?.custom?.({ data: 'Привет' }, device))).toBe('Привет\r\n')
})

test('refuses a command that would end its line', () => {
  const device = session()
  expect(() => wialon.commands?.custom?.({ data: 'a\r\nreboot' }, device)).toThrow(CommandError)
  expect(() => wialon.commands?.outputControl?.({ data: '1\n#AL#0' }, device)).toThrow(CommandError)
})
