/** What the recorded frames of JT/T 808 do not hold: its other forms, records sent again, damage, commands, refusal. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { QUALITY } from '../../schemas/quality.ts'
import { type Adapter, CommandError, DecodeError, type KnownDevice } from '../adapter.ts'
import { xor8 } from '../checksums.ts'
import { DeviceSession, decodeFrame, repliesOf } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { jt808 } from './jt808.ts'

const adapter = jt808 as Adapter
const RECEIVED_MS = Date.UTC(2024, 9, 29, 13, 40, 0)
const TERMINAL = '013912344323'
/** Alarm sos, ignition and fix, 31.000562 N 121.451372 E, 666 m, 78 km/h, 92°, 2024-10-29 21:39:03 +08:00. */
const LOCATION = '000000010000000301d907f2073d336c029a030c005c241029213903'

/** A frame before its escapes, with any header. */
function plain(head: string, body: string): Buffer {
  const bytes = Buffer.from(`7e${head}${body}007e`, 'hex')
  bytes[bytes.length - 2] = xor8(bytes, 1, bytes.length - 2)
  return bytes
}

const hex = (value: number, bytes: number) => value.toString(16).padStart(2 * bytes, '0')

/** A frame of 2013. */
function frame(type: number, body: string, serial = 7, attributes = 0): Buffer {
  return plain(`${hex(type, 2)}${hex(attributes | (body.length / 2), 2)}${TERMINAL}${hex(serial, 2)}`, body)
}

function decode(bytes: Buffer, device: Partial<KnownDevice> = {}): DecodedLine {
  const { model = '', options = {} } = device
  return new RecordedStream(adapter).decode(
    {
      protocol: 'jt808',
      stream: 1,
      transport: 'frame',
      frame: bytes.toString('hex'),
      setup: { ...options, modelOverride: model },
    },
    RECEIVED_MS,
  )
}

function session(device: Partial<KnownDevice> = {}): DeviceSession {
  const created = new DeviceSession(adapter, 'tcp', () => ({ model: '', options: {}, ...device }))
  created.receivedMs = RECEIVED_MS
  return created
}

/** A session of a device that sent a frame. */
function connected(bytes: Buffer, device: Partial<KnownDevice> = {}): DeviceSession {
  const created = session(device)
  decodeFrame(adapter, bytes, created, new PositionBatch(8))
  return created
}

function batchOf(bytes: Buffer): PositionBatch {
  const batch = new PositionBatch(8)
  decodeFrame(adapter, bytes, session(), batch)
  return batch
}

function framesOf(bytes: string): string[] {
  const reader = new FrameReader(adapter, 'tcp')
  reader.push(Buffer.from(bytes, 'hex'))
  const frames: string[] = []
  for (let next = reader.next(); next !== undefined; next = reader.next()) frames.push(next.toString('hex'))
  return frames
}

const encoded = (reply: unknown) => (reply as Buffer).toString('hex')
const codeOf = (run: () => unknown) => {
  try {
    run()
  } catch (error) {
    return error instanceof DecodeError ? error.code : error
  }
  return undefined
}

test('reads a location report of the standard', () => {
  const line = decode(frame(0x0200, `${LOCATION}01040000000c`))
  expect(line.error).toBeNull()
  expect(line.positions).toEqual([
    {
      device: '13912344323',
      deviceTime: '2024-10-29T13:39:03.000Z',
      fixTime: '2024-10-29T13:39:03.000Z',
      valid: true,
      latitude: 31.000562,
      longitude: 121.451372,
      altitude: 666,
      speed: 78,
      course: 92,
      attributes: { alarm: 'sos', ignition: true, blocked: false, charge: false, odometer: 1200 },
    },
  ])
  expect(line.replies).toEqual([encoded(frame(0x8001, '0007020000', 0))])
})

test('reads and answers the form of 2019', () => {
  const terminal = `00000000${TERMINAL}`
  const location = plain(`0200401c01${terminal}0007`, LOCATION)
  const line = decode(location)
  expect(line.positions).toMatchObject([{ device: '13912344323', latitude: 31.000562 }])
  expect(line.replies).toEqual([encoded(plain(`8001400501${terminal}0000`, '0007020000'))])
  expect(encoded(adapter.commands!.rebootDevice!({}, connected(location)))).toBe(
    encoded(plain(`8105400101${terminal}0000`, '04')),
  )
})

