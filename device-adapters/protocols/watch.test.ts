/** What the recorded frames of watches do not hold: brackets and escapes, the status, answers, damaged frames, commands. */
import { expect, test, vi } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type Adapter, CommandError, type Reply } from '../adapter.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { watch as watchAdapter } from './watch.ts'

// As the registry hands it out, without the type of its state.
const watch = watchAdapter as unknown as Adapter

const ID = '8809008845'
const CELLS = '2,255,204,8,3110,55025,146,3130,49297,'

/** A frame with the length of its content. */
function frame(content: string, maker = '3G', index = ''): string {
  return `[${maker}*${ID}*${index}${content.length.toString(16).padStart(4, '0').toUpperCase()}*${content}]`
}

function position(
  type: string,
  status = '00000000',
  network = '0,0',
  place = '48.949273,N,4.378306,E',
): string {
  return frame(`${type},120623,140020,A,${place},18.56,43.8,121.0,12,100,76,22612,0,${status},${network}`)
}

function decode(text: string): DecodedLine {
  return new RecordedStream(watch).decode(
    { protocol: 'watch', stream: 1, transport: 'tcp', bytes: Buffer.from(text, 'latin1').toString('hex') },
    Date.UTC(2026, 0, 2),
  )
}

/** The only position of a message. */
function positionOf(text: string) {
  const { positions, error } = decode(text)
  expect(error).toBeNull()
  expect(positions).toHaveLength(1)
  return positions[0]!
}

function framesOf(text: string): string[] {
  const reader = new FrameReader(watch, 'tcp')
  reader.push(Buffer.from(text, 'latin1'))
  const frames: string[] = []
  for (let next = reader.next(); next !== undefined; next = reader.next())
    frames.push(next.toString('latin1'))
  return frames
}

const textsOf = ({ replies }: DecodedLine) => replies.map((reply) => Buffer.from(reply, 'hex').toString())

test.each([
  ['00000000', 'UD', undefined],
  ['00000001', 'UD', 'lowBattery'],
  ['00000002', 'UD', 'geofenceExit'],
  ['00000004', 'UD2', 'geofenceEnter'],
  ['00004000', 'UD', 'powerCut'],
  ['00010000', 'AL', 'sos'],
  ['00020000', 'AL', 'lowBattery'],
  ['00040000', 'AL', 'geofenceExit'],
  ['00080000', 'AL', 'geofenceEnter'],
  ['00100000', 'AL_LTE', 'removing'],
  ['00200000', 'AL', 'fallDown'],
  ['00400000', 'AL', 'fallDown'],
  ['00000008', 'AL', 'general'],
])('reads the status %s of %s as the alarm %s', (status, type, alarm) => {
  expect(positionOf(position(type, status)).attributes.alarm).toBe(alarm)
})

test('reads the motion only from its bit', () => {
  expect(positionOf(position('UD', '00000010')).attributes.motion).toBe(true)
  expect(positionOf(position('UD')).attributes.motion).toBeUndefined()
})

test.each([
  ['48.9,N,4.3,E', 48.9, 4.3],
  ['48.9,S, 4.3,W', -48.9, -4.3],
  ['-48.9,S,-4.3,W', -48.9, -4.3],
  ['-48.9,N,-4.3,E', -48.9, -4.3],
  ['48,,4,', 48, 4],
])('reads the place %s', (place, latitude, longitude) => {
  expect(positionOf(position('UD', '0000', '0,0', place))).toMatchObject({ latitude, longitude })
})

test('reads cells in decimals and in hex, with and without a signal', () => {
  expect(positionOf(position('UD', '0000', `${CELLS},1a2b,ff01,-87`)).network).toEqual({
    radioType: 'gsm',
    cellTowers: [
      { mcc: 204, mnc: 8, lac: 3110, cid: 55025, rssi: -146 },
      { mcc: 204, mnc: 8, lac: 3130, cid: 49297 },
    ],
  })
  expect(positionOf(position('UD', '0000', '1,255,204,8,1a2b,ff01,-87')).network).toMatchObject({
    cellTowers: [{ lac: 0x1a2b, cid: 0xff01, rssi: -87 }],
  })
})

test('leaves out access points without an address or a signal, and reads those after them', () => {
  const wifi = '4,a,,-60,b,0,-61,c,00:41:d2:c0:f2:f1,,d,00:41:d2:c0:f2:f0,-77,0.0'
  expect(positionOf(position('UD', '0000', `0,${wifi}`)).network).toEqual({
    radioType: 'gsm',
    wifi: [{ mac: '00:41:d2:c0:f2:f0', rssi: -77 }],
  })
})

test('reads no more cells and access points than there are', () => {
  const many = position('UD', '0000', '999999999,255,204,8,3110,55025,146')
  expect(positionOf(many).network).toMatchObject({ cellTowers: [{ cid: 55025 }] })
  expect(positionOf(position('UD', '0000', '0,999999999,a,b')).network).toBeUndefined()
})

