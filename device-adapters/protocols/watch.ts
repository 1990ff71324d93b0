/**
 * Watches of children and elders, and other wearables that use the Setracker platform or one like it.
 *
 *     [MAKER*ID*LENGTH*CONTENT]   [MAKER*ID*INDEX*LENGTH*CONTENT]
 *
 * MAKER has two characters (CS, SG, 3G, ZJ, …), ID 10 digits of the IMEI or all 15, INDEX and LENGTH four digits of
 * hex. Within sounds and pictures `}` and 1 to 5 stand for `}`, `[`, `]`, `,` and `*`. CONTENT is a type, mostly with
 * fields after commas; `→` is the reply, in a frame with the same head:
 *
 *     INIT,…   → INIT,1     LK[,steps,tumbles,battery %]   → LK     TKQ, TKQ2   → the type
 *     UD…, WT…, and AL…   → AL      position: types that begin so, such as UD2 (sent late) or UD_WCDMA, all with
 *         ddmmyy,hhmmss,A|V,latitude,N|S,longitude,E|W,km/h,course,altitude,satellites,signal %,battery %,steps,
 *         tumbles,status (hex),cells[,timing advance,mcc,mnc{,lac,cid,signal}],wifi{,name,MAC,signal}[,…]
 *     PULSE, HEART,rate   BLOOD, BPHRT,high,low[,rate]   TEMP,°C   BTEMP2,1,°C   OXYGEN,type,%     in either case
 *     TK,sound   JXTK,type,name,part,parts,sound   → JXTKR,1     img,…,picture
 *
 * A command is answered by its name. Sounds and pictures are told, not kept.
 *
 * Source: "GPS Watch Communication Protocol" of Setracker, as published for Q50 and its relatives.
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { DecodeError, defineAdapter, type Session } from '../adapter.ts'
import { COMMANDS, hex4, isAnswer, unescaped, type WatchState } from './watch/commands.ts'
import { decodePosition } from './watch/position.ts'

const OPEN = 0x5b
const CLOSE = 0x5d
const HEAD_BYTES_MAX = 40
const ANSWER_LENGTH_MAX = 1024

const HEAD = /^\[([0-9A-Z]{2})\*(\d{8,16})\*(?:([0-9A-Fa-f]{4})\*)?([0-9A-Fa-f]{4})\*/
/** Parts of the head that are there in every frame: whole, and while its end is missing. */
const HEAD_PARTS = [
  [/^[0-9A-Z]{2}$/, /^[0-9A-Z]{0,2}$/],
  [/^\d{8,16}$/, /^\d{0,16}$/],
  [/^[0-9A-Fa-f]{4}$/, /^[0-9A-Fa-f]{0,4}$/],
] as const

export const watch = defineAdapter<WatchState>({
  id: 'watch',
  version: 1,
  makers: ['Wonlex', 'Setracker', 'many others'],
  source: 'GPS Watch Communication Protocol (Setracker)',
  listen: { tcp: 5093 },
  // Sounds and pictures; the length has four digits of hex, and head and bracket come on top.
  maxFrameBytes: 0xffff + HEAD_BYTES_MAX + 1,

  open: () => ({ maker: 'CS', indexed: false, sent: [] }),

  starts: startsWithHead,

  frame(bytes) {
    const starts = startsWithHead(bytes)
    if (starts === undefined) return 0
    if (!starts) {
      const next = bytes.indexOf(OPEN, 1)
      return next < 0 ? -bytes.length : -next
    }
    const head = HEAD.exec(bytes.toString('latin1', 0, HEAD_BYTES_MAX))
    return frameLength(bytes, head === null ? -1 : head[0].length + Number.parseInt(head[4]!, 16))
  },

  unescape: unescaped,

  decode(frame, session, out) {
    const { maker, id, index, type, content } = partsOf(frame)
    session.identify(id)
    session.state.maker = maker
    session.state.indexed = index !== undefined
    // A sound of the watch's own has the name of the command that sends it one.
    if ((type !== 'TK' || content.length === 1) && isAnswer(type, session.state)) {
      const text = textOf(content).slice(0, ANSWER_LENGTH_MAX)
      session.answer({ ok: text !== '0', text })
    }
    const firstRow = out.length
    decoderOf(type)?.(content, session, out)
    // What is sent again has another index, and as UD2 another type.
    const end = content.byteOffset - frame.byteOffset + content.length
    for (let row = firstRow; row < out.length; row++) out.setRecord(row, end - content.length, end)
  },

  ack(frame) {
    const { maker, id, index, type } = partsOf(frame)
    const content = type.startsWith('AL') ? 'AL' : REPLIES.get(type)
    if (content === undefined) return undefined
    return `[${maker}*${id}*${index === undefined ? '' : `${index}*`}${hex4(content.length)}*${content}]`
  },

  commands: COMMANDS,
})

const REPLIES: ReadonlyMap<string, string> = new Map([
  ['INIT', 'INIT,1'],
  ['LK', 'LK'],
  ['TKQ', 'TKQ'],
  ['TKQ2', 'TKQ2'],
  ['JXTK', 'JXTKR,1'],
])