test('reads, answers and commands a device with the other delimiter', () => {
  const body = `${LOCATION}0104e6e73e3d`
  const head = `0200${hex(body.length / 2, 2)}02${TERMINAL}0007`
  const bytes = Buffer.from(`e7${head}${body}00e7`, 'hex')
  bytes[bytes.length - 2] = xor8(bytes, 1, bytes.length - 2)
  const wire = bytes.toString('hex').replace('e6e73e3d', 'e601e6023e013e02')
  expect(framesOf(wire)).toEqual([bytes.toString('hex')])
  const created = connected(bytes)
  expect(created.uniqueId).toBe(`2${TERMINAL}`)
  const [reply] = repliesOf(adapter, bytes, created)
  expect(reply!.toString('hex')).toMatch(/^e7800100050201391234432300000007020000..e7$/)
  expect(encoded(adapter.commands!.engineStop!({}, created))).toMatch(/^e781050001020139123443230000f0..e7$/)
})

test('writes delimiters and escapes inside a frame as two bytes', () => {
  const reply = encoded(
    adapter.commands!.positionPeriodic!({ frequency: 0x7d7e }, connected(frame(0x0002, ''))),
  )
  expect(reply).toContain('00007d017d02')
  const [read] = framesOf(reply)
  expect(read).toContain('00007d7e')
})

test('finds its frames behind what is lost of another', () => {
  const whole = encoded(frame(0x0002, ''))
  expect(framesOf(`0102${whole}`)).toEqual([whole])
  expect(framesOf(`7e${whole}${whole}`)).toEqual([whole, whole])
  expect(framesOf(whole.slice(0, -2))).toEqual([])
  expect(framesOf(`28${'00'.repeat(520)}${whole}`)).toEqual([whole])
})

test('a report is the same record in a message, sent again, and in a batch', () => {
  const digestOf = (bytes: Buffer, row = 0) => {
    const batch = batchOf(bytes)
    return [batch.digestHigh[row], batch.digestLow[row]]
  }
  const report = `${LOCATION}300112`
  const first = digestOf(frame(0x0200, report, 1))
  expect(digestOf(frame(0x0200, report, 2))).toEqual(first)
  const other = report.replace('300112', '300113')
  const batch = frame(0x0704, `000201${hex(31, 2)}${other}${hex(31, 2)}${report}`)
  expect(digestOf(batch, 1)).toEqual(first)
  expect(digestOf(batch, 0)).not.toEqual(first)
})

test('a batch keeps the reports beside one that is too short', () => {
  const line = decode(frame(0x0704, `000301${hex(28, 2)}${LOCATION}0002ffff${hex(28, 2)}${LOCATION}`))
  expect(line.positions).toHaveLength(2)
  expect(line.positions[1]!.attributes.archive).toBe(true)
  expect(line.replies).toHaveLength(1)
})

test('a batch that ends before its reports is malformed', () => {
  expect(decode(frame(0x0704, `000201${hex(28, 2)}${LOCATION}${hex(28, 2)}0000`)).error?.code).toBe(
    'malformed',
  )
})

test('reads the batch whose reports have a length of one byte, and the battery in its place', () => {
  expect(decode(frame(0x0210, `1c${LOCATION}1c${LOCATION}`)).positions).toHaveLength(2)
  expect(decode(frame(0x0210, '55241029213903')).positions).toEqual([
    {
      device: '13912344323',
      noFix: true,
      deviceTime: '2024-10-29T13:39:03.000Z',
      attributes: { batteryLevel: 85 },
    },
  ])
})

test('an item that is too short or too long costs neither the fix nor the items before it', () => {
  const line = decode(frame(0x0200, `${LOCATION}30011f010200013104`))
  expect(line.error).toBeNull()
  expect(line.positions[0]!.attributes).toEqual({
    alarm: 'sos',
    ignition: true,
    blocked: false,
    charge: false,
    rssi: 31,
  })
})

test('a message with a wrong checksum is kept, and marked', () => {
  const bytes = frame(0x0200, LOCATION)
  bytes[bytes.length - 2]! ^= 0xff
  expect(batchOf(bytes).quality[0]! & QUALITY.checksum).toBe(QUALITY.checksum)
  expect(batchOf(frame(0x0200, LOCATION)).quality[0]! & QUALITY.checksum).toBe(0)
})

test('a message that ends before its fields is malformed, and damaged with a wrong checksum', () => {
  const short = frame(0x0200, LOCATION.slice(0, 20))
  expect(codeOf(() => batchOf(short))).toBe('malformed')
  short[short.length - 2]! ^= 0xff
  expect(codeOf(() => batchOf(short))).toBe('checksum')
})

test('an encrypted message and a part of one are not read', () => {
  expect(codeOf(() => batchOf(frame(0x0200, LOCATION, 7, 1 << 10)))).toBe('unsupported')
  // Two packages, the first of which has a report.
  const part = plain(`0200${hex((1 << 13) | 28, 2)}${TERMINAL}0007`, `00020001${LOCATION}`)
  expect(codeOf(() => batchOf(part))).toBe('unsupported')
  // A body that is longer than ten bits can say is no encrypted one.
  const long = `${LOCATION}${`3fff${'00'.repeat(255)}`.repeat(4)}`
  expect(batchOf(frame(0x0200, long)).length).toBe(1)
})

