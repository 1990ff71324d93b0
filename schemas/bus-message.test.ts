import { createHmac, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  BUS_MESSAGE_BYTES_MAX,
  BusMessageError,
  decodeBusMessage,
  encodeBusMessage,
  type StoredMessage,
} from './bus-message.ts'
import type { LiveEvent } from './live-port.ts'
import { positionOf } from './position.ts'
import { PositionBatch } from './position-batch.ts'

const KEY = randomBytes(32)
const TIME_MS = Date.UTC(2026, 10, 21, 8)
/** Bytes of the seal. */
const SEAL = 32

function withoutFix(batch: PositionBatch, i: number): number {
  const row = batch.addWithoutFix()
  batch.fixTimeMs[row] = TIME_MS + i
  return row
}

function filled(rows: number): PositionBatch {
  const batch = new PositionBatch(8)
  for (let i = 0; i < rows; i++) {
    const row = i % 5 === 4 ? withoutFix(batch, i) : batch.add(TIME_MS + i, 30 + i / 100, -97)
    batch.receivedMs[row] = TIME_MS + 1000 + i
    batch.device[row] = i + 1
    batch.digestHigh[row] = 0xffff_ffff - i
    batch.digestLow[row] = i
    if (i % 2 === 0) batch.speedKmh[row] = -0
    batch.set(row, 'ignition', i % 2 === 0)
    batch.set(row, 'odometer', i * 10.5)
    batch.set(row, 'io5', i)
    batch.set(row, 'armed', i % 2 === 1)
    batch.set(row, 'card', `карта ${i}`)
    batch.setJson(row, 'network', { cellTowers: [i] })
    if (i % 3 === 0) batch.set(row, 'alarm', 'sos')
  }
  return batch
}

const EVENT: LiveEvent = {
  id: 12,
  organizationId: 3,
  device: 1,
  geofence: 1,
  geofenceVersion: 1,
  type: 'enter',
  time: '2026-01-02T03:04:05.000Z',
  fixTime: '2026-01-02T03:04:05.000Z',
  latitude: 50.5,
  longitude: 10,
  speed: 36.5,
  crossing: false,
  revision: 0,
  replaces: null,
  retracted: false,
  current: true,
  recordedAt: '2026-01-02T03:04:06.000Z',
}

/** A message as a shard gives it: rows in two commits, some in none. */
function stored(rows = 21): StoredMessage {
  return {
    type: 'stored',
    batch: filled(rows).toMessage(),
    commits: [
      { sequence: 7, rows: Uint32Array.from([5, 3, 8]), events: [EVENT] },
      { sequence: 2 ** 40, rows: Uint32Array.from([0, rows - 1]), events: [] },
    ],
  }
}

/** Seals what was changed on purpose. */
function sealed(bytes: Buffer): Buffer {
  createHmac('sha256', KEY).update(bytes.subarray(SEAL)).digest().copy(bytes)
  return bytes
}

interface LooseHeader {
  readonly commits: readonly object[]
  readonly columns: readonly string[]
}

/** Seals a message with another header. */
function withHeader(change: (header: LooseHeader) => unknown): Buffer {
  const bytes = encodeBusMessage(stored(), KEY)
  const end = SEAL + 8 + bytes.readUInt32LE(SEAL + 4)
  const header = change(JSON.parse(bytes.toString('utf8', SEAL + 8, end)))
  const head = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const prefix = Buffer.from(bytes.subarray(0, SEAL + 8))
  prefix.writeUInt32LE(head.length, SEAL + 4)
  return sealed(Buffer.concat([prefix, head, bytes.subarray(end)]))
}

function reasonOf(bytes: Buffer, key: Uint8Array = KEY): string {
  try {
    decodeBusMessage(bytes, key)
    return 'taken'
  } catch (error) {
    if (error instanceof BusMessageError) return error.reason
    throw error
  }
}

const all = (batch: PositionBatch) => Array.from({ length: batch.length }, (_, row) => positionOf(batch, row))

test('gives back rows, attributes, commits and events', () => {
  const message = stored()
  const read = decodeBusMessage(encodeBusMessage(message, KEY), KEY)
  expect(all(PositionBatch.fromMessage(read.batch!))).toEqual(all(PositionBatch.fromMessage(message.batch!)))
  expect(read.commits).toEqual(message.commits)
  expect([...PositionBatch.fromMessage(read.batch!).digestHigh.subarray(0, 3)]).toEqual([
    0xffff_ffff, 0xffff_fffe, 0xffff_fffd,
  ])
})

