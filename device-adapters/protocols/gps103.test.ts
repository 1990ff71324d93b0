/** What the recorded frames of GPS103 do not hold: the rest of its document, answers, damaged frames, and commands. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { CommandError, type Transport } from '../adapter.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { gps103 } from './gps103.ts'

const IMEI = '359586015829802'
const PLACE = 'A,2234.4026,N,11354.3277,E,0.00,'
const RECEIVED_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

function decode(text: string, transport: Transport = 'tcp'): DecodedLine {
  return new RecordedStream(gps103).decode(
    { protocol: 'gps103', stream: 1, transport, bytes: Buffer.from(text).toString('hex') },
    RECEIVED_MS,
  )
}

/** The only position of a report. */
function reportOf(keyword: string, rest = `1303081934,,F,193427.000,${PLACE};`) {
  const { positions, error } = decode(`imei:${IMEI},${keyword},${rest}`)
  expect(error).toBeNull()
  expect(positions).toHaveLength(1)
  return positions[0]!
}

const textsOf = ({ replies }: DecodedLine) => replies.map((reply) => Buffer.from(reply, 'hex').toString())

test.each([
  ['low battery', 'lowBattery'],
  ['stockade', 'geofence'],
  ['speed', 'overspeed'],
  ['door alarm', 'door'],
  ['accident alarm', 'accident'],
  ['bonnet alarm', 'bonnet'],
  ['footbrake alarm', 'footBrake'],
])('reads the keyword %s as the alarm %s', (keyword, alarm) => {
  expect(reportOf(keyword).attributes).toEqual({ alarm })
})

test('reads the temperature and the fuel that are part of the keyword', () => {
  expect(reportOf('T:+28.5').attributes).toEqual({ alarm: 'temperature', temp1: 28.5 })
  expect(reportOf('T:-3', `1303081934,,F,193427.000,${PLACE}0,,1,0,,,-4;`).attributes).toMatchObject({
    temp1: -4,
  })
  expect(reportOf('oil 51.6').attributes).toEqual({ alarm: 'fuelLeak', fuel: 51.6 })
})

test('reads the ignition from the keyword, unless the report has a field for it', () => {
  expect(reportOf('acc off').attributes).toEqual({ ignition: false })
  expect(reportOf('acc on', ',,L,,,296a,,51f7,,,;').attributes).toEqual({ ignition: true })
  expect(reportOf('acc on', `1303081934,,F,193427.000,${PLACE}0,,0;`).attributes).toEqual({ ignition: false })
})

test('tells a photo when its last part is there, of as many as the report before them says', () => {
  const stream = new RecordedStream(gps103)
  const send = (text: string) => {
    const bytes = Buffer.from(`imei:${IMEI},${text};`).toString('hex')
    const line = stream.decode({ protocol: 'gps103', stream: 1, transport: 'tcp', bytes }, RECEIVED_MS)
    expect(line.error).toBeNull()
    return line.positions
  }
  expect(send('vr,0100fa01ffd9')).toEqual([])
  expect(send(`vt2,1303081934,,F,193427.000,${PLACE}`)).toMatchObject([{ attributes: {} }])
  expect(send('vr,0000fa01ffd8')).toEqual([])
  expect(send('vr,0100fa01ffd9')).toMatchObject([{ noFix: true, attributes: { image: true } }])
})

test.each([
  ['1303092330,,F,153000.000', '2013-03-09T15:30:00.000Z', 'east of Greenwich'],
  ['1303100130,,F,173012.000', '2013-03-09T17:30:12.000Z', 'east, past midnight'],
  ['1303092230,,F,033012.000', '2013-03-10T03:30:12.000Z', 'west, before midnight'],
  ['1303100515,,F,233000.000', '2013-03-09T23:30:00.000Z', 'at a quarter of an hour'],
  ['130310051559,,F,', '2013-03-10T05:15:00.000Z', 'without a time in UTC'],
])('takes the offset out of the local time %s', (times, fixTime) => {
  expect(reportOf('tracker', `${times},${PLACE};`).fixTime).toBe(fixTime)
})

test('marks a position without a date as one without a time', () => {
  const batch = new PositionBatch(8)
  const session = new DeviceSession(gps103, 'tcp', () => undefined)
  session.receivedMs = RECEIVED_MS
  decodeFrame(gps103, Buffer.from(`imei:${IMEI},tracker,,,F,193427.000,${PLACE};`), session, batch)
  expect(batch.fixTimeMs[0]).toBe(RECEIVED_MS)
  expect(batch.deviceTimeMs[0]).toBeNaN()
})

test('answers a heartbeat, and the report that follows it without a delimiter', () => {
  expect(decode(`${IMEI};`)).toMatchObject({ positions: [], error: null })
  expect(textsOf(decode(`${IMEI};`))).toEqual(['ON'])
  const line = decode(`${IMEI}imei:${IMEI},help me,1303081934,,F,193427.000,${PLACE};`)
  expect(line.positions).toMatchObject([{ device: IMEI, attributes: { alarm: 'sos' } }])
  expect(textsOf(line)).toEqual(['ON', `**,imei:${IMEI},E;`])
})