test('the zone of a device that is not in China is an option', () => {
  const at = (timezoneMinutes: number) =>
    decode(frame(0x0200, LOCATION), { options: { timezoneMinutes } }).positions[0]!.fixTime
  expect(at(0)).toBe('2024-10-29T21:39:03.000Z')
  expect(at(-180)).toBe('2024-10-30T00:39:03.000Z')
})

test('names a terminal by the IMEI that it sends as a number', () => {
  const bytes = plain('000200000b3a73ce2ff20001', '')
  expect(connected(bytes).uniqueId).toBe('123456789012347')
})

test('a terminal may be registered with its leading zeros', () => {
  const created = new DeviceSession(adapter, 'tcp', (id) =>
    id === TERMINAL ? { model: '', options: {} } : undefined,
  )
  decodeFrame(adapter, frame(0x0002, ''), created, new PositionBatch(8))
  expect(created.uniqueId).toBe(TERMINAL)
})

test('answers to commands name them', () => {
  expect(connected(frame(0x0001, '0005810500')).answers).toEqual([{ serial: 5, ok: true, text: '' }])
  expect(connected(frame(0x0001, '0005810503')).answers).toEqual([
    { serial: 5, ok: false, text: 'not supported' },
  ])
  expect(connected(frame(0x1300, '00060041006200200000')).answers).toEqual([
    { serial: 6, ok: true, text: 'Ab' },
  ])
  expect(connected(frame(0x6006, '01c4e3bac3')).answers).toEqual([{ ok: true, text: '你好' }])
  const queried = connected(frame(0x0201, `0009${LOCATION}`))
  expect(queried.answers).toEqual([{ serial: 9, ok: true, text: '' }])
})

test('commands are numbered, so that answers can name them', () => {
  const created = connected(frame(0x0002, ''))
  created.commandSerial = 0x1234
  expect(encoded(adapter.commands!.positionSingle!({}, created))).toBe(encoded(frame(0x8201, '', 0x1234)))
})

test('tells the time where it is asked for', () => {
  const line = decode(frame(0x0109, ''))
  expect(line.replies).toEqual([encoded(frame(0x8109, '07e80a1d0d280000', 0))])
  const text = new RecordedStream(adapter).decode(
    {
      protocol: 'jt808',
      stream: 1,
      transport: 'tcp',
      bytes: Buffer.from('(794104004140,1,001,BASE,2,TIME)').toString('hex'),
    },
    RECEIVED_MS,
  )
  expect(Buffer.from(text.replies[0]!, 'hex').toString()).toBe('(794104004140,1,001,BASE,2,20241029134000)')
})

test('the shutdown, a question for the identity and the settings are read', () => {
  expect(decode(frame(0x0003, '')).replies).toHaveLength(1)
  const settings = `00070200000001040000003c0000008308${'d4c14131323300'.padEnd(16, '0')}`
  expect(decode(frame(0x0104, settings)).positions).toMatchObject([
    { noFix: true, attributes: { heartbeatInterval: 60, plateNumber: '粤A123' } },
  ])
  const card = `01${'241029213903'}00${'04'}${'4a6f6e65'}${'31'.repeat(20)}${'02'}${'4341'}${'20301231'}`
  expect(decode(frame(0x0702, card)).positions).toMatchObject([
    {
      noFix: true,
      deviceTime: '2024-10-29T13:39:03.000Z',
      attributes: {
        cardStatus: 1,
        cardResult: 0,
        driver: 'Jone',
        cardCode: '1'.repeat(20),
        cardAgency: 'CA',
        cardValidity: '20301231',
      },
    },
  ])
})

test('a card that is out has a time alone', () => {
  expect(decode(frame(0x0702, '02241029213903')).positions).toMatchObject([
    { noFix: true, deviceTime: '2024-10-29T13:39:03.000Z', attributes: { cardStatus: 2 } },
  ])
})

test('the result of a command keeps the line ends of the device', () => {
  const { positions } = decode(frame(0x6006, `01${Buffer.from('IP:1.2.3.4\r\n').toString('hex')}`))
  expect(positions).toMatchObject([{ attributes: { result: 'IP:1.2.3.4\r\n' } }])
})

test('18 bytes behind a location are items where they are as long as items say, else fixed fields', () => {
  const items = '01040000000c' + '300119' + '31010a' + '250400000003'
  const list = { odometer: 1200, rssi: 25, sat: 10, input: 3 }
  expect(decode(frame(0x0200, LOCATION + items)).positions).toMatchObject([{ attributes: list }])
  expect(decode(frame(0x0704, `000100002e${LOCATION}${items}`)).positions).toMatchObject([
    { attributes: list },
  ])
  const fixed = '00000000' + '00000007' + '0078' + '00000000' + '18000000'
  expect(decode(frame(0x0200, LOCATION + fixed)).positions).toMatchObject([
    { attributes: { odometer: 7000, battery: 12, rssi: 24 } },
  ])
})

