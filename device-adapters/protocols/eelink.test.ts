/** What the recorded packages of Eelink do not hold, or hold otherwise than its document: datagrams, OBD, answers. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { attributesOf } from '../../schemas/position.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type Adapter, CommandError, type Transport } from '../adapter.ts'
import { rotatedSum16 } from '../checksums.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import {
  type DecodedLine,
  type RecordedLine,
  type RecordedPosition,
  RecordedStream,
} from '../recorded-line.ts'
import { eelink } from './eelink.ts'

const adapter = eelink as Adapter
const RECEIVED_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const IMEI = '0352544071677471'
const HEARTBEAT = '67670300040028006a'

function decode(bytes: string, transport: Transport = 'tcp'): DecodedLine {
  return new RecordedStream(adapter).decode({ protocol: 'eelink', stream: 1, transport, bytes }, RECEIVED_MS)
}

function session(transport: Transport = 'tcp'): DeviceSession {
  const created = new DeviceSession(adapter, transport, () => ({ model: '', options: {} }))
  created.identify(IMEI.slice(1))
  return created
}

/** A package in hex. */
function packaged(type: number, content: string, serial = 1): string {
  const head = Buffer.from([0x67, 0x67, type, 0, 0, 0, 0])
  head.writeUInt16BE(2 + content.length / 2, 3)
  head.writeUInt16BE(serial, 5)
  return head.toString('hex') + content
}

function datagram(...packages: string[]): string {
  const bytes = Buffer.from(`454c00000000${IMEI}${packages.join('')}`, 'hex')
  bytes.writeUInt16BE(bytes.length - 4, 2)
  bytes.writeUInt16BE(rotatedSum16(bytes, 6, bytes.length), 4)
  return bytes.toString('hex')
}

type Vector = RecordedLine & { readonly positions: readonly RecordedPosition[] }
const vectors = readFileSync(new URL('./eelink.vectors.jsonl', import.meta.url), 'utf8')
  .split('\n')
  .filter(Boolean)
  .map((line) => JSON.parse(line) as Vector)

test.each([0, 1, 3, 4, 7, 12, 22, 24])('reads all else of recorded line %i, which is an exception', (seq) => {
  const { positions, ...line } = vectors.find((vector) => vector.seq === seq)!
  const found = new RecordedStream(adapter).decode(line, RECEIVED_MS).positions
  expect(found).toHaveLength(positions.length)
  positions.forEach(({ device, network, attributes: { blocked, ...attributes }, ...rest }, i) => {
    expect(found[i]).toMatchObject({ ...rest, attributes })
    expect(found[i]!.attributes.blocked).toBe(blocked === undefined ? undefined : false)
  })
})

test('answers every package of a datagram with the head of a datagram', () => {
  const line = decode(datagram(HEARTBEAT, packaged(0x81, 'ff'), packaged(0x1e, 'ff', 9)), 'udp')
  expect(line.replies).toEqual([datagram(packaged(3, '', 0x28)), datagram(packaged(0x1e, '', 9))])
  expect(line.positions).toMatchObject([{ device: IMEI.slice(1), attributes: { armed: false } }])
})

test('answers a login with the time, a version and no wish', () => {
  expect(decode(packaged(1, `${IMEI}0120`)).replies).toEqual([packaged(1, '695735a50001' + '00')])
})

test('does not answer a position of version 1', () => {
  const fix = '538086df0190c1790b3482df0f0157020800013beb003424'
  const line = decode(packaged(2, `${fix}01`, 0x3c5))
  expect(line.replies).toEqual([])
  expect(line.positions).toMatchObject([
    { valid: true, speed: 15, course: 343, attributes: { index: 0x3c5 } },
  ])
})

test('reads OBD, but no value that the vehicle did not fill', () => {
  const values = '055a555555' + '0c105c5555' + '0d55555555' + '112b555555' + '8a0000aef7' + '8b0000000f'
  const [position] = decode(packaged(7, `5c89fde8${values}00`)).positions
  expect(position).toEqual({
    device: '',
    noFix: true,
    deviceTime: '2019-03-14T07:08:24.000Z',
    attributes: {
      coolantTemp: 50,
      rpm: 1047,
      throttle: (0x2b * 100) / 255,
      odometer: 44_791_000,
      fuel: 1,
    },
  })
})

test('reads cells and access points of LTE, and steps over further cells', () => {
  const cell = '01f90001304e304e0818390d000000c524c2ae'
  const content = `61d38e0080080a${cell}002542e50e7e490689`
  const further = `61d38e0080080b${cell}1122334455002542e50e7e490689`
  for (const bytes of [content.replace('080a', '0809'), further.replace('080b', '080a')]) {
    const [position] = decode(packaged(0x12, bytes)).positions
    expect(position!.network).toEqual({
      radioType: 'lte',
      cellTowers: [{ mcc: 505, mnc: 1, lac: 12366, cid: 135805197, rssi: -82 }],
      wifi: [{ mac: '00:25:42:e5:0e:7e', rssi: -73 }],
    })
  }
})

test.each([
  [0x01, 'powerOff'],
  [0x25, 'removing'],
  [0x81, 'lowspeed'],
  [0x86, 'fallDown'],
  [0x77, undefined],
])('names the alarm %i', (code, alarm) => {
  const warning = packaged(0x14, `61d38e0000${code.toString(16).padStart(2, '0')}0000`)
  expect(decode(warning).positions[0]!.attributes.alarm).toBe(alarm)
})

