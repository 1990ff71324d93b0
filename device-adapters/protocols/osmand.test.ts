/** Parameters and bodies of OsmAnd requests that the recorded ones do not hold. */
import { expect, test } from 'vitest'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { ATTRIBUTES_MAX } from '../reported-fields.ts'
import { osmand } from './osmand.ts'

const RECEIVED_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

function request(uri: string, body = '', contentType = ''): DecodedLine {
  return new RecordedStream(osmand).decode(
    {
      protocol: 'osmand',
      stream: 1,
      transport: 'http',
      http: { method: body === '' ? 'GET' : 'POST', uri, headers: { 'content-type': contentType }, body },
    },
    RECEIVED_MS,
  )
}

const json = (body: unknown) => request('/', JSON.stringify(body), 'application/json; charset=utf-8')
const coords = { latitude: 52.52, longitude: 13.405 }
const timestamp = '2026-01-02T03:04:05.678Z'

test.each([
  ['1504763810', '2017-09-07T05:56:50.000Z'],
  ['1504763810.5', '2017-09-07T05:56:50.500Z'],
  ['1504763810123', '2017-09-07T05:56:50.123Z'],
  ['4102444800', '2100-01-01T00:00:00.000Z'],
  ['2017-09-07T05:56:50Z', '2017-09-07T05:56:50.000Z'],
  ['2017-09-07T05:56:50.25', '2017-09-07T05:56:50.250Z'],
  ['2017-09-07T07:56:50%2B02:00', '2017-09-07T05:56:50.000Z'],
  ['2017-09-07T07:56:50+0200', '2017-09-07T05:56:50.000Z'],
  ['2017-09-07%2005:56:50', '2017-09-07T05:56:50.000Z'],
])('reads the timestamp %s', (text, fixTime) => {
  expect(request(`/?id=1&lat=1&lon=2&timestamp=${text}`).positions).toMatchObject([{ fixTime }])
})

test('takes the time of receipt where there is no timestamp', () => {
  const { positions } = request('/?id=1&lat=1&lon=2')
  expect(positions[0]!.fixTime).toBe(new Date(RECEIVED_MS).toISOString())
})

test('reads a form in the body', () => {
  const form = 'deviceid=abc&lat=-1.5&lon=2&valid=false&speed=10&heading=90&accuracy=12.5&driverUniqueId=0042'
  const { positions, replies } = request('/', form, 'application/x-www-form-urlencoded')
  expect(positions).toMatchObject([
    { device: 'abc', valid: false, latitude: -1.5, speed: 18.52, course: 90, accuracy: 12.5 },
  ])
  expect(positions[0]!.attributes).toEqual({ driverUniqueId: '0042' })
  expect(Buffer.from(replies[0]!, 'hex').toString()).toMatch(/^HTTP\/1\.1 200 OK/)
})

test('types the parameters of the client', () => {
  const { positions } = request(
    '/?id=1&lat=1&lon=2&charge=true&motion=false&rpm=9.5e2&odometer=1200&note=a+b%C3%A4&alarm=sos&empty=&hex=0x10',
  )
  expect(positions[0]!.attributes).toEqual({
    charge: true,
    motion: false,
    rpm: 950,
    odometer: 1200,
    note: 'a bä',
    alarm: 'sos',
    hex: '0x10',
  })
})

test.each([
  ['true', true],
  ['True', true],
  ['1', true],
  ['false', false],
  ['0', false],
])('reads the charge %s', (text, charge) => {
  expect(request(`/?id=1&lat=1&lon=2&charge=${text}`).positions[0]!.attributes).toEqual({ charge })
})

test('takes a request without a place for a status, with the cells and Wi-Fi it saw', () => {
  const { positions, error } = request(
    '/?id=1&timestamp=1377177267&cell=257,02,16,2224&cell=257,02,16,2225,-90&wifi=00-14-22-01-23-45,-80&wifi=00:11:22:33:44:55,70',
  )
  expect(error).toBeNull()
  expect(positions).toEqual([
    {
      device: '1',
      noFix: true,
      deviceTime: '2013-08-22T13:14:27.000Z',
      attributes: {},
      network: {
        radioType: 'gsm',
        cellTowers: [
          { mcc: 257, mnc: 2, lac: 16, cid: 2224 },
          { mcc: 257, mnc: 2, lac: 16, cid: 2225, rssi: -90 },
        ],
        wifi: [
          { mac: '00:14:22:01:23:45', rssi: -80 },
          { mac: '00:11:22:33:44:55', rssi: -70 },
        ],
      },
    },
  ])
})

test('takes 0, 0 for no place, as clients without a fix send it', () => {
  expect(request('/?id=1&lat=0&lon=0&batt=5').positions).toMatchObject([
    { noFix: true, attributes: { batteryLevel: 5 } },
  ])
})

test('takes a negative speed or course for unknown', () => {
  expect(request('/?id=1&lat=1&lon=2&speed=-1&bearing=-1').positions).toMatchObject([{ speed: 0, course: 0 }])
})

