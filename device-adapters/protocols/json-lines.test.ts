/** What a request of FleetFlow's own HTTP format may hold, what the sender is told, and which positions are the same. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import type { Adapter } from '../adapter.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { httpFrame } from '../requests.ts'
import { ATTRIBUTE_NAMES_MAX, IDS_BYTES_MAX, LINES_MAX, jsonLines as typed } from './json-lines.ts'

const jsonLines = typed as Adapter

const good = '{"fixTime":"2026-01-02T03:04:05Z","latitude":52.52,"longitude":13.405}'
const later = '{"fixTime":"2026-01-02T03:04:15Z","latitude":52.52,"longitude":13.405}'

interface Request {
  readonly method?: string
  readonly uri?: string
  readonly contentType?: string
  readonly key?: string
}

function decode(body: string, request: Request = {}): DecodedLine {
  const { method = 'POST', uri = '/v1/positions?id=7', contentType = 'application/x-ndjson', key } = request
  const headers = {
    'content-type': contentType,
    ...(key === undefined ? {} : { 'idempotency-key': key }),
  }
  return new RecordedStream(jsonLines).decode(
    { protocol: 'json-lines', stream: 1, transport: 'http', http: { method, uri, headers, body } },
    Date.UTC(2026, 0, 3),
  )
}

/** Digests of the positions of a request. */
function digestsOf(body: string, request: Request = {}): string[] {
  const { uri = '/?id=7', contentType = 'application/x-ndjson', key = '' } = request
  const frame = httpFrame({
    method: 'POST',
    target: uri,
    contentType,
    idempotencyKey: key,
    body: Buffer.from(body),
  })
  const out = new PositionBatch(8)
  decodeFrame(jsonLines, frame, new DeviceSession(jsonLines, 'http', () => undefined), out)
  return Array.from({ length: out.length }, (_, row) => `${out.digestHigh[row]} ${out.digestLow[row]}`)
}

test.each([
  ['a line that is no JSON', `${good}\n{"fixTime":`, 'line 2: not JSON: '],
  ['a line that is no object', `${good}\n7`, 'line 2: a position must be an object, not 7'],
  ['a line that is an array', `[${good}]`, 'line 1: a position must be an object, not an array'],
  ['two positions in a line', `${good}${good}`, 'line 1: not JSON: '],
  ['a position over two lines', good.replace(',', ',\n'), 'line 1: not JSON: '],
  ['a wrong field', `\n\n${good.replace('52.52', '"x"')}`, 'line 3: latitude: '],
  ['a misspelt field', `${good}\n${good.replace('fixTime', 'time')}`, 'line 2: '],
  ['U+0000', good.replace('}', ',"attributes":{"note":"a\\u0000b"}}'), 'line 1: attribute note holds U+0000'],
  ['an id that is none', good.replace('{', '{"id":"a\\nb",'), 'line 1: id is no unique id: a'],
  ['an id that is empty', good.replace('{', '{"id":"",'), 'line 1: id is no unique id'],
  ['half a character', good.replace('{', '{"id":"\\ud83d",'), 'line 1: id is no unique id'],
  ['an id that lost digits', good.replace('{', '{"id":12345678901234567890,'), 'line 1: id must be text'],
  ['half an id', good.replace('{', '{"id":1.5,'), 'line 1: id must be text'],
])('refuses %s and says where', (_, body, message) => {
  const { positions, error } = decode(body)
  expect(positions).toEqual([])
  expect(error?.code).toBe('malformed')
  expect(error?.message).toContain(message)
})