/** Whether a frame starts here; undefined while too little of its head is there. */
function startsWithHead(bytes: Buffer): boolean | undefined {
  if (bytes[0] !== OPEN) return false
  const parts = bytes.toString('latin1', 1, HEAD_BYTES_MAX).split('*')
  for (let i = 0; i < HEAD_PARTS.length && i < parts.length; i++) {
    const [whole, unfinished] = HEAD_PARTS[i]!
    if (!(i < parts.length - 1 ? whole : unfinished).test(parts[i]!)) return false
  }
  return parts.length > HEAD_PARTS.length || undefined
}

/**
 * Length of the frame at the start of `bytes`; 0 while its end is missing. Names of Wi-Fi hold brackets, in pairs for
 * the most part, and the length is that of the content with or without its escapes: so the frame ends with the
 * bracket that closes the first, or with one where the length says.
 * @param lengthEnd Where its last bracket is by the length.
 */
function frameLength(bytes: Buffer, lengthEnd: number): number {
  let unclosed = 1
  // In one pass, since it begins anew with every byte that drips in.
  for (let at = 1; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === OPEN) unclosed++
    else if (byte === CLOSE) {
      unclosed--
      if (unclosed === 0 || at === lengthEnd) return at + 1
    }
  }
  return 0
}

interface Parts {
  readonly maker: string
  readonly id: string
  readonly index: string | undefined
  readonly type: string
  /** What follows the type and its comma. */
  readonly content: Buffer
}

function partsOf(frame: Buffer): Parts {
  const [head, maker, id, index] = HEAD.exec(frame.toString('latin1', 0, HEAD_BYTES_MAX)) ?? []
  if (head === undefined) throw new DecodeError('malformed', 'no head [XX*ID*LENGTH*')
  const body = frame.subarray(head.length, frame.at(-1) === CLOSE ? -1 : frame.length)
  const comma = body.indexOf(0x2c)
  const type = body.toString('latin1', 0, comma < 0 ? body.length : comma)
  return { maker: maker!, id: id!, index, type, content: body.subarray(comma < 0 ? body.length : comma + 1) }
}

type Decoder = (content: Buffer, session: Session<WatchState>, out: PositionBatch) => void

function decoderOf(type: string): Decoder | undefined {
  if (/^(?:UD|WT)/.test(type)) return (content, _, out) => decodePosition(textOf(content), false, out)
  if (type.startsWith('AL')) return (content, _, out) => decodePosition(textOf(content), true, out)
  return DECODERS.get(type) ?? HEALTH.get(type.toLowerCase())
}

const DECODERS: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  [
    'LK',
    (content, _, out) => {
      const [steps, , battery] = textOf(content).split(',')
      if (battery === undefined) return
      const row = out.addWithoutFix()
      out.set(row, 'batteryLevel', numberOf(battery))
      out.set(row, 'steps', numberOf(steps))
    },
  ],
  // One byte says whether the watch took a sound of ours.
  ['TK', (content, _, out) => void (content.length > 1 && out.set(out.addWithoutFix(), 'audio', true))],
  [
    'JXTK',
    (content, _, out) => {
      const [part, parts] = content.toString('latin1', 0, 128).split(',').slice(2).map(Number)
      if (!(part! > 0) || !(parts! > 0)) throw new DecodeError('malformed', 'no part of a sound')
      if (part! >= parts!) out.set(out.addWithoutFix(), 'audio', true)
    },
  ],
  ['img', (_content, _, out) => out.set(out.addWithoutFix(), 'image', true)],
])

type ReadingsOf = (fields: readonly string[]) => Readonly<Record<string, string | number | undefined>>

/** Readings of the body, by the type in lower case; the watch sends no time with them. */
const READINGS: Readonly<Record<string, ReadingsOf>> = {
  pulse: ([rate]) => ({ heartRate: numberOf(rate) }),
  heart: ([rate]) => ({ heartRate: numberOf(rate) }),
  blood: ([pressureHigh, pressureLow, rate]) => ({ pressureHigh, pressureLow, heartRate: numberOf(rate) }),
  bphrt: ([pressureHigh, pressureLow, rate]) => ({ pressureHigh, pressureLow, heartRate: numberOf(rate) }),
  temp: ([celsius]) => ({ temp1: numberOf(celsius) }),
  btemp2: ([measured, celsius]) => (Number(measured) > 0 ? { temp1: numberOf(celsius) } : {}),
  oxygen: ([, percent]) => ({ bloodOxygen: numberOf(percent) }),
}

const HEALTH: ReadonlyMap<string, Decoder> = new Map(
  Object.entries(READINGS).map(([type, readingsOf]): [string, Decoder] => [
    type,
    (content, _, out) => {
      if (content.length === 0) return
      const row = out.addWithoutFix()
      for (const [key, value] of Object.entries(readingsOf(textOf(content).split(',')))) {
        if (value !== '') out.set(row, key, value)
      }
    },
  ]),
)

function textOf(content: Buffer): string {
  const text = content.toString('latin1')
  if (text.includes('\0')) throw new DecodeError('malformed', 'U+0000 in a text frame')
  return text
}

/** NaN where there is none. */
function numberOf(text = ''): number {
  return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN
}
