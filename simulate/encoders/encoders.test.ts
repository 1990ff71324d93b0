/** Holds every encoder to the server's own adapter of the protocol: what a device means is what is understood. */
import { describe, expect, test } from 'vitest'
import type { Adapter } from '../../device-adapters/adapter.ts'
import { DeviceSession, decodeFrame, repliesOf } from '../../device-adapters/decoder.ts'
import { FrameReader } from '../../device-adapters/frames.ts'
import { loadAdapters } from '../../device-adapters/registry.ts'
import { httpFrame, mqttFrame } from '../../device-adapters/requests.ts'
import { type Position, positionOf } from '../../schemas/position.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import type { Encoder, Report } from './encoder.ts'
import { ENCODERS, type SimulatedProtocol } from './index.ts'

const adapters = await loadAdapters()
const RECEIVED_MS = Date.UTC(2026, 10, 21, 9, 30)

const base: Report = {
  serial: 1,
  fixTimeMs: Date.UTC(2026, 10, 21, 9, 29, 58, 250),
  latitudeDeg: 30.2672123,
  longitudeDeg: -97.7430608,
  altitudeM: 149,
  speedKmh: 37.4,
  courseDeg: 201.3,
  satellites: 11,
  ignition: true,
  odometerM: 1_234_567,
  powerV: 27.6,
  batteryV: 4.1,
  signalBars: 4,
}
/** Every hemisphere, the edges of the minutes, and a device that stands. */
const reports: Report[] = [
  base,
  { ...base, serial: 2, latitudeDeg: -33.8688, longitudeDeg: 151.2093, courseDeg: 359.7 },
  { ...base, serial: 3, latitudeDeg: -0.00001, longitudeDeg: -0.9999999, speedKmh: 0, ignition: false },
  {
    ...base,
    serial: 4,
    latitudeDeg: 59.9999999,
    longitudeDeg: 179.99999,
    fixTimeMs: base.fixTimeMs + 86_400_000,
  },
  { ...base, serial: 65_535, speedKmh: 0.04, courseDeg: 0 },
]

/** What the protocol's numbers can tell: half a step of each. */
const STEPS: Record<SimulatedProtocol, { degrees: number; kmh: number; courseDeg: number }> = {
  teltonika: { degrees: 1e-7, kmh: 1, courseDeg: 1 },
  gt06: { degrees: 1 / 1_800_000, kmh: 1, courseDeg: 1 },
  h02: { degrees: 1 / 600_000, kmh: 0.02, courseDeg: 1 },
  meitrack: { degrees: 1e-6, kmh: 1, courseDeg: 1 },
  atrack: { degrees: 1e-6, kmh: 1, courseDeg: 1 },
  osmand: { degrees: 1e-7, kmh: 0.002, courseDeg: 0.1 },
  'mqtt-json': { degrees: 1e-7, kmh: 0.01, courseDeg: 0.1 },
  suntech: { degrees: 1e-6, kmh: 0.01, courseDeg: 0.01 },
  ruptela: { degrees: 1e-7, kmh: 1, courseDeg: 0.01 },
  gps103: { degrees: 1 / 600_000, kmh: 0.02, courseDeg: 0.01 },
  tk103: { degrees: 1 / 600_000, kmh: 0.1, courseDeg: 0.01 },
  watch: { degrees: 1e-6, kmh: 0.01, courseDeg: 0.1 },
  wialon: { degrees: 1 / 6_000_000, kmh: 0.01, courseDeg: 0.1 },
  eelink: { degrees: 1 / 1_800_000, kmh: 1, courseDeg: 1 },
  gl200: { degrees: 1e-6, kmh: 0.1, courseDeg: 1 },
  jt808: { degrees: 1e-6, kmh: 0.1, courseDeg: 1 },
  galileo: { degrees: 1e-6, kmh: 0.1, courseDeg: 0.1 },
}