test.each<[string, Request, string]>([
  ['a request without an id', { uri: '/' }, 'line 1: id is missing: give it here, or once as ?id='],
  ['an id of the request that is none', { uri: '/?id=' }, 'id is no unique id'],
  ['another method', { method: 'PUT' }, 'positions come by POST, not by PUT'],
  ['another type', { contentType: 'text/csv' }, 'Content-Type must be application/x-ndjson'],
  ['a key of several words', { key: 'a b' }, 'Idempotency-Key must be 1 to 200 visible ASCII characters'],
  ['a key that is not ASCII', { key: 'ä' }, 'Idempotency-Key must be'],
  ['a long key', { key: 'k'.repeat(201) }, 'Idempotency-Key must be'],
])('refuses %s and says why', (_, request, message) => {
  const { positions, error } = decode(good, request)
  expect(positions).toEqual([])
  expect(error?.message).toContain(message)
})

test('refuses a body that is not UTF-8', () => {
  const body = Buffer.from(good.replace('}', ',"attributes":{"note":"ä"}}'), 'latin1')
  const frame = httpFrame({ method: 'POST', target: '/?id=7', contentType: 'application/x-ndjson', body })
  const session = new DeviceSession(jsonLines, 'http', () => undefined)
  expect(() => decodeFrame(jsonLines, frame, session, new PositionBatch(8))).toThrow('not UTF-8')
})

test(`takes ${LINES_MAX} lines and no more`, () => {
  const lines = Array.from({ length: LINES_MAX }, () => good)
  expect(decode(lines.join('\n')).positions).toHaveLength(LINES_MAX)
  expect(decode(`${lines.join('\n')}\n`).positions).toHaveLength(LINES_MAX)
  expect(decode([...lines, good].join('\n')).error?.message).toContain('in several requests')
})

test('takes a thousand devices with an IMEI, and not so many that the journal has no room for their ids', () => {
  const request = (devices: number, prefix: string) =>
    decode(
      Array.from({ length: devices }, (_, i) =>
        good.replace('{', `{"id":"${prefix}${String(i).padStart(4, '0')}",`),
      ).join('\n'),
    )
  const { positions } = request(990, '35000000000')
  expect(new Set(positions.map(({ device }) => device)).size).toBe(990)
  const long = 'ä'.repeat(124)
  expect(request(Math.floor(IDS_BYTES_MAX / 270), long).error).toBeNull()
  expect(request(Math.ceil(IDS_BYTES_MAX / 270) + 1, long).error?.message).toContain('too many')
})

test('takes as many names of attributes as the engine has room for', () => {
  const request = (names: number) =>
    decode(
      Array.from({ length: names / 50 }, (_, i) => {
        const attributes = Object.fromEntries(Array.from({ length: 50 }, (_, j) => [`a${i}-${j}`, 1]))
        return good.replace('}', `,"attributes":${JSON.stringify(attributes)}}`)
      }).join('\n'),
    )
  expect(request(ATTRIBUTE_NAMES_MAX).error).toBeNull()
  expect(request(ATTRIBUTE_NAMES_MAX + 50).error?.message).toContain('names of attributes')
})

test('without a key, a line of the same bytes is the same position, wherever it comes', () => {
  const [first, second] = digestsOf(`${good}\n${later}`)
  expect(first).not.toBe(second)
  expect(digestsOf(`${later}\n\n${good}`, { uri: '/other?x=1&id=7' })).toEqual([second, first])
  expect(digestsOf(good, { contentType: 'application/json' })).toEqual([first])
  expect(digestsOf(good.replace(':', ': '))).not.toEqual([first])
})

test('under one key, positions are told apart by their place, whatever bytes they are written in', () => {
  const key = '8e03978e'
  const digests = digestsOf(`${good}\n${later}\n${good}`, { key })
  expect(new Set(digests).size).toBe(3)
  const rewritten = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(good)).reverse()), null, 1)
  const spaced = rewritten.replaceAll('\n', ' ')
  expect(digestsOf(`\n${spaced}\r\n${later} \n\n${spaced}`, { key, uri: '/x?id=7' })).toEqual(digests)
  expect(digestsOf(rewritten, { key, contentType: 'application/json' })).toEqual([digests[0]])
  const others = digestsOf(`${good}\n${later}\n${good}`, { key: '8e03978f' })
  expect(new Set([...digests, ...others]).size).toBe(6)
})