test('gives back events without rows', () => {
  const message: StoredMessage = {
    type: 'stored',
    batch: null,
    commits: [{ sequence: 9, rows: new Uint32Array(0), events: [EVENT] }],
  }
  expect(decodeBusMessage(encodeBusMessage(message, KEY), KEY)).toEqual(message)
})

test('leaves out columns that no row has a value in', () => {
  const plain = new PositionBatch(8)
  for (let i = 0; i < 1000; i++) plain.device[plain.add(TIME_MS, 30, -97)] = 1
  plain.receivedMs.fill(TIME_MS, 0, plain.length)
  const commits = [{ sequence: 1, rows: new Uint32Array(0), events: [] }]
  const bytes = encodeBusMessage({ type: 'stored', batch: plain.toMessage(), commits }, KEY)
  // Five columns of 8 bytes, two of 4, and `valid`.
  expect(bytes.length).toBeLessThan(1000 * 60 + 400)
})

test('refuses what is longer than a subscriber of Redis may have to wait for', () => {
  const batch = filled(1)
  batch.set(0, 'text', 'x'.repeat(BUS_MESSAGE_BYTES_MAX))
  const commits = [{ sequence: 1, rows: new Uint32Array(1), events: [] }]
  expect(() => encodeBusMessage({ type: 'stored', batch: batch.toMessage(), commits }, KEY)).toThrow(
    expect.objectContaining({ reason: 'too-long' }),
  )
  expect(reasonOf(Buffer.alloc(BUS_MESSAGE_BYTES_MAX + 1))).toBe('too-long')
})

test('does not take what another fleet sealed, what was changed on the way, and what is no message', () => {
  const bytes = encodeBusMessage(stored(), KEY)
  expect(reasonOf(bytes)).toBe('taken')
  expect(reasonOf(bytes, randomBytes(32))).toBe('not-ours')
  for (let i = 0; i < bytes.length; i += 7) {
    const changed = Buffer.from(bytes)
    changed[i]! ^= 1
    expect(reasonOf(changed)).toBe('not-ours')
  }
  for (const garbage of ['', '{"type":"stored"}', 'x'.repeat(5000)]) {
    expect(reasonOf(Buffer.from(garbage))).toBe('not-ours')
  }
})

test('does not take a sealed message of another version', () => {
  const bytes = encodeBusMessage(stored(), KEY)
  bytes[SEAL]!++
  expect(reasonOf(sealed(bytes))).toBe('malformed')
})

test.each<[string, (header: LooseHeader) => unknown]>([
  ['is not JSON', () => '{"rows":'],
  [
    'has a sequence beyond exact numbers',
    (h) => ({ ...h, commits: [{ ...h.commits[0], sequence: 2 ** 53 }] }),
  ],
  ['has commits out of order', (h) => ({ ...h, commits: h.commits.toReversed() })],
  ['has no commit', (h) => ({ ...h, commits: [] })],
  ['has more rows than it holds', (h) => ({ ...h, rows: 22 })],
  ['has fewer rows than it holds', (h) => ({ ...h, rows: 20 })],
  ['has more attributes than it holds', (h) => ({ ...h, attributes: 1e9 })],
  ['names a column that is none', (h) => ({ ...h, columns: ['constructor'] })],
  ['names a column twice', (h) => ({ ...h, columns: [...h.columns, 'device'] })],
  ['lacks the texts of its alarms', (h) => ({ ...h, texts: [''] })],
  ['lacks names of attributes', (h) => ({ ...h, keys: [] })],
])('does not take a sealed message whose header %s', (_, change) => {
  expect(reasonOf(withHeader(change))).toBe('malformed')
})

test('takes or refuses sealed messages with any damage, and never reads beyond them', () => {
  const whole = encodeBusMessage(stored(), KEY)
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: SEAL, max: whole.length - 1 }), fc.integer({ min: 0, max: 255 })), {
        minLength: 1,
        maxLength: 8,
      }),
      fc.integer({ min: SEAL + 8, max: whole.length }),
      (changes, length) => {
        const bytes = Buffer.from(whole.subarray(0, length))
        for (const [at, value] of changes) if (at < length) bytes[at] = value
        if (reasonOf(sealed(bytes)) !== 'taken') return
        // Whatever is taken can be shown.
        const { batch, commits } = decodeBusMessage(bytes, KEY)
        const positions = PositionBatch.fromMessage(batch!)
        for (const { rows } of commits) {
          for (const row of rows)
            if (positions.quality[row] === 0) new Date(positions.fixTimeMs[row]!).toISOString()
        }
      },
    ),
    { numRuns: 2000 },
  )
})