/** Protocols of devices that are worn, not driven, or have inputs, of which none is the ignition's for sure. */
const WITHOUT_IGNITION: ReadonlySet<SimulatedProtocol> = new Set(['meitrack', 'watch', 'galileo'])

describe.each(Object.values(ENCODERS) as Encoder[])('$protocol', (encoder) => {
  const protocol = encoder.protocol as SimulatedProtocol
  const uniqueId = encoder.namedByImei ? '350000000022285' : '9000002228'
  const adapter = adapters.get(protocol)!
  const step = STEPS[protocol]

  test('has an adapter', () => expect(adapter).toBeDefined())

  test('is understood by the server', () => {
    const { positions, names } = receive(encoder, adapter, uniqueId, reports)
    expect(names).toEqual(new Set([uniqueId]))
    expect(positions).toHaveLength(reports.length)
    positions.forEach((position, i) => {
      const report = reports[i]!
      const fixTimeMs = Math.floor(report.fixTimeMs / encoder.timeStepMs) * encoder.timeStepMs
      expect(position.fixTime).toBe(new Date(fixTimeMs).toISOString())
      expect(position.valid).toBe(true)
      expect(off(position.latitude, report.latitudeDeg)).toBeLessThanOrEqual(step.degrees / 2 + 1e-9)
      expect(off(position.longitude, report.longitudeDeg)).toBeLessThanOrEqual(step.degrees / 2 + 1e-9)
      expect(off(position.speed, report.speedKmh)).toBeLessThanOrEqual(step.kmh / 2 + 1e-3)
      const turn = off(position.course, report.courseDeg)
      expect(Math.min(turn, 360 - turn)).toBeLessThanOrEqual(step.courseDeg / 2 + 1e-9)
      expect(position.attributes.ignition).toBe(WITHOUT_IGNITION.has(protocol) ? undefined : report.ignition)
    })
  })

  if (encoder.transport !== 'http' && encoder.transport !== 'mqtt') {
    test('understands the answers of the server', () => {
      const { answers } = receive(encoder, adapter, uniqueId, reports)
      let loggedIn = encoder.login === undefined
      let stored = 0
      const serials: number[] = []
      let rest = answers
      while (rest.length > 0) {
        const answer = encoder.answer(rest, loggedIn)!
        expect(answer.kind).toBe(loggedIn ? 'stored' : 'logged-in')
        loggedIn = true
        if (answer.stored !== undefined && 'serial' in answer.stored) serials.push(answer.stored.serial)
        else stored += answer.stored?.count ?? 0
        for (let cut = 1; cut < answer.length; cut++) {
          const early = encoder.answer(rest.subarray(0, cut), true)
          if (early !== undefined) expect(early.length).toBeLessThanOrEqual(cut)
        }
        rest = rest.subarray(answer.length)
      }
      if (serials.length > 0) expect(serials).toEqual(reports.map(({ serial }) => serial))
      else expect(stored).toBe(encoder.unanswered ? 0 : reports.length)
    })
  }
})

test('teltonika reports its readings', () => {
  const [position] = receive(ENCODERS.teltonika, adapters.get('teltonika')!, '350000000022285', [
    base,
  ]).positions
  expect(position).toMatchObject({ altitude: 149, satellites: 11 })
  expect(position!.attributes).toMatchObject({
    ignition: true,
    motion: true,
    odometer: 1_234_567,
    power: 27.6,
    battery: 4.1,
    rssi: 4,
  })
})

test('teltonika does not take a command for an answer', () => {
  const command = Buffer.from('000000000000000f0c010500000007676574696e666f0100004312', 'hex')
  expect(ENCODERS.teltonika.answer(command.subarray(0, 4), true)).toBeUndefined()
  expect(ENCODERS.teltonika.answer(command, true)).toEqual({ length: command.length, kind: 'other' })
})

