/** What the recorded messages of Queclink do not hold: the rest of its documents, damage, commands and their answers. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type Adapter, CommandError, DecodeError, type KnownDevice, type Transport } from '../adapter.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { gl200 } from './gl200.ts'

const adapter = gl200 as Adapter
const RECEIVED_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const IMEI = '135790246811220'
const FIX = '4.3,92,70.0,121.354335,31.222073,20090214013254'
const CELL = '0460,0000,18d8,6141'
const SENT = '20090214093254,11F0'
const PLACE = { latitude: 31.222073, longitude: 121.354335, altitude: 70, speed: 4.3, course: 92 }

function decode(
  text: string,
  setup: Record<string, unknown> = {},
  transport: Transport = 'tcp',
): DecodedLine {
  const bytes = Buffer.from(`${text}$`, 'latin1').toString('hex')
  return new RecordedStream(adapter).decode(
    { protocol: 'gl200', stream: 1, transport, bytes, setup },
    RECEIVED_MS,
  )
}

/** The only position of a report. */
function positionOf(text: string, setup: Record<string, unknown> = {}) {
  const { positions, error } = decode(text, setup)
  expect(error).toBeNull()
  expect(positions).toHaveLength(1)
  return positions[0]!
}

function sessionOf(options: Record<string, unknown> = {}): DeviceSession {
  const device: KnownDevice = { model: '', options }
  const session = new DeviceSession(adapter, 'tcp', () => device)
  session.receivedMs = RECEIVED_MS
  session.identify(IMEI)
  return session
}

function framesOf(bytes: string, transport: Transport = 'tcp'): string[] {
  const reader = new FrameReader(adapter, transport)
  reader.push(Buffer.from(bytes, 'latin1'))
  const frames: string[] = []
  for (let frame = reader.next(); frame !== undefined; frame = reader.next())
    frames.push(frame.toString('latin1'))
  return frames
}

/** Keys of the rows of a frame: time and digest. */
function keysOf(frame: string | Buffer): string[] {
  const batch = new PositionBatch(8)
  decodeFrame(adapter, Buffer.from(frame as string, 'latin1'), sessionOf(), batch)
  return Array.from({ length: batch.length }, (_, row) =>
    [batch.fixTimeMs[row], batch.digestHigh[row], batch.digestLow[row]].join(' '),
  )
}

test.each([
  ['SPD', { alarm: 'overspeed' }],
  ['TOW', { alarm: 'tow' }],
  ['IDL', { alarm: 'idle' }],
  ['EPN', { alarm: 'powerRestored' }],
  ['MPF', { alarm: 'powerCut' }],
  ['TEM', { alarm: 'temperature' }],
  ['JDR', { alarm: 'jamming' }],
  ['CRA', { alarm: 'accident' }],
  ['STC', { charge: false }],
  ['BTC', { charge: true }],
  ['PNL', {}],
])('finds the location of %s, and knows what it is about', (type, attributes) => {
  const position = positionOf(`+RESP:GT${type},1A0102,${IMEI},,0,${FIX},${CELL},00,${SENT}`)
  expect(position).toMatchObject({ ...PLACE, device: IMEI, fixTime: '2009-02-14T01:32:54.000Z' })
  expect(position.deviceTime).toBe('2009-02-14T09:32:54.000Z')
  expect(position.attributes).toMatchObject({ type, ...attributes })
  expect(position.network).toMatchObject({ cellTowers: [{ mcc: 460, mnc: 0, lac: 0x18d8, cid: 0x6141 }] })
})

test.each([
  ['HBM', '10', { alarm: 'hardBraking' }],
  ['HBM', '04', { alarm: 'hardAcceleration' }],
  ['HBM', '22', { alarm: 'hardCornering' }],
  ['DIS', '10', { in1: false }],
  ['DIS', '31', { in3: true }],
  ['NMR', '1', { motion: true }],
  // On is 0: the documents of GL300 and GV55 have it so.
  ['IGL', '00', { ignition: true }],
  ['IGL', '01', { ignition: false }],
])('takes from %s of type %s what it says', (type, reportType, attributes) => {
  const text = `+RESP:GT${type},270302,${IMEI},,,${reportType},1,1,${FIX},${CELL},00,0.0,${SENT}`
  expect(positionOf(text).attributes).toMatchObject({ type, ...attributes })
})

