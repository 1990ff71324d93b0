/** What the recorded frames of GT06 do not hold: examples of its documents, records sent again, damage, commands. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type Adapter, CommandError, DecodeError, type KnownDevice } from '../adapter.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { encode } from './gt06/frame.ts'
import { gt06 } from './gt06.ts'

const adapter = gt06 as Adapter
const RECEIVED_MS = Date.UTC(2015, 11, 29, 0, 0, 21)
const LOGIN = '78781101075253367890024270003201000512790d0a'
/** Date, satellites, place, speed, course. */
const GPS = '0f0c1d023305c9027ac8180c46586000140001'
const LBS = '01cc00287d001f71'

/** Decodes the frames of one connection, and gives what came of the last. */
function decode(...frames: string[]): DecodedLine {
  const stream = new RecordedStream(adapter)
  const lines = frames.map((bytes) =>
    stream.decode({ protocol: 'gt06', stream: 1, transport: 'tcp', bytes }, RECEIVED_MS),
  )
  return lines.at(-1)!
}

const frame = (type: number, content: string, long = false, serial = 1) =>
  encode(type, Buffer.from(content, 'hex'), serial, long).toString('hex')

const text = (value: string) => Buffer.from(value, 'latin1').toString('hex')

function framesOf(bytes: string): string[] {
  const reader = new FrameReader(adapter, 'tcp')
  reader.push(Buffer.from(bytes, 'hex'))
  const frames: string[] = []
  for (let next = reader.next(); next !== undefined; next = reader.next()) frames.push(next.toString('hex'))
  return frames
}

function session(device: Partial<KnownDevice> = {}): DeviceSession {
  const known = { model: '', options: {}, ...device }
  const created = new DeviceSession(adapter, 'tcp', () => known)
  created.identify('123456789012345')
  return created
}

const commandBytes = (encoded: unknown) => (encoded as Buffer).toString('hex')

test('answers the login of the document', () => {
  const line = decode(LOGIN)
  expect(line.replies).toEqual(['7878050100059ff80d0a'])
  expect(line.positions).toEqual([])
})

test('names the device by the IMEI of its last login', () => {
  const stream = session()
  decodeFrame(adapter, Buffer.from(LOGIN, 'hex'), stream, new PositionBatch(8))
  expect(stream.uniqueId).toBe('752533678900242')
})

test('reads the alarms of the document', () => {
  const single = decode(
    '787825260f0c1d030b26c9027ac8180c4658600004000901cc00287d001f718004041302000c472a0d0a',
  )
  expect(single.positions[0]!.attributes).toMatchObject({ alarm: 'tampering', batteryLevel: 66, rssi: 4 })
  const fences = decode(
    '787826271004190 92d07c5027ac91c0c4658000005370900000000000000008002000c01ff00004df60d0a'.replace(
      ' ',
      '',
    ),
  )
  expect(fences.positions[0]!.attributes).toMatchObject({ alarm: 'powerOn', blocked: true, geofence: 255 })
})

test('reads the mileage after an alarm', () => {
  const line = decode(frame(0x26, `${GPS.slice(0, 36)}09${LBS}4604040002000186a0`))
  expect(line.positions[0]!.attributes).toMatchObject({ odometer: 100_000 })
})

test('reads a tower of 4G with a network code of two bytes', () => {
  const line = decode(frame(0xa0, `${GPS.slice(0, 36)}81cc00010000260e000000000615f801010000`))
  expect(line.positions[0]!.network).toEqual({
    radioType: 'gsm',
    cellTowers: [{ mcc: 460, mnc: 1, lac: 9742, cid: 102_103_041 }],
  })
  expect(line.positions[0]!.attributes).toMatchObject({ ignition: true })
})

test('gives the server time in the bytes of the document', () => {
  expect(decode('7878058a000688290d0a').replies).toEqual(['78780b8a0f0c1d0000150006f0860d0a'])
})

test('reads the place out of the answer to a command', () => {
  const answer =
    'Current position!Lat:S22.5,Lon:W113.25,Course:36.50,Speed:72.00,DateTime:2021-03-04 05:06:07'
  expect(decode(frame(0x21, `0000000001${text(answer)}`, true)).positions).toMatchObject([
    { latitude: -22.5, longitude: -113.25, course: 36.5, speed: 72, fixTime: '2021-03-04T05:06:07.000Z' },
  ])
})

test('reads an answer in UTF-16', () => {
  const answer = Buffer.from('成功', 'utf16le').swap16().toString('hex')
  expect(decode(frame(0x21, `0000000002${answer}`, true)).positions[0]!.attributes).toEqual({
    result: '成功',
  })
})

