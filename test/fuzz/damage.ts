/** Damages messages: bits, bytes, slices, lengths, numbers, texts, structures; seeded, so that each can be made again. */
import type { Random } from './random.ts'

/** A long field or a repeated piece ends here, where no other limit comes first. */
const LONG_BYTES_MAX = 300_000
/** Long messages cost as much as hundreds of short ones: one damage in so many makes one. */
const LONG_ONCE_IN = 600
const BYTES = Buffer.from([
  0,
  1,
  9,
  10,
  13,
  0x20,
  0x7f,
  0x80,
  0xfe,
  0xff,
  ...Buffer.from('"#$%&*+,-./:;<=>?[\\]{|}09AEVXZ'),
])
const LENGTHS = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff]
const NUMBERS = [
  'NaN',
  'Infinity',
  '-Infinity',
  '1e999',
  '-1e999',
  '1e308',
  '-1e308',
  '1e-999',
  '-0',
  '-1',
  '0',
  '00',
  '0x10',
  '1_0',
  '.',
  '-',
  '+5',
  '1e',
  '90.0000001',
  '-180.5',
  '360',
  '361',
  '65536',
  '2147483648',
  '4294967296',
  '4294967295999',
  '4294967296000',
  '8640000000000001',
  '9007199254740993',
  '99999999999999999999',
  '9'.repeat(320),
  `0.${'3'.repeat(80)}`,
  '١٢٣',
  '１２',
  'null',
  'true',
  '""',
  '[]',
  '{}',
  '"1"',
  '1 2',
  '253161',
  '999999',
]
const TEXTS = [
  '\0',
  '\ufeff',
  '\uffff',
  '\u2028',
  '\u202e',
  '\u0301'.repeat(40),
  '😀',
  '𝟘',
  'ß'.repeat(30),
  '__proto__',
  'constructor',
  'toString',
  '\\',
  '\\u0000',
  '\\ud800',
  '\\udc00\\ud800',
  '\\\\u0000',
  '\\n',
  '\\x',
  '%00',
  '%',
  '%zz',
  '%ff',
  '%ED%A0%80',
  '%F0%9F%98%80',
  '%22',
  '+',
  '&',
  '=',
  ';',
  '\r\n',
  '\t',
  '#',
  ',',
  ',,,,',
  '/',
  '/../',
  "'",
  '"',
  '<script>',
  '-',
  'alarm',
  'ignition',
  'network',
  'event',
  'sat',
  'hdop',
  'NaN',
]
/** Those that stand in JSON for a value, and inside a text. */
const JSON_VALUES = NUMBERS.filter(isJson)
const JSON_TEXTS = TEXTS.filter((text) => isJson(`"${text}"`))
const RAW_TEXTS = ['c080', 'eda080', 'f8888080', 'fffe', 'e282', 'f4908080', '80', '00', '0d0a'].map((hex) =>
  Buffer.from(hex, 'hex'),
)
const OPENINGS = ['[', '{"a":', '{"location":', '{"attributes":', '{"extras":', '[[', '{"coords":{', '(']
const CLOSINGS: Readonly<Record<string, string>> = { '[': ']', '[[': ']]', '(': ')', '{"coords":{': '}}' }

export class Damager {
  private readonly random: Random
  /** Messages that pieces are spliced from. */
  private readonly others: readonly Buffer[]
  /** Room for the message under damage; {@link length} bytes of it are in use. */
  private readonly scratch = Buffer.alloc(2 * LONG_BYTES_MAX)
  private length = 0

  constructor(random: Random, others: readonly Buffer[]) {
    this.random = random
    this.others = others.filter((bytes) => bytes.length > 0)
  }

  /** @returns A damaged copy of `bytes` of `bytesMax` bytes at most. */
  damage(bytes: Buffer, bytesMax = LONG_BYTES_MAX): Buffer {
    this.length = bytes.copy(this.scratch)
    const text = isText(bytes)
    const json = bytes[0] === 0x7b || bytes[0] === 0x5b
    const wellFormed = json && !this.random.once(3)
    for (let times = 1 + this.random.below(3); times > 0; times--) {
      if (wellFormed) this.damageJson()
      else if (text && !this.random.once(3)) this.damageText()
      else this.damageBytes()
    }
    return Buffer.from(this.scratch.subarray(0, Math.min(this.length, bytesMax)))
  }

  private damageBytes(): void {
    const { random, scratch, length } = this
    const at = random.below(length)
    switch (random.below(13)) {
      case 0:
      case 1:
        scratch[at]! ^= 1 << random.below(8)
        break
      case 2:
        scratch[at] = random.next()
        break
      case 3:
        scratch[at] = BYTES[random.below(BYTES.length)]!
        break
      case 4:
        this.replace(at, 0, this.randomBytes(1 + random.below(16)))
        break
      case 5:
        this.replace(at, 1 + random.below(random.once(3) ? length : 8), EMPTY)
        break
      case 6:
        this.replace(at, 0, Buffer.from(scratch.subarray(at, Math.min(length, at + 1 + random.below(64)))))
        break
      case 7:
        this.length = at
        break
      case 8:
        this.splice(at)
        break
      case 9:
      case 10:
        this.setLength(at)
        break
      case 11:
        if (random.once(16)) this.replace(0, length, this.randomBytes(1 + random.below(400)))
        else this.replace(random.once(2) ? 0 : length, 0, this.randomBytes(1 + random.below(24)))
        break
      case 12:
        if (random.once(LONG_ONCE_IN)) this.repeat(at)
        else scratch.fill(random.pick(FILLS), at, Math.min(length, at + 1 + random.below(12)))
    }
  }