test.each([
  [
    `+RESP:GTDAR,DF0200,${IMEI},,1,3,,,1,${FIX},${CELL},,${SENT}`,
    { alarm: 'fatigueDriving', fatigueDegree: 3 },
  ],
  [`+RESP:GTDAR,DF0200,${IMEI},,2,0,,,1,${FIX},${CELL},,${SENT}`, { warningType: 2 }],
  [
    `+RESP:GTBAA,5E0100,${IMEI},,FF,1,1,0A,003F,name,F1E2D3C4B5A6,1,3000,21,40,1,${FIX},${CELL},,${SENT}`,
    {
      accessoryName: 'name',
      accessoryMac: 'F1E2D3C4B5A6',
      accessoryStatus: 1,
      accessoryVoltage: 3,
      accessoryTemp: 21,
      accessoryHumidity: 40,
    },
  ],
  [
    `+RESP:GTBID,5E0100,${IMEI},,1,1,000A,F1E2D3C4B5A6,2950,1,${FIX},${CELL},,${SENT}`,
    { accessoryMac: 'F1E2D3C4B5A6', accessoryVoltage: 2.95 },
  ],
  [
    `+RESP:GTLSA,DE0100,${IMEI},,0,1,2,1,${FIX},${CELL},18,0,2,81,1,0,-4.5,${SENT}`,
    { lightLevel: 2, batteryLevel: 81, temp1: -4.5 },
  ],
  [
    `+RESP:GTOBD,1F0109,${IMEI},1G1JC5444R7252367,gv500,0,78FFFF,1G1JC5444R7252367,1,12613,983A8140,900,50,83,8.5,120,7,1,2,01430422,20,30,60,6,1286,1,${FIX},${CELL},,12.5,${SENT}`,
    {
      rpm: 900,
      obdSpeed: 50,
      temp1: 83,
      fuelConsumption: '8.5',
      dtcsClearedDistance: 120,
      odbConnect: true,
      dtcsNumber: 2,
      dtcsCodes: '01430422',
      throttle: 20,
      fuel: 60,
      obdOdometer: 12_500,
    },
  ],
])('reads %s', (text, attributes) => {
  const position = positionOf(text)
  expect(position).toMatchObject(PLACE)
  expect(position.attributes).toMatchObject(attributes)
})

test('reads versions, text of the serial port, and the power of the device without a place', () => {
  expect(positionOf(`+RESP:GTVER,1A0102,${IMEI},,GL300,0100,010A,${SENT}`)).toMatchObject({
    noFix: true,
    deviceTime: '2009-02-14T09:32:54.000Z',
    attributes: { deviceType: 'GL300', versionFw: 256, versionHw: 266 },
  })
  expect(positionOf(`+RESP:GTDTT,410502,${IMEI},,,,1,4,4f4b0021,${SENT}`).attributes).toEqual({
    result: 'OK!',
    type: 'DTT',
  })
  expect(positionOf(`+RESP:GTPFA,1A0102,${IMEI},,${SENT}`).attributes).toEqual({
    alarm: 'powerOff',
    type: 'PFA',
  })
})

test('reads Wi-Fi between time and cell of a location', () => {
  const wifi = '2,c413e200ff14,-39,,,,c8d3ff04a837,-43,,,'
  const points = [
    { mac: 'c4:13:e2:00:ff:14', rssi: -39 },
    { mac: 'c8:d3:ff:04:a8:37', rssi: -43 },
  ]
  const fixed = positionOf(`+RESP:GTFRI,2C0402,${IMEI},,0,0,1,1,${FIX},${wifi},,,,,,63,${SENT}`)
  expect(fixed).toMatchObject({ ...PLACE, network: { wifi: points }, attributes: { batteryLevel: 63 } })
  const extended = positionOf(`+RESP:GTERI,C30303,${IMEI},,00000000,0,0,1,1,,,,,,,${wifi},,,,,,97,${SENT}`)
  expect(extended).toMatchObject({ noFix: true, network: { wifi: points }, attributes: { batteryLevel: 97 } })
})

test('takes the field for charging as charging, and the LED behind it not', () => {
  const inf = (charging: number, led: number) =>
    positionOf(`+RESP:GTINF,080100,${IMEI},,16,8986,16,0,1,11870,,4.1,${charging},${led},0,,,,,,,,,0,${SENT}`)
  expect(inf(1, 0).attributes).toMatchObject({ charge: true, power: 11.87, battery: 4.1 })
  expect(inf(0, 1).attributes).not.toHaveProperty('charge')
  for (const sensor of ['F1E2D3C4B5A6,21,40', ',F1E2D3C4B5A6,21,40']) {
    const text = `+RESP:GTINF,080100,${IMEI},,42,8986,16,0,1,${sensor},11870,,4.1,1,1,${SENT}`
    expect(positionOf(text).attributes).toMatchObject({
      deviceTemp: 21,
      humidity: 40,
      power: 11.87,
      motion: true,
    })
  }
})

