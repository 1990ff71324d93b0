/** OwnTracks over MQTT, and the fields of its trackers that the recorded requests do not hold. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { mqttFrame } from '../requests.ts'
import { owntracks } from './owntracks.ts'

const location = { _type: 'location', tid: 'JJ', tst: 1_497_349_316, lat: 48.85833, lon: 2.29513 }

function post(body: unknown): DecodedLine {
  return new RecordedStream(owntracks).decode(
    {
      protocol: 'owntracks',
      stream: 1,
      transport: 'http',
      http: { method: 'POST', uri: '/', body: typeof body === 'string' ? body : JSON.stringify(body) },
    },
    0,
  )
}

const published = (payload: unknown, topic = 'owntracks/jane/phone') =>
  mqttFrame({ topic, payload: Buffer.from(JSON.stringify(payload)) })

test('names the device of a message by its topic, whatever the payload says', () => {
  const { positions } = new RecordedStream(owntracks).decode(
    {
      protocol: 'owntracks',
      stream: 1,
      transport: 'mqtt',
      mqtt: {
        topic: 'owntracks/jane/phone',
        payload: JSON.stringify({ ...location, topic: 'owntracks/x/y' }),
      },
    },
    0,
  )
  expect(positions).toMatchObject([{ device: 'owntracks/jane/phone', latitude: 48.85833 }])
})

test('takes the device that is registered under the last level of the topic', () => {
  const known = { model: '', options: {} }
  const session = new DeviceSession(owntracks, 'mqtt', (id) => (id === 'phone' ? known : undefined))
  decodeFrame(owntracks, published(location), session, new PositionBatch(8))
  expect(session.uniqueId).toBe('phone')
  expect(session.device).toBe(known)
})

test('reads what phones report', () => {
  const { positions } = post({
    ...location,
    topic: 'owntracks/jane/phone',
    vel: 61,
    cog: 271,
    alt: 167,
    acc: 5,
    batt: 67,
    bs: 2,
    t: 'u',
    sent: location.tst + 60,
  })
  expect(positions).toEqual([
    {
      device: 'owntracks/jane/phone',
      fixTime: '2017-06-13T10:21:56.000Z',
      deviceTime: '2017-06-13T10:22:56.000Z',
      valid: true,
      latitude: 48.85833,
      longitude: 2.29513,
      altitude: 167,
      speed: 61,
      course: 271,
      accuracy: 5,
      attributes: { event: 'u', batteryLevel: 67, charge: true },
    },
  ])
})

test('reads what trackers report', () => {
  const { positions } = post({
    ...location,
    t: 'h',
    rty: 4,
    ign: true,
    motion: false,
    uext: 12.6,
    ubatt: 3.9,
    vin: 'WVWZZZ',
    rpm: 850,
    odometer: 28.1,
    hmc: 7200,
    anum: 2,
    'adda-00': '00F4',
    'temp_c-01': -4.5,
  })
  expect(positions[0]!.attributes).toEqual({
    event: 'h',
    alarm: 'hardAcceleration',
    ignition: true,
    motion: false,
    power: 12.6,
    battery: 3.9,
    vin: 'WVWZZZ',
    rpm: 850,
    odometer: 28_100,
    hours: 7_200_000,
    adc1: '00F4',
    temp2: -4.5,
  })
})

test.each([
  ['9', { alarm: 'lowBattery' }],
  ['1', { alarm: 'powerOn' }],
  ['e', { alarm: 'powerCut' }],
  ['E', { alarm: 'powerRestored' }],
  ['!', { alarm: 'tow' }],
  ['s', { alarm: 'overspeed' }],
  ['i', { ignition: true }],
  ['I', { ignition: false }],
  ['p', {}],
  ['h', {}],
])('reads the trigger %s', (trigger, attributes) => {
  expect(post({ ...location, t: trigger }).positions[0]!.attributes).toEqual({
    event: trigger,
    ...attributes,
  })
})

test.each(['lwt', 'transition', 'waypoint', 'status', 'card'])(
  'takes a %s and makes no position of it',
  (type) => {
    const { positions, error } = post({ _type: type, tid: 'JJ', tst: 1, lat: 1, lon: 2 })
    expect(positions).toEqual([])
    expect(error).toBeNull()
  },
)

test.each([
  ['no device', { ...location, tid: undefined }],
  ['an empty topic', { ...location, topic: '' }],
  ['a topic that is no text', { ...location, topic: 7 }],
  ['no time', { ...location, tst: undefined }],
  ['no latitude', { ...location, lat: null }],
  ['a longitude that is text', { ...location, lon: '2' }],
  ['no type', { ...location, _type: undefined }],
  ['no object', []],
])('answers 400 to %s', (_, body) => {
  const { positions, error, replies } = post(body)
  expect(positions).toEqual([])
  expect(error?.code).toBe('malformed')
  expect(Buffer.from(replies[0]!, 'hex').toString()).toMatch(/^HTTP\/1\.1 400 /)
})

test('does not acknowledge an encrypted position', () => {
  expect(post({ _type: 'encrypted', tid: 'JJ', data: 'x' }).error?.code).toBe('unsupported')
})

test('takes an infinite number and prototype names for what they are', () => {
  expect(post('{"_type":"location","tid":"JJ","tst":1e999,"lat":1,"lon":2}').error?.code).toBe('malformed')
  expect(post('{"__proto__":{"_type":"location"},"tid":"JJ","tst":1,"lat":1,"lon":2}').error?.code).toBe(
    'malformed',
  )
})