test('meitrack reports its readings, the ignition as an input', () => {
  const sent = [base, { ...base, ignition: false }]
  const { positions } = receive(ENCODERS.meitrack, adapters.get('meitrack')!, '350000000022285', sent)
  expect(positions[0]).toMatchObject({ altitude: 149, satellites: 11 })
  expect(positions[0]!.attributes).toMatchObject({
    odometer: 1_234_567,
    power: 27.6,
    battery: 4.1,
    event: 35,
    status: 4,
  })
  expect(positions[1]!.attributes.status).toBe(0)
})

test('atrack reports its readings', () => {
  const [position] = receive(ENCODERS.atrack, adapters.get('atrack')!, '350000000022285', [base]).positions
  expect(position).toMatchObject({ altitude: 149, satellites: 11 })
  expect(position!.attributes).toMatchObject({
    odometer: 1_234_600,
    power: 27.6,
    battery: 4.1,
    type: 2,
    temp1: 200,
  })
})

test.each([
  ['meitrack', '@@A25,350000000022285,A10*58\r\n'],
  ['atrack', 'AT$INFO=?\r\n'],
] as const)('%s waits for the end of a command, and does not take it for an answer', (protocol, command) => {
  const { answer } = ENCODERS[protocol]
  expect(answer(Buffer.from(command.slice(0, 4)), true)).toBeUndefined()
  expect(answer(Buffer.from(command), true)).toEqual({ length: command.length, kind: 'other' })
})

test('gt06 sends a heartbeat that the server answers', () => {
  const adapter = adapters.get('gt06')!
  const session = new DeviceSession(adapter, 'tcp', () => ({ model: '', options: {} }))
  const batch = new PositionBatch(8)
  const { gt06 } = ENCODERS
  const answers = [gt06.login!('350000000022285'), gt06.heartbeat!()].map((frame) => {
    decodeFrame(adapter, frame, session, batch)
    return gt06.answer(Buffer.concat(repliesOf(adapter, frame, session)), false)
  })
  expect(answers).toMatchObject([{ kind: 'logged-in' }, { kind: 'other' }])
})

test('suntech reports its readings', () => {
  const [position] = receive(ENCODERS.suntech, adapters.get('suntech')!, '9000002228', [base]).positions
  expect(position).toMatchObject({ satellites: 11 })
  expect(position!.attributes).toMatchObject({ rssi: 4, index: 1, io1: '4.1', io2: '27.60' })
})

test('ruptela reports its readings, and is told where they are not taken', () => {
  const [position] = receive(ENCODERS.ruptela, adapters.get('ruptela')!, '350000000022285', [base]).positions
  expect(position).toMatchObject({ altitude: 149, satellites: 11 })
  expect(position!.attributes).toMatchObject({ odometer: 1_234_567, power: 27.6, battery: 4.1, io27: 4 })
  const refused = Buffer.from('000264000235', 'hex')
  expect(ENCODERS.ruptela.answer(refused, true)).toEqual({ length: 6, kind: 'refused' })
})

test('gl200 reports its readings', () => {
  const [position] = receive(ENCODERS.gl200, adapters.get('gl200')!, '350000000022285', [base]).positions
  expect(position).toMatchObject({ altitude: 149 })
  expect(position!.attributes).toMatchObject({
    odometer: 1_234_600,
    power: 27.6,
    batteryLevel: 88,
    type: 'FRI',
  })
})

test('gps103, tk103 and watches report their readings', () => {
  const readingsOf = (protocol: 'gps103' | 'tk103' | 'watch') =>
    receive(ENCODERS[protocol], adapters.get(protocol)!, '350000000022285', [base]).positions[0]
  expect(readingsOf('gps103')).toMatchObject({ altitude: 149, attributes: { door: false } })
  expect(readingsOf('tk103')).toMatchObject({ attributes: { charge: true, odometer: 1_234_567 } })
  expect(readingsOf('watch')).toMatchObject({
    altitude: 149,
    satellites: 11,
    attributes: { batteryLevel: 87, rssi: 100 },
  })
})