test('reads ignition that the voltage tells, with and without its type', () => {
  const short = `+RESP:GTVGF,0F0100,${IMEI},,100,0,${FIX},${CELL},,12345:01:02,2.5,${SENT}`
  const long = `+RESP:GTVGF,0F0100,${IMEI},,00,2,100,0,${FIX},${CELL},,12345:01:02,2.5,${SENT}`
  for (const text of [short, long]) {
    expect(positionOf(text)).toMatchObject({
      ...PLACE,
      attributes: { ignition: false, hours: 44_442_062_000, odometer: 2500 },
    })
  }
})

test('keeps the battery of GL500 where it sees neither satellites nor cells', () => {
  const report = (level: string) =>
    decode(`+RESP:GTCTN,400201,${IMEI},,0,1,2,21.8,${level},0,,,,,,,,,,,,,,${SENT}`).positions
  expect(report('84')).toMatchObject([
    {
      noFix: true,
      deviceTime: '2009-02-14T09:32:54.000Z',
      attributes: { batteryLevel: 84, type: 'CTN' },
    },
  ])
  expect(report('')).toEqual([])
})

test('reads by the model as registered before that of the version', () => {
  const text = `+RESP:GTERI,1A0102,${IMEI},,00000000,12000,10,1,1,${FIX},${CELL},00,1.5,,1000,2000,3000,05,01,2,${SENT}`
  expect(positionOf(text).attributes).not.toHaveProperty('adc2')
  expect(positionOf(text, { modelOverride: 'gv200' }).attributes).toMatchObject({
    power: 12,
    odometer: 1500,
    adc1: 1,
    adc2: 2,
    adc3: 3,
    input: 5,
    output: 1,
  })
})

test('reads the sensors of ERI that its mask has', () => {
  const head = `+RESP:GTERI,060800,${IMEI},,000000`
  const base = `12351,10,1,1,${FIX},${CELL},00,1.5,,F80,,100,210100,2`
  const fuel = positionOf(`${head}1A,${base},1,28E17436,1,FFF0,2,1,40.5,100,2,41.5,101,${SENT}`).attributes
  expect(fuel).toMatchObject({ fuel1: 80, temp1: -1, fuel: 41.5 })
  const tags = positionOf(
    `+RESP:GTERI,DC0100,${IMEI},,00000100,12351,10,1,1,${FIX},${CELL},,1.5,,,,100,210100,2,1,0,6,4,4,0D1C,0012,E1F2,-3.5,${SENT}`,
  )
  expect(tags.attributes).toMatchObject({ tag1Id: 'E1F2', tag1Temp: -3.5, ignition: true })
})

test('keeps the place where masks and counts promise more than there is', () => {
  const promises = [
    `+RESP:GTERI,060800,${IMEI},,00000002,12351,10,1,1,${FIX},${CELL},00,1.5,,,,100,210100,2,99999999,1,${SENT}`,
    `+RESP:GTERI,060800,${IMEI},,00000000,12351,10,99999999,1,${FIX},${CELL},00,1.5,${SENT}`,
    `+RESP:GTCAN,310701,${IMEI},,10,0,FFFFFFFF,,1,1,${FIX},${CELL},${SENT}`,
  ]
  for (const text of promises) expect(positionOf(text)).toMatchObject(PLACE)
})

test('keeps a report that is sent again, after it waited, one record', () => {
  const text = (kind: string, count: string) =>
    `+${kind}:GTFRI,060228,${IMEI},,,10,1,1,${FIX},${CELL},00,1.5,,,,0,220101,,,,20090214093254,${count}`
  expect(keysOf(text('BUFF', '11F1'))).toEqual(keysOf(text('RESP', '11F0')))
  const other = text('RESP', '11F0').replace('220101', '210101')
  expect(keysOf(other)).not.toEqual(keysOf(text('RESP', '11F0')))
})

test('tells the locations of one report apart', () => {
  const text = `+RESP:GTFRI,060228,${IMEI},,,10,3,1,${FIX},${CELL},00,1,${FIX},${CELL},00,1,${FIX},${CELL},00,1.5,,,,0,220101,,,,${SENT}`
  expect(new Set(keysOf(text)).size).toBe(1)
  const moved = text.replace('121.354335', '121.354336')
  expect(new Set(keysOf(moved)).size).toBe(2)
  expect(keysOf(moved)[1]).toBe(keysOf(text)[1])
})

test('refuses what is no message', () => {
  const refused = [
    '+RESP',
    '+RESP:GTFRI',
    '+RESP:GTFRI,060228,12,',
    '+NACK:GTFRI,060228,135790246811220,1',
    '+',
  ]
  for (const text of refused) {
    expect(() => keysOf(text), text).toThrow(expect.objectContaining({ code: 'malformed' }))
  }
})