test('reads the door of a message with a date and of one without', () => {
  expect(decode(frame(0x94, '0505', true)).positions).toMatchObject([
    { attributes: { door: true, io1: true } },
  ])
  expect(decode(frame(0x94, '0516090908081c01', true)).positions).toMatchObject([
    { deviceTime: '2022-09-09T08:08:28.000Z', attributes: { door: true, io1: false } },
  ])
})

test('tells short and long messages of one number apart', () => {
  expect(decode(frame(0x94, '04eb')).positions[0]!.attributes).toEqual({ power: 12.59 })
  expect(decode(frame(0x94, '0004eb', true)).positions[0]!.attributes).toEqual({ adc1: 12.59 })
})

test('reads the accuracy of a location with modules', () => {
  const line = decode(frame(0x37, `${GPS.slice(0, 36)}${LBS}000001003b0217c0002e0400002328`))
  expect(line.positions[0]).toMatchObject({ accuracy: 60.8, attributes: { odometer: 9000 } })
})

test.each([
  ['', 'jamming'],
  ['JM-VL03', 'hardBraking'],
  ['vl103', 'hardBraking'],
])('reads alarm 0x30 of model "%s" as %s', (model, alarm) => {
  const stream = new RecordedStream(adapter)
  const bytes = frame(0x26, `${GPS.slice(0, 36)}09${LBS}4604043002`)
  const line = { protocol: 'gt06', stream: 1, transport: 'tcp', setup: { modelOverride: model } } as const
  stream.decode({ ...line, bytes: LOGIN }, RECEIVED_MS)
  expect(stream.decode({ ...line, bytes }, RECEIVED_MS).positions).toMatchObject([{ attributes: { alarm } }])
})

test('asks for the parts of a photo until it is complete', () => {
  const stream = new RecordedStream(adapter)
  const send = (bytes: string) =>
    stream.decode({ protocol: 'gt06', stream: 1, transport: 'tcp', bytes }, RECEIVED_MS).replies
  const request = (offset: string, bytes: string) => [frame(0x36, `20e3acd3${offset}${bytes}`, false, 0)]
  const part = (offset: string, bytes: string, data: number) =>
    frame(0x36, `20e3acd3${offset}${bytes}${'ab'.repeat(data)}`, true)
  expect(send(part('00000000', '0400', 1024))).toEqual([])
  const announced = frame(0x35, `11061a0b24330503107d06084889cb0100010000041020e3acd3`)
  expect(send(announced)).toEqual(request('00000000', '0400'))
  expect(send(part('00000000', '0400', 1024))).toEqual(request('00000400', '0010'))
  expect(send(part('00000400', '0010', 16))).toEqual([])
})

test('gives a record that is sent again under another serial number the same digest', () => {
  const content = GPS.slice(0, 36) + LBS
  const batch = new PositionBatch(8)
  for (const bytes of [
    frame(0x22, content, false, 7),
    frame(0x22, content, false, 8),
    frame(0x12, content),
  ]) {
    decodeFrame(adapter, Buffer.from(bytes, 'hex'), session(), batch)
  }
  const [first, again, other] = [0, 1, 2].map((row) => [batch.digestHigh[row], batch.digestLow[row]])
  expect(again).toEqual(first)
  expect(other).not.toEqual(first)
})

test('keeps the fix of a message that ends within a later block, if its checksum is right', () => {
  const cut = frame(0x22, `${GPS.slice(0, 36)}01cc00`)
  expect(decode(cut).positions).toMatchObject([{ speed: 0, course: 0, attributes: { type: 0x22, sat: 9 } }])
  const damaged = `${cut.slice(0, -12)}ffff${cut.slice(-8)}`
  expect(decode(damaged)).toMatchObject({ positions: [], replies: [], error: { code: 'checksum' } })
})

test('rejects a message without room for its fix', () => {
  const empty = Buffer.from(frame(0x12, ''), 'hex')
  expect(() => decodeFrame(adapter, empty, session(), new PositionBatch(8))).toThrow(DecodeError)
})

test('drops stray bytes between frames', () => {
  const location = frame(0x22, GPS.slice(0, 36) + LBS)
  expect(framesOf(`00ff0d0a${location}0d0a7900${location}7812${LOGIN}79`)).toEqual([
    location,
    location,
    LOGIN,
  ])
})

test('finds the next frame after one whose length is damaged', () => {
  const location = frame(0x22, GPS.slice(0, 36) + LBS)
  const damaged = `7878ff${location.slice(6)}`
  expect(framesOf(damaged + location.repeat(10))).toEqual([damaged, ...Array(10).fill(location)])
})