test('an item of an engine whose length is damaged is as long as its kind', () => {
  const items = '800100' + '84015a' + '0288007b' + '890114'
  expect(decode(frame(0x0200, LOCATION + items)).positions).toMatchObject([
    { attributes: { coolantTemp: 50, fuel: 12.3, throttle: 20 } },
  ])
})

test('a device that is not registered is refused, and keeps its data', () => {
  const refusal = (bytes: Buffer) => encoded(adapter.refuse!(bytes, connected(bytes)))
  expect(refusal(frame(0x0200, LOCATION))).toBe(encoded(frame(0x8001, '0007020001', 0)))
  expect(refusal(frame(0x0100, '00'.repeat(40)))).toBe(encoded(frame(0x8100, '000704', 0)))
})

test('the relay command is that of the device', () => {
  const stop = (device: Partial<KnownDevice>) =>
    encoded(adapter.commands!.engineStop!({}, connected(frame(0x0002, ''), device)))
  expect(stop({ model: 'VL300' })).toBe(encoded(frame(0x8105, '23303b31', 0)))
  expect(stop({ model: 'W15L' })).toBe(encoded(frame(0x8105, '64', 0)))
  expect(stop({ options: { alternative: true } })).toBe(encoded(frame(0xa006, '01241029214000', 0)))
  const created = connected(frame(0x0002, ''))
  expect(encoded(adapter.commands!.alarmArm!({}, created))).toBe(
    encoded(frame(0x0310, '0124050175736572', 0)),
  )
})

test('a text command takes the message that the model reads', () => {
  const custom = (data: string, model = '') =>
    encoded(adapter.commands!.custom!({ data }, connected(frame(0x0002, ''), { model })))
  expect(custom('AT+1', 'GL100')).toBe(encoded(frame(0x8103, '010000f0300441542b31', 0)))
  expect(custom('A', 'C5L')).toBe(encoded(frame(0x8300, '0141', 0)))
  expect(custom('A')).toBe(encoded(frame(0x8300, '0141', 0)))
  expect(custom('A~}')).toBe(encoded(frame(0x8300, '01417e7d', 0)).replace('7e7d', '7d027d01'))
  expect(() => custom('a\nb')).toThrow(CommandError)
  expect(() => custom('ü')).toThrow(CommandError)
  expect(() => custom('x'.repeat(256), 'GL100')).toThrow(CommandError)
  expect(() => custom('x'.repeat(1023))).toThrow(CommandError)
})

test('a camera is told where its picture goes', () => {
  const start = (options: KnownDevice['options']) =>
    adapter.commands!.videoStart!({ index: 2 }, connected(frame(0x0002, ''), { options }))
  expect(encoded(start({ videoServer: 'a.bc', videoPort: 1078 }))).toBe(
    encoded(frame(0x9101, '04612e626304360000020100', 0)),
  )
  expect(() => start({})).toThrow(CommandError)
  expect(() => start({ videoServer: 'a.bc', videoPort: 70_000 })).toThrow(CommandError)
  expect(encoded(adapter.commands!.videoStop!({}, connected(frame(0x0002, ''))))).toBe(
    encoded(frame(0x9102, '01000000', 0)),
  )
})

test('its first bytes are not those of others that begin with 7E', () => {
  const starts = (bytes: string) => adapter.starts!(Buffer.from(bytes, 'hex'), 'tcp')
  expect(starts('7e')).toBeUndefined()
  expect(starts('7e01')).toBeUndefined()
  expect(starts('7e0100002d01')).toBeUndefined()
  expect(starts('7e0100002d014130567872')).toBe(true)
  expect(starts('7e010200204f07788ef676')).toBe(true)
  expect(starts('7e010200204f07788ef67d')).toBeUndefined()
  expect(starts('7e010200204f07788ef67d01')).toBe(true)
  expect(starts('7e01020020ff07788ef676')).toBe(false)
  expect(starts('7e0100405c010000086649607758')).toBeUndefined()
  expect(starts('7e0100405c01000008664960775821645218')).toBe(true)
  expect(starts('7e7d0202')).toBe(false)
  expect(starts('7e0042000000146310')).toBe(false)
  expect(starts('7e3030')).toBe(false)
  // Encrypted from the first message on, no device is.
  expect(starts('7e0100042d01')).toBe(false)
  expect(starts(Buffer.from('(740190311185,1,001,ELOCK').toString('hex'))).toBe(true)
  expect(starts(Buffer.from('(3301210003,U01').toString('hex'))).toBe(false)
})