test('answers heartbeats, and reports where the device waits for it', () => {
  const replies = (text: string, setup = {}) =>
    decode(text, setup).replies.map((reply) => Buffer.from(reply, 'hex').toString())
  const heartbeat = `+ACK:GTHBD,1A0401,${IMEI},,20100214093254,11F2`
  const report = `+RESP:GTPNA,1A0102,${IMEI},,${SENT}`
  expect(replies(heartbeat)).toEqual(['+SACK:GTHBD,1A0401,11F2$'])
  expect(replies(heartbeat, { ack: true })).toEqual(['+SACK:GTHBD,1A0401,11F2$'])
  expect(replies(report)).toEqual([])
  expect(replies(report, { ack: true })).toEqual(['+SACK:11F0$'])
  expect(decode(heartbeat).positions).toEqual([])
})

test('takes an acknowledgement for the answer to a command', () => {
  const session = sessionOf()
  const batch = new PositionBatch(8)
  decodeFrame(adapter, Buffer.from(`+ACK:GTRTO,1A0102,${IMEI},,FFFF,${SENT}`), session, batch)
  decodeFrame(adapter, Buffer.from(`+ACK:GTHBD,1A0102,${IMEI},,${SENT}`), session, batch)
  expect(session.answers).toEqual([{ ok: true, text: '+ACK:GTRTO' }])
})

test('finds messages between dollars, NULs and line ends, and in datagrams with or without', () => {
  const a = `+RESP:GTPNA,1A0102,${IMEI},,${SENT}`
  const b = `+BUFF:GTPFA,1A0102,${IMEI},,${SENT}`
  expect(framesOf(`${a}$${b}$\r\n${a}\0noise${b}$`)).toEqual([a, b, a, b])
  expect(framesOf(`${a}$${b}`, 'udp')).toEqual([`${a}$`, b])
  expect(framesOf(`${a.slice(0, 20)}`)).toEqual([])
})

test('does not wait for binary frames of lengths that none has', () => {
  const text = `+RESP:GTPNA,1A0102,${IMEI},,${SENT}`
  expect(framesOf(`+RSP\x07\0\0\0\0\0\x01${text}$`)).toEqual([text])
  expect(framesOf(`+\0\0\x05${text}$`)).toEqual([text])
  expect(() => framesOf(`+RSP\x07\0\0\0\0\xff\xff${'\0'.repeat(9000)}`)).toThrow(DecodeError)
})

test('knows its streams by their first bytes, and those of others not', () => {
  const starts = (text: string, transport: Transport = 'tcp') =>
    adapter.starts!(Buffer.from(text, 'latin1'), transport)
  expect(starts(`+RESP:GTFRI,060228,${IMEI},`)).toBe(true)
  expect(starts(`+RESP:GTFRI,8020040305,${IMEI},`)).toBe(true)
  expect(starts('+BUFF:GTERI,060228,a10000499aef9b,')).toBe(true)
  expect(starts('+RESP:GTFRI,060228,1357')).toBeUndefined()
  expect(starts('+RSP\x07\0\0\0\0\0\x40')).toBe(true)
  expect(starts('+RSP\x07\0\0\0\0')).toBeUndefined()
  // GL100 has no version; in a datagram it cannot be mistaken for the middle of a stream.
  expect(starts(`+RESP:GTTRI,${IMEI},1,`)).toBe(false)
  expect(starts(`+RESP:GTTRI,${IMEI},1,`, 'udp')).toBe(true)
  for (const text of [
    '+RESP:XX',
    '+RESP:GTFRI,060228,12,',
    '+RSP\x07\0\0\0\0\0\x01',
    '+XYZ',
    '*HQ',
    '+\0\0\x38\x01',
  ]) {
    expect(starts(text), text).toBe(false)
  }
})

test('puts nothing into a command that would end it', () => {
  const { positionSingle, custom } = gl200.commands!
  const password = (devicePassword: unknown) => () => positionSingle!({}, sessionOf({ devicePassword }))
  expect(password('gv300')()).toBe('AT+GTRTO=gv300,1,,,,,,FFFF$')
  for (const bad of ['a,b', 'a$', 'a\n', '']) expect(password(bad)).toThrow(CommandError)
  expect(custom!({ data: 'AT+GTQRY=gv300,1,,,,,,0001$' }, sessionOf())).toBe('AT+GTQRY=gv300,1,,,,,,0001$')
  for (const data of ['AT\0', 'AT\r\n', 'AT\u00e9']) {
    expect(() => custom!({ data }, sessionOf())).toThrow(CommandError)
  }
})
