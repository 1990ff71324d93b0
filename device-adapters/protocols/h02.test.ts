/** What the recorded frames of H02 do not hold: the rest of its document, and frames that look like each other. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { QUALITY } from '../../schemas/quality.ts'
import { CommandError, type Transport } from '../adapter.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { h02 } from './h02.ts'

const SHORT = '2441060116601245431311165035313006004318210e000000fffffbffff0024'
const LONG = '24410600082621532131081504419390060740418306000000fffffbfdff0015060000002c02dc0c000000001f'
const RECEIVED_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

function decode(bytes: Buffer | string, transport: Transport = 'tcp'): DecodedLine {
  return new RecordedStream(h02).decode(
    { protocol: 'h02', stream: 1, transport, bytes: Buffer.from(bytes).toString('hex') },
    RECEIVED_MS,
  )
}

function framesOf(bytes: Buffer): string[] {
  const reader = new FrameReader(h02, 'tcp')
  reader.push(bytes)
  const frames: string[] = []
  for (let frame = reader.next(); frame !== undefined; frame = reader.next())
    frames.push(frame.toString('hex'))
  return frames
}

const hex = (text: string) => Buffer.from(text, 'hex')

test('reads the same position of a long frame that is cut where a short one would end', () => {
  const stream = new RecordedStream(h02)
  const line = { protocol: 'h02', stream: 1, transport: 'tcp' } as const
  const head = stream.decode({ ...line, bytes: LONG.slice(0, 64) }, RECEIVED_MS)
  const tail = stream.decode({ ...line, bytes: LONG.slice(64) + SHORT }, RECEIVED_MS)
  expect(head.positions).toEqual(decode(hex(LONG)).positions)
  expect(tail.positions).toEqual(decode(hex(SHORT)).positions)
})

test.each([
  ['24', 'the marker of a binary frame'],
  ['2a', 'the marker of a text frame'],
  ['58', 'the marker of a mileage frame'],
  ['23', 'the end of a text frame'],
])('keeps a long frame whole that holds %s, %s, where a short one would end', (byte) => {
  const frame = LONG.slice(0, 64) + byte + LONG.slice(66)
  expect(framesOf(hex(frame + frame + SHORT))).toEqual([frame, frame, SHORT])
})

test('drops stray bytes between frames, markers among them', () => {
  const text = Buffer.from('*HQ,135790246811220,HTBT#').toString('hex')
  const stray = '00ff0d0a2458ff2a00'
  expect(framesOf(hex(stray + text + stray + SHORT + text + stray))).toEqual([text, SHORT, text])
})

test('waits for the rest of a frame', () => {
  expect(framesOf(Buffer.from('*HQ,135790246811220,HT'))).toEqual([])
  expect(framesOf(hex(LONG.slice(0, 80)))).toEqual([])
})

test('takes a position from a datagram with two bytes of voltage more than a long frame', () => {
  const { positions, error } = decode(hex(`${LONG.slice(0, 88)}05141f`), 'udp')
  expect(positions).toEqual(decode(hex(LONG)).positions)
  expect(error).toBeNull()
})

test('reads a mileage frame as a position of the device that the connection knows', () => {
  const mileage = '5800001305021024031101175540227031012321670c000095fffffbffff0033'
  const { positions } = decode(Buffer.concat([Buffer.from('*HQ,4206119130,HTBT#'), hex(mileage)]))
  expect(positions).toMatchObject([
    { device: '4206119130', fixTime: '2017-01-11T10:24:03.000Z', valid: false, course: 95 },
  ])
  // The document's own example: 130502 × 0.51444 m.
  expect(positions[0]!.attributes.odometer).toBeCloseTo(67_135.5, -1)
})

test('reads a battery level that charges as the level', () => {
  const { positions } = decode(hex(`${SHORT.slice(0, 32)}f5${SHORT.slice(34)}`))
  expect(positions[0]!.attributes.batteryLevel).toBe(80)
})

test('reads date and status of V19, which stand around the data of the SIM', () => {
  const { positions } = decode(
    '*HQ,4209951296,V19,214452,A,5201.0178,N,01830.5029,E,000.00,000,200417,,195.63.13.195,89480610500392633029,BFFFFBFF#',
  )
  expect(positions).toMatchObject([
    {
      fixTime: '2017-04-20T21:44:52.000Z',
      valid: true,
      attributes: { status: 0xbffffbff, ignition: false },
    },
  ])
})

test('reads the status after a battery level that stands before the date', () => {
  const { positions } = decode(
    '*HQ,4210209006,V1,054048,A,2828.2297,N,07733.4332,E,000.5,047,4,080918,EEE7FBDF,4261193,0#',
  )
  expect(positions[0]).toMatchObject({
    course: 47,
    fixTime: '2018-09-08T05:40:48.000Z',
    attributes: { alarm: 'powerCut', ignition: false, io1: '4261193', io2: '0' },
  })
})

test('takes an empty speed and an empty course for 0', () => {
  const { positions } = decode('*HQ,2705171109,V1,213324,A,5002.5849,N,01433.7822,E,,,140613,FFFFFFFF#')
  expect(positions).toMatchObject([{ speed: 0, course: 0, fixTime: '2013-06-14T21:33:24.000Z' }])
})

test('takes the time of receipt where the tracker knows no date', () => {
  const batch = new PositionBatch(8)
  const session = new DeviceSession(h02, 'tcp', () => undefined)
  session.receivedMs = RECEIVED_MS
  const text = '*HQ,2705171109,V1,000012,V,5002.5849,N,01433.7822,E,0.00,0,000000,FFFFFFFF#'
  decodeFrame(h02, Buffer.from(text), session, batch)
  expect(batch.fixTimeMs[0]).toBe(RECEIVED_MS)
  expect(batch.quality[0]).toBe(QUALITY.noTime | QUALITY.invalidFix)
})

test('reads an older V3, a fix with the wish for its street address', () => {
  const { positions } = decode(
    '*HQ,4106000054,V3,130305,A,2212.8745,N,11346.6574,E,14.28,028,220902,FFFFFBFF,460,01,43559,344224#',
  )
  expect(positions).toMatchObject([{ course: 28, attributes: { io1: '460', io4: '344224' } }])
})

test('reads the battery of a heartbeat and echoes its head', () => {
  const { positions, replies } = decode('*HQ,135790246811220,HTBT,77#')
  expect(positions).toEqual([{ device: '135790246811220', noFix: true, attributes: { batteryLevel: 77 } }])
  expect(replies.map((reply) => hex(reply).toString())).toEqual(['*HQ,135790246811220,HTBT#'])
})

test('reads the cell towers of VP1 without a fix', () => {
  const { positions } = decode('*hq,356327080425330,VP1,V,470,002,92,3565,0Y92,19882,-81#')
  expect(positions).toEqual([
    {
      device: '356327080425330',
      noFix: true,
      attributes: {},
      network: {
        radioType: 'gsm',
        cellTowers: [
          { mcc: 470, mnc: 2, lac: 92, cid: 3565, rssi: 0 },
          { mcc: 470, mnc: 2, lac: 92, cid: 19882, rssi: -81 },
        ],
      },
    },
  ])
})

test('reads a fix of VP1 by BeiDou as valid', () => {
  const { positions } = decode('*hq,356327080425330,VP1,B,2702.7245,S,15251.9311,E,0.48,0.0000,080917#')
  expect(positions).toMatchObject([{ valid: true, fixTime: '2017-09-08T00:00:00.000Z' }])
})

test('keeps the answer to a short message', () => {
  const { positions } = decode('*HQ,9180271064,SMS,ST906_TQ_V_2.0 2024/06/07\nVOLT:13.1V,GPS:A-22-20#')
  expect(positions).toEqual([
    {
      device: '9180271064',
      noFix: true,
      attributes: { result: 'ST906_TQ_V_2.0 2024/06/07\nVOLT:13.1V,GPS:A-22-20' },
    },
  ])
})

test('answers V1 and NBR with the time of receipt', () => {
  const v1 = '*HQ,2705171109,V1,213324,A,5002.5849,N,01433.7822,E,0.00,000,140613,FFFFFFFF#'
  const nbr = '*HQ,1451316451,NBR,112315,724,10,2,1,215,2135,123,011215,FFFFFFFF#'
  expect(decode(v1 + nbr).replies.map((reply) => hex(reply).toString())).toEqual([
    '*HQ,2705171109,V4,V1,20260102030405#',
    '*HQ,1451316451,V4,NBR,20260102030405#',
  ])
})

test.each([
  ['a valid fix without a place', '*HQ,2705171109,V1,213324,A,,N,01433.7822,E,0.00,000,140613,FFFFFFFF#'],
  ['NBR whose towers are no numbers', '*HQ,1451316451,NBR,112315,724,10,2,1,x,2135,123,011215,FFFFFFFF#'],
  ['LINK without its readings', '*HQ,1600068860,LINK,112137,20,8#'],
  ['V3 without its end', '*HQ,353111080001055,V3,044855,28403,01,001450,011473,158,-62#'],
  ['U+0000', '*HQ,9180271064,SMS,a\0b#'],
])('refuses %s', (_, text) => {
  const { positions, error, replies } = decode(text)
  expect(positions).toEqual([])
  expect(replies).toEqual([])
  expect(error?.code).toBe('malformed')
})

test('encodes its commands', () => {
  const session = new DeviceSession(h02, 'tcp', () => undefined)
  session.identify('123456789012345')
  session.receivedMs = Date.UTC(2026, 0, 1, 1, 2, 3)
  const { commands } = h02
  expect(commands?.engineStop?.({}, session)).toBe('*HQ,123456789012345,S20,010203,1,1#')
  expect(commands?.engineResume?.({}, session)).toBe('*HQ,123456789012345,S20,010203,1,0#')
  expect(commands?.custom?.({ data: 'CXZT' }, session)).toBe('CXZT')
  expect(() => commands?.custom?.({ data: 'CXZT#\r\n*HQ' }, session)).toThrow(CommandError)
})

test.each([
  ['V4,S20,DONE,130305,050316,A', true, 'S20,DONE'],
  ['V4,S20,ERROR,130305,050316,A', false, 'S20,ERROR'],
  ['V4,S14,100,10,1,3,130305,050316,A', true, 'S14,100,10,1,3'],
  ['V4,S23,165.165.33.250:8800,130305,050316,A', true, 'S23,165.165.33.250:8800'],
])('tells what became of a command: %s', (head, ok, text) => {
  const session = new DeviceSession(h02, 'tcp', () => undefined)
  const frame = `*TH,2020916012,${head},2212.8745,N,11346.6574,E,14.28,028,220902,FFFFFBFF#`
  decodeFrame(h02, Buffer.from(frame), session, new PositionBatch(8))
  expect(session.answers).toEqual([{ ok, text }])
})

test('reads the fix of a V4 that says nothing of a command', () => {
  const session = new DeviceSession(h02, 'tcp', () => undefined)
  const batch = new PositionBatch(8)
  const frame = '*TH,2020916012,V4,050316,A,2212.8745,N,11346.6574,E,14.28,028,220902,FFFFFBFF#'
  decodeFrame(h02, Buffer.from(frame), session, batch)
  expect(batch.length).toBe(1)
  expect(batch.courseDeg[0]).toBe(28)
  expect(session.answers).toEqual([])
})

test('takes the answer to a short message for one to a command', () => {
  const session = new DeviceSession(h02, 'tcp', () => undefined)
  decodeFrame(h02, Buffer.from('*HQ,9180271064,SMS,VOLT:13.1V,GSM:26#'), session, new PositionBatch(8))
  expect(session.answers).toEqual([{ ok: true, text: 'VOLT:13.1V,GSM:26' }])
})

test('sends a receipt of every fix to a device that waits for it', () => {
  const v5 = '*HQ,9180271064,V5,091233,V,2348.8912,N,09021.3302,E,000.00,000,051219,FFFFBBFF#'
  const replies = (bytes: Buffer, options: Record<string, unknown>) => {
    const stream = new RecordedStream(h02)
    const line = { protocol: 'h02', stream: 1, transport: 'tcp', setup: options } as const
    return stream
      .decode({ ...line, bytes: bytes.toString('hex') }, RECEIVED_MS)
      .replies.map((reply) => hex(reply).toString())
  }
  expect(replies(Buffer.from(v5), { ack: true })).toEqual(['*HQ,9180271064,R12,030405#'])
  expect(replies(hex(SHORT), { ack: true })).toEqual(['*HQ,4106011660,R12,030405#'])
  const v4 = v5.replace('V5,', 'V4,S71,091200,')
  expect(replies(Buffer.from(v4), { ack: true })).toEqual(['*HQ,9180271064,R12,030405#'])
  expect(replies(Buffer.from(v5), {})).toEqual([])
  expect(replies(Buffer.from('*HQ,4106011660,XT,1,100#'), { ack: true })).toEqual([])
})

test('names no device by digits above 9', () => {
  const { positions, error } = decode(hex(`244f${SHORT.slice(4)}`))
  expect([positions, error?.code]).toEqual([[], 'malformed'])
})