test('waits for no more bytes than a frame may have', () => {
  const location = frame(0x22, GPS.slice(0, 36) + LBS)
  const damaged = `7979ff${frame(0x9b, '0300', true).slice(6)}`
  expect(framesOf(damaged + location)).toEqual([damaged, location])
  const starts = (hex: string) => adapter.starts!(Buffer.from(hex, 'hex'), 'tcp')
  expect(['78', '79', '7979', '79791f'].map(starts)).toEqual(Array(4).fill(undefined))
  expect(['7878', '79791ffa', '79791ffb', '79797979', '7879'].map(starts)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ])
})

test('waits for the rest of a frame that holds stop bytes', () => {
  const passthrough = frame(0x9b, '030d0a78780d0a', true)
  for (let cut = 2; cut < passthrough.length; cut += 2) {
    expect(framesOf(passthrough.slice(0, cut))).toEqual([])
  }
})

test('encodes commands as text', () => {
  const { commands } = adapter
  const stop = commands!.engineStop!({}, session())
  expect(commandBytes(stop)).toBe('787812800c0000000052656c61792c312300009dee0d0a')
  const resume = commands!.engineResume!({}, session())
  expect(commandBytes(resume)).toContain(text('Relay,0#'))
  const sos = commands!.custom!({ data: 'sos#' }, session())
  expect(commandBytes(sos)).toMatch(/^78780e800800000000736f73230000/)
})

test('encodes the relay commands of clones', () => {
  const clone = session({ options: { alternative: true, devicePassword: '654321' } })
  const stop = adapter.commands!.engineStop!({}, clone)
  expect(commandBytes(stop)).toContain(text('DYD,654321#'))
  const resume = adapter.commands!.engineResume!({}, clone)
  expect(commandBytes(resume)).toContain(text('HFYD,654321#'))
})

test('refuses a command that no frame holds', () => {
  const custom = (length: number) => adapter.commands!.custom!({ data: 'x'.repeat(length) }, session())
  expect((custom(245) as Buffer)[2]).toBe(255)
  expect(() => custom(246)).toThrow(CommandError)
})

test('numbers commands, and finds the number again in the answer', () => {
  const device = session()
  device.commandSerial = 0x01020304
  expect(commandBytes(adapter.commands!.custom!({ data: 'sos#' }, device))).toContain('0801020304736f7323')
  const out = new PositionBatch(8)
  const answers = [
    frame(0x15, `0b01020304${text('DYD=Suc')}0001`),
    frame(0x21, `0102030401${text('DYD=Fail!')}`, true),
  ]
  for (const answer of answers) decodeFrame(adapter, Buffer.from(answer, 'hex'), device, out)
  expect(device.answers).toEqual([
    { serial: 0x01020304, ok: true, text: 'DYD=Suc' },
    { serial: 0x01020304, ok: false, text: 'DYD=Fail!' },
  ])
})

test('has no refusal: an unregistered device is not answered', () => {
  expect(adapter.refuse).toBeUndefined()
})

test('a message without content, serial number and checksum has the digest of its type', () => {
  const out = new PositionBatch(8)
  for (const bytes of ['7878011345850d0a', '7878011345860d0a']) {
    decodeFrame(adapter, Buffer.from(bytes, 'hex'), session(), out)
  }
  expect([...out.recordStart.subarray(0, 2)]).toEqual([3, 3])
  expect([...out.recordEnd.subarray(0, 2)]).toEqual([4, 4])
  expect(out.digestLow[0]).toBe(out.digestLow[1])
})

test('reads what follows a list of cells that is not filled', () => {
  const unfilled = `00${'000000000004'}${'00'.repeat(39)}`
  const line = decode(LOGIN, frame(0x16, `${GPS.slice(0, 36)}${unfilled}7e061b0982`))
  expect(line.positions[0]!.attributes).toMatchObject({
    batteryLevel: 100,
    rssi: 27,
    alarm: 'removing,vibration',
    ignition: true,
    charge: true,
  })
})

test('reads an answer whose length was left 0', () => {
  const device = session()
  const content = `0000000005${text('DYD=Success!')}${'00'.repeat(20)}0001`
  decodeFrame(adapter, Buffer.from(frame(0x15, content), 'hex'), device, new PositionBatch(8))
  expect(device.answers).toEqual([{ serial: 5, ok: true, text: 'DYD=Success!' }])
})

test('speaks to clones by their model and options', () => {
  const of = (device: Partial<KnownDevice>) =>
    commandBytes(adapter.commands?.engineStop?.({}, session(device)))
  expect(of({ model: 'G109' })).toContain(text('DYD#'))
  expect(of({ options: { alternative: true, devicePassword: '4321' } })).toContain(text('DYD,4321#'))
  expect(() => of({ options: { alternative: true, devicePassword: 'a#b' } })).toThrow(CommandError)
  expect(of({ options: { language: true } })).toMatch(
    new RegExp(`0c00000000${text('Relay,1#')}00020000.{4}0d0a$`),
  )
})