test.each([
  ['no id', '/?lat=1&lon=2'],
  ['a long id', `/?id=${'1'.repeat(129)}&lat=1&lon=2`],
  ['half a place', '/?id=1&lat=1'],
  ['a place that is no number', '/?id=1&lat=1&lon=x'],
  ['half a location', '/?id=1&location=1'],
  ['an unknown time', '/?id=1&lat=1&lon=2&timestamp=yesterday'],
  ['an impossible time', '/?id=1&lat=1&lon=2&timestamp=2017-13-07T05:56:50Z'],
  ['half a cell tower', '/?id=1&lat=1&lon=2&cell=257,02'],
  ['an address that is none', '/?id=1&lat=1&lon=2&wifi=x,-80'],
  ['U+0000', '/?id=1&lat=1&lon=2&note=%00'],
  ['a long parameter', `/?id=1&lat=1&lon=2&note=${'x'.repeat(1025)}`],
  ['a long name', `/?id=1&lat=1&lon=2&${'x'.repeat(65)}=1`],
  [
    'too many parameters',
    `/?id=1&lat=1&lon=2${Array.from({ length: ATTRIBUTES_MAX + 1 }, (_, i) => `&a${i}=1`).join('')}`,
  ],
  ['too many cell towers', `/?id=1&lat=1&lon=2${'&cell=257,02,16,2224'.repeat(33)}`],
])('answers 400 to %s', (_, uri) => {
  const { positions, error, replies } = request(uri)
  expect(positions).toEqual([])
  expect(error?.code).toBe('malformed')
  expect(Buffer.from(replies[0]!, 'hex').toString()).toMatch(/^HTTP\/1\.1 400 /)
})

test('reads the accuracy, charge and extras of a JSON location', () => {
  const { positions } = json({
    device_id: 7,
    location: {
      timestamp,
      coords: { ...coords, accuracy: 4.5, speed: 10, heading: 359, altitude: -3 },
      battery: { level: 0.29, is_charging: true },
      mock: true,
      extras: { driver: 'x', nested: { a: 1 }, none: null },
    },
  })
  expect(positions).toEqual([
    {
      device: '7',
      deviceTime: timestamp,
      fixTime: timestamp,
      valid: true,
      ...coords,
      altitude: -3,
      speed: 35.9999,
      course: 359,
      accuracy: 4.5,
      attributes: { batteryLevel: 29, mock: true, charge: true, driver: 'x' },
    },
  ])
})

test('reads a batch, whose location is an array, and JSON without a content type', () => {
  const body = JSON.stringify({
    device_id: '7',
    location: [
      { timestamp, coords },
      { timestamp: Date.parse(timestamp), coords: { ...coords, latitude: 1 } },
    ],
  })
  expect(request('/', body).positions).toMatchObject([
    { fixTime: timestamp, latitude: 52.52 },
    { fixTime: timestamp, latitude: 1 },
  ])
})

test.each([
  ['no device_id', { location: { timestamp, coords } }],
  ['no location', { device_id: '7' }],
  ['empty coords', { device_id: '7', location: { timestamp, coords: {} } }],
  ['no time', { device_id: '7', location: { coords } }],
  [
    'a latitude that is text',
    { device_id: '7', location: { timestamp, coords: { ...coords, latitude: '1' } } },
  ],
  [
    'a bad one in a batch',
    {
      device_id: '7',
      location: [
        { timestamp, coords },
        { timestamp, coords: {} },
      ],
    },
  ],
  [
    'too many in a batch',
    { device_id: '7', location: Array.from({ length: 101 }, () => ({ timestamp, coords })) },
  ],
])('refuses JSON with %s', (_, body) => {
  const { positions, error } = json(body)
  expect(positions).toEqual([])
  expect(error?.code).toBe('malformed')
})

test('takes JSON without a place for a status, with its alarm', () => {
  const location = { timestamp, event: 'heartbeat', alarm: 'sos', battery: { level: 0.5, is_charging: true } }
  expect(json({ device_id: '7', location }).positions).toEqual([
    {
      device: '7',
      noFix: true,
      deviceTime: timestamp,
      attributes: { event: 'heartbeat', alarm: 'sos', batteryLevel: 50, charge: true },
    },
  ])
})

test('reads whole metres of the odometer, and the alarm that a location raises before that of its extras', () => {
  const extras = { alarm: 'general', note: 'x' }
  const of = (location: object) =>
    json({ device_id: '7', location: { timestamp, odometer: 1234.56, extras, ...location } }).positions[0]!
      .attributes
  expect(of({ alarm: 'sos' })).toEqual({ alarm: 'sos', odometer: 1234, note: 'x' })
  expect(of({})).toEqual({ alarm: 'general', odometer: 1234, note: 'x' })
})

test('leaves out where a phone takes notifications', () => {
  const { positions } = request('/?id=1&lat=1&lon=2&notificationToken=secret')
  expect(positions[0]!.attributes).toEqual({})
})

test('takes names of the prototype of objects for plain names', () => {
  const body = `{"device_id":"7","__proto__":{"x":1},"location":{"timestamp":"${timestamp}","coords":{"latitude":1,"longitude":2},"extras":{"__proto__":"x","constructor":"y"}}}`
  const { positions } = request('/?__proto__=1', body, 'application/json')
  expect(Object.entries(positions[0]!.attributes)).toEqual([['constructor', 'y']])
})
