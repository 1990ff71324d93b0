/**
 * Holds every adapter to its vectors: what messages decode to, how they are answered, what commands are in bytes, and
 * how a stream begins. A new adapter is covered by its file in protocols/ alone, here and in robustness.test.ts.
 */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { COMMANDS, type CommandType } from '../schemas/command.ts'
import type { CommandEncoder, Transport } from './adapter.ts'
import { DeviceSession, toBuffer } from './decoder.ts'
import { FrameReader } from './frames.ts'
import { deviceOf, type RecordedPosition } from './recorded-line.ts'
import { loadAdapters } from './registry.ts'
import { decodeAll, linesOf, nameOf, vectorsOf, wireBytes } from './vectors-fixture.ts'

/** A command and its bytes, `protocols/NAME.commands.jsonl`: what the device is set up as, its dialect, and the transport where it is not TCP. */
interface CommandVector {
  readonly type: CommandType
  readonly deviceId: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly setup?: Readonly<Record<string, unknown>>
  readonly dialect?: string
  readonly transport?: Transport
  readonly kind: 'text' | 'binary'
  /** Text, or hex. */
  readonly expected: string
}

/** Share of the attributes of an adapter's vectors that must have the key and the value of the vectors. */
const ATTRIBUTES_MIN = 0.98

/** Expected values of an adapter that a vendor's document contradicts, `protocols/NAME.exceptions.json`: `stream/seq` to why. */
function exceptionsOf(id: string): ReadonlyMap<string, string> {
  const file = new URL(`./protocols/${id}.exceptions.json`, import.meta.url)
  if (!existsSync(file)) return new Map()
  return new Map(Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>))
}

for (const [id, adapter] of await loadAdapters()) {
  describe(id, () => {
    const vectors = vectorsOf(id)
    test('has vectors', () => expect(vectors.length).toBeGreaterThan(0))
    const decoded = decodeAll(adapter, vectors)
    const exceptions = exceptionsOf(id)

    test.each(vectors.map((vector, i) => [nameOf(vector), vector, decoded[i]!] as const))(
      'decodes %s',
      (key, vector, line) => {
        if (exceptions.has(key)) return
        const clockDependent = vector.flags?.includes('clockDependent') ?? false
        const found = line.positions.map((position, p) => {
          // Some recorded values leave out an accuracy that the message has.
          const { accuracy, ...rest } = core(position, clockDependent)
          return vector.positions[p]?.accuracy === undefined ? rest : { ...rest, accuracy }
        })
        expect(found).toEqual(vector.positions.map((position) => core(position, clockDependent)))
        if (vector.flags?.includes('repliesClockDependent')) {
          expect(line.replies.map((reply) => reply.length)).toEqual(
            vector.replies.map((reply) => reply.length),
          )
        } else expect(line.replies).toEqual(vector.replies)
      },
    )

    test('reads the attributes of its vectors', () => {
      let expected = 0
      const missed: string[] = []
      vectors.forEach((vector, i) => {
        if (exceptions.has(nameOf(vector))) return
        vector.positions.forEach((position, p) => {
          const found = decoded[i]!.positions[p]
          for (const [key, value] of Object.entries(position.attributes)) {
            expected++
            if (!same(found?.attributes[key], value)) {
              missed.push(
                `${nameOf(vector)} ${key}: ${JSON.stringify(value)}, got ${JSON.stringify(found?.attributes[key])}`,
              )
            }
          }
        })
      })
      const share = expected === 0 ? 1 : 1 - missed.length / expected
      expect(share, missed.join('\n')).toBeGreaterThanOrEqual(ATTRIBUTES_MIN)
    })

    const commands = new URL(`./protocols/${id}.commands.jsonl`, import.meta.url)
    test.each(linesOf<CommandVector>(commands).map((line) => [line.type, line] as const))(
      'encodes %s',
      (type, line) => {
        const { devicePassword, ...given } = line.attributes
        const options = { ...line.setup, ...(devicePassword !== undefined && { devicePassword }) }
        const session = new DeviceSession(adapter, line.transport ?? 'tcp', () => deviceOf(options))
        session.identify(line.deviceId)
        session.dialect = line.dialect ?? ''
        session.receivedMs = Date.UTC(2026, 10, 21, 1, 2, 3)
        const encode = adapter.commands?.[type] as CommandEncoder<CommandType, unknown> | undefined
        expect(encode).toBeDefined()
        const reply = encode!(COMMANDS[type].parse(given) as never, session)
        expect(toBuffer(reply).toString(line.kind === 'text' ? 'latin1' : 'hex')).toBe(line.expected)
      },
    )

    test('knows the start of each recorded stream, and doubts none of its beginnings', () => {
      const begun = new Set<string>()
      for (const vector of vectors) {
        const bytes = wireBytes(vector)
        const { stream, transport } = vector
        const key = `${stream} ${transport}`
        if (bytes === undefined || (transport === 'tcp' && begun.has(key))) continue
        begun.add(key)
        let before: boolean | undefined
        for (let length = 1; length <= bytes.length; length++) {
          const starts = adapter.starts?.(bytes.subarray(0, length), transport as Transport)
          if (starts === false || (before && !starts)) expect.fail(`${nameOf(vector)} at byte ${length}`)
          before = starts
        }
        expect(before, nameOf(vector)).toBe(true)
      }
    })
  })
}

describe('framing', async () => {
  const adapters = await loadAdapters()
  type Framing = { protocol: string; stream: string; seq: number; input: string; output: string | null }
  const lines = linesOf<Framing>(new URL('./framing.vectors.jsonl', import.meta.url))
  // Those of protocols that are not there yet wait for their adapter.
  const known = lines.filter(({ protocol }) => adapters.has(protocol))
  test.each(known.map((line) => [`${line.protocol} ${line.stream} ${line.seq}`, line] as const))(
    'finds the first frame of %s',
    (_, line) => {
      const reader = new FrameReader(adapters.get(line.protocol)!, 'tcp')
      reader.push(Buffer.from(line.input, 'hex'))
      expect(reader.next()?.toString('hex') ?? null).toBe(line.output)
    },
  )
})

/** Everything but the attributes, with numbers cut to what 1e-6 can tell. */
function core(position: RecordedPosition, clockDependent: boolean): Record<string, unknown> {
  const { attributes, deviceTime, fixTime, network, ...rest } = position
  return {
    ...(network === undefined ? {} : { network: sorted(network) }),
    ...Object.fromEntries(
      Object.entries(rest).map(([key, value]) => [
        key,
        typeof value === 'number' ? Number(value.toFixed(6)) : value,
      ]),
    ),
    ...(clockDependent ? {} : { deviceTime, fixTime }),
  }
}

/** A network with its towers and access points in one order: the recorded values hold them as sets. */
function sorted(network: unknown): object {
  return Object.fromEntries(
    Object.entries(network as object).map(([key, value]) => [
      key,
      Array.isArray(value)
        ? value.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))
        : value,
    ]),
  )
}

function same(found: unknown, expected: unknown): boolean {
  if (typeof found === 'number' && typeof expected === 'number') {
    return Math.abs(found - expected) <= 1e-6 * Math.max(1, Math.abs(expected))
  }
  return JSON.stringify(found) === JSON.stringify(expected)
}