  /** Leaves JSON what it is, mostly: a parser stops at anything else, and what is behind it sees nothing. */
  private damageJson(): void {
    const { random, length } = this
    const at = random.below(length)
    switch (random.below(8)) {
      case 0:
      case 1:
      case 2:
        this.replaceRun(at, isDigit, random.pick(JSON_VALUES))
        break
      case 3:
      case 4:
        this.replaceRun(at, isLetter, random.pick(JSON_TEXTS))
        break
      case 5:
        this.replaceRun(at, isLetter, 'x'.repeat(1 + random.below(random.once(8) ? 2000 : 80)))
        break
      case 6:
        this.replaceRun(at, isDigit, `[${random.pick(JSON_VALUES)}]`)
        break
      case 7:
        if (random.once(LONG_ONCE_IN)) this.addMembers(at)
        else this.replaceRun(at, isDigit, `{"lat":${random.pick(JSON_VALUES)}}`)
    }
  }

  private damageText(): void {
    const { random, length } = this
    const at = random.below(length)
    switch (random.below(10)) {
      case 0:
      case 1:
      case 2:
        this.replaceRun(at, isDigit, random.pick(NUMBERS))
        break
      case 3:
      case 4:
        this.replaceRun(at, isLetter, random.pick(TEXTS))
        break
      case 5:
        this.replace(at, 0, Buffer.from(random.pick(TEXTS)))
        break
      case 6:
        this.replace(at, random.below(2), random.pick(RAW_TEXTS))
        break
      case 7:
        this.replaceRun(at, isLetter, 'x'.repeat(1 + random.below(random.once(8) ? 2000 : 80)))
        break
      case 8:
        this.nest(at, random.once(LONG_ONCE_IN) ? 60_000 : 1 + random.below(8))
        break
      case 9:
        if (!random.once(LONG_ONCE_IN)) this.replaceRun(at, isDigit, '')
        else if (random.once(2)) this.repeat(at)
        else this.addMembers(at)
    }
  }

  /** A length, count or offset of 1, 2 or 4 bytes set to an extreme. */
  private setLength(at: number): void {
    const { random, scratch, length } = this
    const value = random.pick(LENGTHS)
    const width = random.pick([1, 2, 2, 4])
    if (at + width > length) return
    if (random.once(4)) scratch.writeUIntLE(value % 2 ** (8 * width), at, width)
    else scratch.writeUIntBE(value % 2 ** (8 * width), at, width)
  }

  /** What is behind `at` becomes that of another message. */
  private splice(at: number): void {
    const other = this.random.pick(this.others)
    const from = this.random.once(2) ? Math.min(at, other.length) : this.random.below(other.length)
    this.replace(at, this.length, other.subarray(from))
  }

  /** A piece many times over. */
  private repeat(at: number): void {
    const { random, scratch, length } = this
    const piece = Buffer.from(scratch.subarray(at, Math.min(length, at + 1 + random.below(40))))
    const bytes = Math.min(LONG_BYTES_MAX - length, 1 << (8 + random.below(11)))
    if (piece.length > 0 && bytes > 0) this.replace(at, 0, Buffer.alloc(bytes, piece))
  }

  private nest(at: number, depth: number): void {
    const opening = this.random.pick(OPENINGS)
    const closing = CLOSINGS[opening] ?? '}'
    const inner = this.random.once(2) ? '1' : ''
    const closings = this.random.once(4) ? '' : closing.repeat(depth)
    this.replaceRun(at, isDigit, opening.repeat(depth) + inner + closings)
  }

  /** Thousands of members behind the next brace, or of parameters at the end. */
  private addMembers(at: number): void {
    const value = this.random.pick(['1', '{}', 'null', '"x"', '[[]]', 'true'])
    const brace = this.scratch.subarray(0, this.length).indexOf(0x7b, at)
    let members = ''
    for (let i = 0; members.length < 200_000; i++)
      members += brace < 0 ? `&k${i}=${i % 7}` : `"k${i}":${value},`
    this.replace(brace < 0 ? this.length : brace + 1, 0, Buffer.from(members))
  }

  /** Replaces the next run of bytes that `isPart` from `at` on; with none in reach, inserts. */
  private replaceRun(at: number, isPart: (byte: number) => boolean, text: string): void {
    const { scratch, length } = this
    let start = at
    while (start < length && !isPart(scratch[start]!)) start++
    if (start === length) start = at
    let end = start
    while (end < length && isPart(scratch[end]!)) end++
    this.replace(start, end - start, Buffer.from(text))
  }

  private replace(at: number, bytes: number, by: Buffer): void {
    const { scratch } = this
    const end = Math.min(this.length, at + bytes)
    const inserted = Math.min(by.length, LONG_BYTES_MAX - at)
    const kept = Math.min(this.length - end, LONG_BYTES_MAX - at - inserted)
    scratch.copyWithin(at + inserted, end, end + kept)
    by.copy(scratch, at, 0, inserted)
    this.length = at + inserted + kept
  }

  private randomBytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    for (let i = 0; i < length; i++) bytes[i] = this.random.next()
    return bytes
  }
}

const EMPTY = Buffer.alloc(0)
const FILLS = [0, 0xff, 0x30, 0x39]

function isDigit(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || byte === 0x2e || byte === 0x2d
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x5f
}

function isText(bytes: Buffer): boolean {
  const end = Math.min(bytes.length, 64)
  for (let at = 0; at < end; at++) if (bytes[at]! < 0x09 || bytes[at]! > 0x7e) return false
  return end > 0
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