test('reads every report of a datagram', () => {
  const report = `imei:${IMEI},tracker,1303081934,,F,193427.000,${PLACE}`
  expect(decode(`${report};\r\n${report}`, 'udp').positions).toHaveLength(2)
})

test('drops line ends and delimiters between frames', () => {
  const { positions } = decode(`\r\n;##,imei:${IMEI},A;\r\nimei:${IMEI},move,1303081934,,F,,${PLACE};\n`)
  expect(positions).toMatchObject([{ attributes: { alarm: 'movement' } }])
})

test('reads event, sensor and error of a report in degrees', () => {
  const line = decode(
    `imei:${IMEI},Unit 1,door,S7,3.65,214734,241018,26,0,-33.42317,-70.61930,067,229,-004,1.00,08,1,0,E2,*`,
  )
  expect(line.positions).toMatchObject([
    {
      valid: false,
      altitude: -4,
      attributes: {
        event: 'door',
        sensorId: 'S7',
        sensorVoltage: 3.65,
        ignition: true,
        charge: false,
        error: 'E2',
      },
    },
  ])
})

test.each([
  `imei:${IMEI},tracker,1303081934,,F,193427.000,X,2234.4026,N,11354.3277,E,0.00,;`,
  `imei:${IMEI},tracker,1303081934,,F,193427.000,A,22.4026,N,11354.3277,E,0.00,;`,
  `imei:${IMEI},tracker,1303081934,,G,193427.000,${PLACE};`,
  `imei:${IMEI},tracker,13-03-08,,F,193427.000,${PLACE};`,
  `imei:${IMEI},OBD,130308193427,1,2,3;`,
  `imei:${IMEI},Unit 1,---,---,----,214734,241018,26,1,*`,
  'imei:,tracker,1303081934,,F,193427.000,A,2234.4026,N,11354.3277,E;',
])('finds %s malformed, and answers nothing', (text) => {
  expect(decode(text)).toMatchObject({ positions: [], replies: [], error: { code: 'malformed' } })
})

test('takes a keyword that names a command for its answer, but not the one to the reply of an alarm', () => {
  const answersTo = (keyword: string) => {
    const session = new DeviceSession(gps103, 'tcp', () => undefined)
    const report = `imei:${IMEI},${keyword},1303081934,,F,193427.000,${PLACE};`
    decodeFrame(gps103, Buffer.from(report), session, new PositionBatch(8))
    return session.answers
  }
  expect(answersTo('jt')).toEqual([{ ok: true, text: 'jt' }])
  expect(answersTo('vt14')).toEqual([{ ok: true, text: 'vt14' }])
  expect(answersTo('et')).toEqual([])
  expect(answersTo('tracker')).toEqual([])
  expect(reportOf('jt').attributes).toEqual({ event: 'jt' })
})

const session = () => {
  const named = new DeviceSession(gps103, 'tcp', () => undefined)
  named.identify(IMEI)
  return named
}

test.each([
  [1, '01s'],
  [45, '45s'],
  [60, '01m'],
  [90, '90s'],
  [5400, '90m'],
  [7200, '02h'],
])('asks for a report every %i seconds as %s', (frequency, text) => {
  expect(gps103.commands!.positionPeriodic!({ frequency }, session())).toBe(`**,imei:${IMEI},C,${text}`)
})

test.each([0, 101, 604_800])('knows no way to ask for a report every %i seconds', (frequency) => {
  expect(() => gps103.commands!.positionPeriodic!({ frequency }, session())).toThrow(CommandError)
})

test('encodes each command as its letter', () => {
  const { commands } = gps103
  expect(commands!.engineStop!({}, session())).toBe(`**,imei:${IMEI},J`)
  expect(commands!.engineResume!({}, session())).toBe(`**,imei:${IMEI},K`)
  expect(commands!.positionSingle!({}, session())).toBe(`**,imei:${IMEI},B`)
  expect(commands!.positionStop!({}, session())).toBe(`**,imei:${IMEI},A`)
  expect(commands!.alarmArm!({}, session())).toBe(`**,imei:${IMEI},L`)
  expect(commands!.alarmDisarm!({}, session())).toBe(`**,imei:${IMEI},M`)
  expect(commands!.requestPhoto!({}, session())).toBe(`**,imei:${IMEI},160`)
})

test('refuses control characters in a command of the operator', () => {
  expect(() => gps103.commands!.custom!({ data: 'H,080\r\n**,imei:1,J' }, session())).toThrow(CommandError)
})

test('knows a stream by its first bytes', () => {
  const starts = (text: string, transport: Transport = 'tcp') => gps103.starts!(Buffer.from(text), transport)
  expect(starts('##,im')).toBeUndefined()
  expect(starts(`##,imei:${IMEI},A;`)).toBe(true)
  expect(starts(`${IMEI};`)).toBe(true)
  expect(starts(IMEI)).toBeUndefined()
  expect(starts(IMEI, 'udp')).toBe(true)
  expect(starts(`${IMEI},`)).toBe(false)
  expect(starts('imei,')).toBe(false)
})
