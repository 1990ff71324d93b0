/** What a message of FleetFlow's own MQTT format may hold, and what the sender is told when it may not. */
import { expect, test } from 'vitest'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { ATTRIBUTES_MAX } from '../reported-fields.ts'
import { mqttJson, POSITIONS_MAX } from './mqtt-json.ts'

const good = { fixTime: '2026-01-02T03:04:05Z', latitude: 52.52, longitude: 13.405 }

function decode(payload: unknown, topic = 'devices/7/positions'): DecodedLine {
  return new RecordedStream(mqttJson).decode(
    {
      protocol: 'mqtt-json',
      stream: 1,
      transport: 'mqtt',
      mqtt: { topic, payload: typeof payload === 'string' ? payload : JSON.stringify(payload) },
    },
    Date.UTC(2026, 0, 3),
  )
}

test.each([
  [
    'a missing time',
    { latitude: 1, longitude: 2 },
    'fixTime: must be ISO 8601 with a zone, or ms since 1970',
  ],
  [
    'a time without a zone',
    { ...good, fixTime: '2026-01-02T03:04:05' },
    'fixTime: must be ISO 8601 with a zone',
  ],
  ['seconds for milliseconds', { ...good, fixTime: 1_767_323_045 }, 'fixTime: must lie in 1990 to 2105'],
  ['a latitude that is text', { ...good, latitude: '52.52' }, 'latitude: '],
  ['a latitude alone', { fixTime: good.fixTime, latitude: 1 }, 'longitude: must come with latitude'],
  ['a negative speed', { ...good, speed: -1 }, 'speed: '],
  ['a course above 360', { ...good, course: 361 }, 'course: '],
  ['half a satellite', { ...good, satellites: 1.5 }, 'satellites: '],
  ['a misspelt field', { ...good, heading: 3 }, 'Unrecognized key: "heading"'],
  [
    'a reading of another type',
    { ...good, attributes: { ignition: 1 } },
    'attributes.ignition: must be a boolean',
  ],
  ['a nested attribute', { ...good, attributes: { axes: [1] } }, 'attributes.axes: must be a number, text'],
  ['U+0000', { ...good, attributes: { note: 'a\0b' } }, 'attribute note holds U+0000'],
  [
    'a long attribute',
    { ...good, attributes: { note: 'x'.repeat(1025) } },
    'attribute note is longer than 1024',
  ],
  ['a long name', { ...good, attributes: { ['x'.repeat(65)]: 1 } }, 'attribute name longer than 64'],
  ['no object', 7, 'expected object'],
  ['an element in an array', [good, good, { ...good, longitude: 200 }], '[2]: longitude: '],
  ['an element that is an array', [[good]], '[0]: '],
  ['no JSON', '{', 'not JSON'],
])('refuses %s and says where', (_, payload, message) => {
  const { positions, error } = decode(payload)
  expect(positions).toEqual([])
  expect(error?.code).toBe('malformed')
  expect(error?.message).toContain(message)
})

test(`takes ${POSITIONS_MAX} positions and ${ATTRIBUTES_MAX} attributes, and no more`, () => {
  expect(decode(Array.from({ length: POSITIONS_MAX }, () => good)).positions).toHaveLength(POSITIONS_MAX)
  expect(decode(Array.from({ length: POSITIONS_MAX + 1 }, () => good)).error?.message).toContain('more than')
  const attributes = Object.fromEntries(Array.from({ length: ATTRIBUTES_MAX }, (_, i) => [`a${i}`, i]))
  expect(decode({ ...good, attributes }).positions).toHaveLength(1)
  expect(decode({ ...good, attributes: { ...attributes, more: 1 } }).error?.message).toContain('more than')
})

test.each([
  ['fields', () => ({ ...good, ...members(20_000) }), 'more than 32 fields'],
  [
    'attributes of a wrong type',
    () => ({ ...good, attributes: members(20_000) }),
    `more than ${ATTRIBUTES_MAX} attributes`,
  ],
])('stops at too many %s before it looks at each', (_, payload, expected) => {
  // The check of the fields would name the first of them, 200 ms later.
  expect(decode(payload()).error?.message).toBe(expected)
})

test('tells of a long field in a short message', () => {
  const name = 'x'.repeat(100_000)
  const { error } = decode({ ...good, [name]: 1 })
  expect(error?.message).toMatch(/^Unrecognized key: "xxx+…$/)
  expect(decode({ ...good, attributes: { [name]: null } }).error?.message.length).toBeLessThan(300)
})

function members(count: number): Record<string, object> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, [[]]]))
}

test('takes names of the prototype of objects for plain names', () => {
  const payload = `{"fixTime":"${good.fixTime}","latitude":1,"longitude":2,"attributes":{"__proto__":1,"constructor":2,"toString":"x"}}`
  const { positions, error } = decode(payload)
  expect(error).toBeNull()
  expect(Object.entries(positions[0]!.attributes)).toEqual([
    ['constructor', 2],
    ['toString', 'x'],
  ])
})

test.each([
  'devices//positions',
  'devices/7/events',
  'devices/a/b/positions',
  `devices/${'7'.repeat(129)}/positions`,
])('refuses the topic %s', (topic) => {
  expect(decode(good, topic).error?.code).toBe('malformed')
})