test.each([
  ['gps103', '**,imei:350000000022285,J'],
  ['gps103', '**,imei:350000000022285,E;'],
  ['tk103', '(350000000022285AV010)'],
  ['watch', '[3G*9000002228*0005*RESET]'],
] as const)('%s does not take the command %s for an answer', (protocol, text) => {
  expect(ENCODERS[protocol].answer(Buffer.from(text), false)).toEqual({ length: text.length, kind: 'other' })
})

test('jt808 reports its readings, and is told where they are not taken', () => {
  const adapter = adapters.get('jt808')!
  const [position] = receive(ENCODERS.jt808, adapter, '350000000022285', [base]).positions
  expect(position).toMatchObject({ altitude: 149, satellites: 11 })
  expect(position!.attributes).toMatchObject({ odometer: 1_234_500, rssi: 28 })
  const session = new DeviceSession(adapter, 'tcp', () => undefined)
  const login = ENCODERS.jt808.login!('350000000022285')
  decodeFrame(adapter, login, session, new PositionBatch(8))
  const refused = adapter.refuse!(login, session) as Buffer
  expect(ENCODERS.jt808.answer(refused, false)).toEqual({ length: refused.length, kind: 'refused' })
})

test('galileo reports its readings, and does not take a command for an answer', () => {
  const [position] = receive(ENCODERS.galileo, adapters.get('galileo')!, '350000000022285', [base]).positions
  expect(position).toMatchObject({ altitude: 149 })
  expect(position!.attributes).toMatchObject({ index: 1, odometer: 1_234_567, power: 27.6, battery: 4.1 })
  const command = Buffer.from(
    '01200003313233343536373839303132333435040000e000000000e1067374617475731f64',
    'hex',
  )
  expect(ENCODERS.galileo.answer(command.subarray(0, 9), true)).toBeUndefined()
  expect(ENCODERS.galileo.answer(command, true)).toEqual({ length: command.length, kind: 'other' })
})

interface Received {
  readonly positions: Position[]
  /** What the server would send back on one connection. */
  readonly answers: Buffer
  readonly names: Set<string>
}

function receive(encoder: Encoder, adapter: Adapter, uniqueId: string, sent: readonly Report[]): Received {
  const batch = new PositionBatch(64)
  const answers: Buffer[] = []
  const names = new Set<string>()
  let session = new DeviceSession(adapter, encoder.transport, () => ({ model: '', options: {} }))
  session.receivedMs = RECEIVED_MS
  const decode = (frame: Buffer) => {
    if (encoder.transport !== 'tcp') {
      session = new DeviceSession(adapter, encoder.transport, () => ({ model: '', options: {} }))
      session.receivedMs = RECEIVED_MS
    }
    decodeFrame(adapter, frame, session, batch)
    answers.push(...repliesOf(adapter, frame, session))
    names.add(session.uniqueId)
  }
  if (encoder.transport === 'http') {
    for (const report of sent) {
      const target = encoder.target(uniqueId, report)
      decode(httpFrame({ method: 'GET', target, contentType: '', body: Buffer.alloc(0) }))
    }
  } else if (encoder.transport === 'mqtt') {
    for (const report of sent) {
      decode(mqttFrame({ topic: encoder.topic(uniqueId), payload: Buffer.from(encoder.payload(report)) }))
    }
  } else {
    const reader = new FrameReader(adapter, encoder.transport)
    const login = encoder.login?.(uniqueId)
    for (const bytes of [...(login === undefined ? [] : [login]), ...encoder.frames(uniqueId, sent)]) {
      reader.push(bytes)
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) decode(frame)
    }
  }
  return {
    positions: Array.from({ length: batch.length }, (_, row) => positionOf(batch, row)),
    answers: Buffer.concat(answers),
    names,
  }
}

function off(found: number | null, expected: number): number {
  return found === null ? Number.NaN : Math.abs(found - expected)
}