test('reads three cells of one network', () => {
  const content =
    '61d38e000e' + '01f90001' + '0001000000022e' + '0003000000042f' + '00050000000630' + '01' + '0000'
  const [position] = decode(packaged(0x14, content)).positions
  expect(position!.attributes).toMatchObject({ alarm: 'powerOff', status: 0 })
  expect(position!.network).toMatchObject({
    cellTowers: [
      { mcc: 505, mnc: 1, lac: 1, cid: 2, rssi: -46 },
      { mcc: 505, mnc: 1, lac: 3, cid: 4, rssi: -47 },
      { mcc: 505, mnc: 1, lac: 5, cid: 6, rssi: -48 },
    ],
  })
})

test('knows a package that it sent before by its content, also in a datagram', () => {
  const batch = new PositionBatch(8)
  const content = '61d38e0001fbf0aa3a0f8fa08500060051015f090689'
  for (const bytes of [packaged(0x12, content, 1), datagram(HEARTBEAT, packaged(0x12, content, 2))]) {
    decodeFrame(adapter, Buffer.from(bytes, 'hex'), session(bytes[0] === '4' ? 'udp' : 'tcp'), batch)
  }
  const rows = [0, 2].map((row) => `${batch.digestHigh[row]} ${batch.digestLow[row]}`)
  expect(rows[0]).toBe(rows[1])
})

test.each([
  ['a datagram with a wrong checksum', datagram(HEARTBEAT).replace('6a', '6b'), 'udp', 'checksum'],
  ['a datagram without its head', HEARTBEAT, 'udp', 'malformed'],
  ['a datagram that is cut', datagram(HEARTBEAT).slice(0, -2), 'udp', 'malformed'],
  ['an IMEI with digits above 9', packaged(1, '0a525440716774710120'), 'tcp', 'malformed'],
  ['a package that ends inside its fix', packaged(0x12, '61d38e0001fbf0aa'), 'tcp', 'malformed'],
  ['more tags than there are', packaged(0x12, `61d38e0000${'00'.repeat(34)}ff00`), 'tcp', 'malformed'],
] as const)('refuses %s', (_, bytes, transport, code) => {
  const line = decode(bytes, transport)
  expect(line.positions).toEqual([])
  expect(line.replies).toEqual([])
  expect(line.error?.code).toBe(code)
})

test('drops what stands between packages', () => {
  const reader = new FrameReader(adapter, 'tcp')
  for (const bytes of ['0d0a6712', HEARTBEAT, '00ff', HEARTBEAT, '0067']) {
    reader.push(Buffer.from(bytes, 'hex'))
  }
  expect(reader.next()?.toString('hex')).toBe(HEARTBEAT)
  expect(reader.next()?.toString('hex')).toBe(HEARTBEAT)
  expect(reader.next()).toBeUndefined()
  reader.push(Buffer.from(HEARTBEAT.slice(2), 'hex'))
  expect(reader.next()?.toString('hex')).toBe(HEARTBEAT)
})

test('takes the answer to a command by its number, with the place where it is one', () => {
  const device = session()
  const batch = new PositionBatch(8)
  const place = 'Lat:N31.83955,Lon:W82.61346,Course:10.50,Speed:7.00km/h,DateTime:2017-12-02 11:29:43'
  for (const [serial, text] of [
    [0, 'RELAY OK!\r\n\0'],
    [7, place],
  ] as const) {
    const number = serial.toString(16).padStart(8, '0')
    const content = `01${number}${Buffer.from(text, 'latin1').toString('hex')}`
    decodeFrame(adapter, Buffer.from(packaged(0x80, content), 'hex'), device, batch)
  }
  expect(attributesOf(batch, 0).result).toBe('RELAY OK!\r\n\0')
  expect(device.answers).toEqual([
    { serial: 0, ok: true, text: 'RELAY OK!' },
    { serial: 7, ok: true, text: place },
  ])
  expect([batch.latitudeDeg[1], batch.longitudeDeg[1], batch.courseDeg[1], batch.speedKmh[1]]).toEqual([
    31.83955, -82.61346, 10.5, 7,
  ])
})

test('numbers its commands, and sends them in datagrams where the device does', () => {
  const device = session()
  device.commandSerial = 3
  const { commands } = eelink
  const sent = (encoded: unknown) => (encoded as Buffer).toString('hex')
  const text = (value: string) => Buffer.from(value).toString('hex')
  expect(sent(commands?.positionSingle?.({}, device))).toBe(packaged(0x80, `0100000003${text('WHERE#')}`, 0))
  expect(sent(commands?.engineResume?.({}, device))).toBe(packaged(0x80, `0100000003${text('RELAY,0#')}`, 0))
  expect(sent(commands?.rebootDevice?.({}, device))).toBe(packaged(0x80, `0100000003${text('RESET#')}`, 0))
  expect(sent(commands?.custom?.({ data: 'APN,a#' }, session('udp')))).toBe(
    datagram(packaged(0x80, `0100000000${text('APN,a#')}`, 0)),
  )
  const nameless = session('udp')
  nameless.identify('abc')
  expect(() => commands?.custom?.({ data: 'APN,a#' }, nameless)).toThrow(CommandError)
})

test.each([
  ['67', 'tcp', undefined],
  ['676701', 'tcp', undefined],
  ['6767010c', 'tcp', true],
  ['6767550c', 'tcp', false],
  ['676701ff', 'tcp', false],
  ['7878', 'tcp', false],
  ['454c0027e7530352544071677471676701', 'udp', undefined],
  ['454c0027e753035254407167747167670100', 'udp', true],
  ['454c0027e753035254407167747a67670100', 'udp', false],
  ['676701000c', 'udp', false],
] as const)('tells by its first bytes whether %s on %s is of the protocol', (bytes, transport, expected) => {
  expect(eelink.starts?.(Buffer.from(bytes, 'hex'), transport)).toBe(expected)
})