test.each(['[in pairs]', 'not closed [', '] closes '])(
  'finds the end of a frame with the Wi-Fi name %s',
  (name) => {
    const first = position('UD', '0000', `0,1,${name},00:41:d2:c0:f2:f0,-77`)
    const second = frame('LK')
    const frames = framesOf(first + second)
    expect(frames.at(-1)).toBe(second)
    // A bracket that closes too much ends the frame early; the rest is dropped.
    expect(frames[0]).toBe(name.startsWith(']') ? first.slice(0, first.indexOf(']') + 1) : first)
  },
)

test('finds the end of a frame whose length is wrong', () => {
  const short = frame('LK,0,0,53').replace('*0009*', '*0003*')
  const long = frame('LK,0,0,53').replace('*0009*', '*00FF*')
  expect(framesOf(short + long + short)).toEqual([short, long, short])
})

test('takes the escapes out of a sound, and leaves those of no meaning', () => {
  expect(framesOf('[CS*8809008845*000c*TK,}\u0001}\u0002}\u0003}\u0004}\u0005}\u0006}]')).toEqual([
    '[CS*8809008845*000c*TK,}[],*}\u0006}]',
  ])
})

test('drops what is no frame', () => {
  expect(framesOf(`garbage][${frame('LK')}\r\n[]${frame('TKQ')}[XX`)).toEqual([frame('LK'), frame('TKQ')])
})

test('tells of sounds and pictures, and acknowledges parts of a sound', () => {
  expect(positionOf(frame('TK,#!AMR\u0000\u0001')).attributes).toEqual({ audio: true })
  expect(decode(frame('TK,1')).positions).toEqual([])
  expect(positionOf(frame('img,5,220526093954,\u00ff\u00d8')).attributes).toEqual({ image: true })
  const part = decode(frame('JXTK,0,sound,1,2,#!AMR', 'ZJ', '0034*'))
  expect(part.positions).toEqual([])
  expect(textsOf(part)).toEqual([`[ZJ*${ID}*0034*0007*JXTKR,1]`])
  expect(positionOf(frame('JXTK,0,sound,2,2,#')).attributes).toEqual({ audio: true })
})

test.each([
  ['INIT,13800000000,V1', 'INIT,1'],
  ['LK', 'LK'],
  ['TKQ2', 'TKQ2'],
])('answers %s with %s', (content, reply) => {
  expect(textsOf(decode(frame(content)))).toEqual([
    `[3G*${ID}*${reply.length.toString(16).padStart(4, '0')}*${reply}]`,
  ])
})

test('reads readings of the body in either case, and none where there is none', () => {
  expect(positionOf(frame('HEART,71')).attributes).toEqual({ heartRate: 71 })
  expect(positionOf(frame('Bphrt,120,79,73,,,,')).attributes).toEqual({
    pressureHigh: '120',
    pressureLow: '79',
    heartRate: 73,
  })
  expect(positionOf(frame('BTEMP2,1,36.6')).attributes).toEqual({ temp1: 36.6 })
  expect(positionOf(frame('btemp2,0,0.0')).attributes).toEqual({})
  expect(decode(frame('heart')).positions).toEqual([])
})

test.each([
  position('UD').replace(',A,', ',X,'),
  position('UD').replace('48.949273', 'north'),
  position('UD').replace(',00000000,', ',no status,'),
  frame('UD,120623,140020,A,48.9,N,4.3,E'),
  frame('JXTK,0,sound'),
])('finds %s malformed', (text) => {
  expect(decode(text)).toMatchObject({ positions: [], replies: [], error: { code: 'malformed' } })
})

test('keeps a position whose towers cannot be read, and those before the first of them', () => {
  const { network, latitude } = positionOf(position('AL', '0000', '2,255,204,8,3110,55025,,none,49297,124,0'))
  expect(latitude).toBe(48.949273)
  expect(network).toEqual({ radioType: 'gsm', cellTowers: [{ mcc: 204, mnc: 8, lac: 3110, cid: 55_025 }] })
  expect(positionOf(position('UD', '0000', '1,460,0,9a4c,5b1,42')).network).toBeUndefined()
})

test('gives a position that is sent again, with another index and as UD2, the same digest', () => {
  const digestOf = (text: string) => {
    const batch = new PositionBatch(8)
    decodeFrame(watch, Buffer.from(text), new DeviceSession(watch, 'tcp', () => undefined), batch)
    return [batch.digestHigh[0], batch.digestLow[0]]
  }
  const content = position('UD').slice(position('UD').indexOf('*UD') + 1, -1)
  const first = digestOf(frame(content, 'ZJ', '0034*'))
  expect(digestOf(frame(content.replace('UD', 'UD2'), 'ZJ', '0035*'))).toEqual(first)
  expect(digestOf(frame(content.replace('18.56', '18.57'), 'ZJ', '0034*'))).not.toEqual(first)
})

test('knows a stream by its first bytes', () => {
  const starts = (text: string) => watch.starts!(Buffer.from(text), 'tcp')
  expect(starts('[3G*8809')).toBeUndefined()
  expect(starts('[3G*8809008845*0009')).toBeUndefined()
  expect(starts('[3G*8809008845*0009*')).toBe(true)
  expect(starts('[3G*880900884X')).toBe(false)
  expect(starts('[begin]')).toBe(false)
  expect(starts('3G*')).toBe(false)
})

/** A session of a watch that has sent a frame. */
function sessionAfter(text: string): DeviceSession {
  const session = new DeviceSession(watch, 'tcp', () => undefined)
  session.receivedMs = Date.UTC(2026, 6, 1)
  decodeFrame(watch, Buffer.from(text), session, new PositionBatch(8))
  return session
}

const commands = watch.commands as Record<string, (attributes: object, session: DeviceSession) => Reply>
const encode = (type: string, attributes: object, session = sessionAfter(frame('LK'))) =>
  commands[type]!(attributes, session).toString('latin1')

test('sends commands with the maker of the watch, and an index where the watch has one', () => {
  expect(encode('positionSingle', {})).toBe(`[3G*${ID}*0002*CR]`)
  const indexed = sessionAfter(frame('LK', 'ZJ', '0034*'))
  expect(encode('positionSingle', {}, indexed)).toBe(`[ZJ*${ID}*0001*0002*CR]`)
  indexed.commandSerial = 0xffff
  expect(encode('rebootDevice', {}, indexed)).toBe(`[ZJ*${ID}*0001*0005*RESET]`)
})

test.each([
  ['positionPeriodic', { frequency: 600 }, 'UPLOAD,600'],
  ['alarmSos', { enable: true }, 'SOSSMS,1'],
  ['alarmBattery', { enable: false }, 'LOWBAT,0'],
  ['alarmRemove', { enable: true }, 'REMOVE,1'],
  ['alarmClock', { data: '08:10-1-1' }, 'REMIND,08:10-1-1'],
  ['silenceTime', { data: '21:10-7:30' }, 'SILENCETIME,21:10-7:30'],
  ['setPhonebook', { data: '15550100,0041' }, 'PHB,15550100,0041'],
  ['setIndicator', { data: '3' }, 'FLOWER,3'],
  ['message', { message: 'Zoë' }, 'MESSAGE,005a006f00eb'],
  ['powerOff', {}, 'POWEROFF'],
])('encodes %s', (type, attributes, content) => {
  expect(encode(type, attributes)).toBe(
    `[3G*${ID}*${content.length.toString(16).padStart(4, '0')}*${content}]`,
  )
})

test.each([
  ['UTC', '+0'],
  ['America/New_York', '-5'],
  ['Australia/Adelaide', '+9.5'],
  ['Asia/Kathmandu', '+5.75'],
  ['Europe/Dublin', '+0'],
  ['GMT-3', '-3'],
])('tells the watch the standard time of %s as %s hours', (timezone, hours) => {
  expect(encode('setTimezone', { timezone, language: 4 })).toContain(`*LZ,4,${hours}]`)
})

test('refuses what breaks out of a command, or is not known', () => {
  expect(() => encode('custom', { data: 'CR][3G*1*0002*CR' })).toThrow(CommandError)
  expect(() => encode('custom', { data: 'CR\r' })).toThrow(CommandError)
  expect(() => encode('setIndicator', { data: '3]' })).toThrow(CommandError)
  expect(() => encode('sosNumber', { index: 4, phone: '1' })).toThrow(CommandError)
  expect(() => encode('setTimezone', { timezone: 'Mars/Olympus' })).toThrow('no time zone Mars/Olympus')
  expect(() => encode('voiceMessage', { data: '2a'.repeat(32_768) })).toThrow(CommandError)
})

test('takes the name of a command for its answer, once, and a sound for none', () => {
  const session = sessionAfter(frame('LK'))
  const answersTo = (content: string) => {
    session.answers.length = 0
    decodeFrame(watch, Buffer.from(frame(content)), session, new PositionBatch(8))
    return [...session.answers]
  }
  expect(answersTo('UPLOAD')).toEqual([])
  encode('positionPeriodic', { frequency: 60 }, session)
  expect(answersTo('UPLOAD')).toEqual([{ ok: true, text: '' }])
  expect(answersTo('UPLOAD')).toEqual([])
  encode('voiceMessage', { data: '2321' }, session)
  expect(answersTo('TK,#!AMR')).toEqual([])
  expect(answersTo('TK,0')).toEqual([{ ok: false, text: '0' }])
  encode('custom', { data: 'VERNO' }, session)
  expect(answersTo('VERNO,G36_V4.0')).toEqual([{ ok: true, text: 'G36_V4.0' }])
})

test('looks for the end of a frame once through its bytes, however many brackets they are', () => {
  const bytes = Buffer.from(`[3G*${ID}*FFFF*${'[]'.repeat(30_000)}`)
  const searches = vi.spyOn(Buffer.prototype, 'indexOf')
  expect(watch.frame!(bytes, 'tcp')).toBe(0)
  expect(searches.mock.calls.length).toBeLessThan(10)
  searches.mockRestore()
})
