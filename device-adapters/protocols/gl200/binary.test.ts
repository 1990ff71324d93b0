/** What the recorded binary frames of Queclink do not hold: the rest of its documents, and damage. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../../schemas/position-batch.ts'
import type { Adapter } from '../../adapter.ts'
import { crc8Nrsc5, crc16CcittFalse } from '../../checksums.ts'
import { DeviceSession, decodeFrame, repliesOf } from '../../decoder.ts'
import { RecordedStream } from '../../recorded-line.ts'
import { gl200 } from '../gl200.ts'

const adapter = gl200 as Adapter
const RECEIVED_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

function sessionOf(options: Record<string, unknown> = {}): DeviceSession {
  return new DeviceSession(adapter, 'tcp', () => ({ model: '', options }))
}

/** Keys of the rows of a frame: time and digest. */
function keysOf(frame: Buffer): string[] {
  const batch = new PositionBatch(8)
  decodeFrame(adapter, frame, sessionOf(), batch)
  return Array.from({ length: batch.length }, (_, row) =>
    [batch.fixTimeMs[row], batch.digestHigh[row], batch.digestLow[row]].join(' '),
  )
}

/** A binary frame of its content up to the count number: head, content, CRC, line end. */
function binary(head: string, content: string): Buffer {
  const bytes = Buffer.concat([
    Buffer.from(head),
    Buffer.from(content, 'hex'),
    Buffer.from('00000d0a', 'hex'),
  ])
  if (head !== '+ACK') bytes.writeUInt16BE(bytes.length, 9)
  bytes.writeUInt16BE(crc16CcittFalse(bytes, 4, bytes.length - 4), bytes.length - 4)
  return bytes
}

/** A frame of records, of what follows its IMEI up to the count number. */
function records(flags: string, content: string): Buffer {
  const bytes = Buffer.from(`2b000000${flags}0861261070000480${content}00050024`, 'hex')
  bytes.writeUInt16BE(bytes.length, 2)
  bytes[bytes.length - 2] = crc8Nrsc5(bytes, 0, bytes.length - 2)
  return bytes
}

const EVENT = '00fc1fbf005c450101010856325403000343056437f82207'
const LOCATION = '01001601010e007eff75a1f0025c6b1a07e1080108241a02680003189c1ac500'

test('reads speed of a binary location as whole and tenths, and the supply as volts', () => {
  const stream = new RecordedStream(adapter)
  const bytes = binary('+EVT', `0c${EVENT}01${LOCATION}07e1080108241a02e9`).toString('hex')
  const { positions } = stream.decode({ protocol: 'gl200', stream: 1, transport: 'tcp', bytes }, RECEIVED_MS)
  expect(positions).toMatchObject([
    { speed: 22.1, course: 270, valid: true, attributes: { power: 14.328, batteryLevel: 100, sat: 7 } },
  ])
})

test('knows a binary frame by the IMEI, too, if the device is registered so', () => {
  const session = new DeviceSession(adapter, 'tcp', (uniqueId) =>
    uniqueId === '865084030003675' ? { model: '', options: {} } : undefined,
  )
  const batch = new PositionBatch(8)
  decodeFrame(adapter, binary('+EVT', `0c${EVENT}01${LOCATION}07e1080108241a02e9`), session, batch)
  expect(session.uniqueId).toBe('865084030003675')
})

test('keeps a binary event that is sent again one record, and takes no damaged one', () => {
  const event = binary('+EVT', `0c${EVENT}01${LOCATION}07e1080108241a02e9`)
  const again = binary('+BVT', `0c${EVENT}01${LOCATION}07e1080108241a02ea`)
  expect(keysOf(again)).toEqual(keysOf(event))
  event[40]! ^= 1
  expect(() => keysOf(event)).toThrow(expect.objectContaining({ code: 'checksum' }))
})

test('counts no more binary locations than there are', () => {
  const report = binary('+RSP', `07${EVENT.replace(/22(..)$/, '22$101')}ff${LOCATION}`)
  expect(() => keysOf(report)).toThrow(expect.objectContaining({ code: 'malformed' }))
})

const PLACE_RECORD = '67d94c722ca750005216190083b71a02ad58a267d94c730000050112fffda80a'

test('reads several records of a frame, with a place, a short one, and a battery alone', () => {
  const short = '67d94c732ca85003510f290083b71a02ad58a267d94c730064'
  const battery = '67d94c742ca950006105010f3c3201'
  const lengths = [PLACE_RECORD, short, battery].map((record) =>
    (record.length / 2 + 1).toString(16).padStart(2, '0'),
  )
  const content = `c031000a0000${lengths[0]}${PLACE_RECORD}${lengths[1]}${short}${lengths[2]}${battery}`
  const bytes = records('00', content).toString('hex')
  const { positions, error } = new RecordedStream(adapter).decode(
    { protocol: 'gl200', stream: 1, transport: 'tcp', bytes },
    RECEIVED_MS,
  )
  expect(error).toBeNull()
  expect(positions).toMatchObject([
    {
      device: '861261070000480',
      valid: true,
      altitude: -60,
      course: 274,
      attributes: { hdop: 0.5, sat: 10 },
    },
    { speed: 10, attributes: { event: 3 } },
    { noFix: true, deviceTime: '2025-03-18T10:35:32.000Z', attributes: { battery: 3.9, batteryLevel: 50 } },
  ])
  const alone = keysOf(records('00', `c031000a0000${lengths[0]}${PLACE_RECORD}`))
  expect(keysOf(Buffer.from(bytes, 'hex'))[0]).toBe(alone[0])
  const ofSeveralPackets = records('800201', `c031000a0000${lengths[0]}${PLACE_RECORD}`)
  expect(keysOf(ofSeveralPackets)).toEqual(alone)
})

test('takes no record of no length, and no damaged frame', () => {
  expect(() => keysOf(records('00', 'c031000a000000'))).toThrow(
    expect.objectContaining({ code: 'malformed' }),
  )
  const damaged = records('00', `c031000a000021${PLACE_RECORD}`)
  damaged[30]! ^= 1
  expect(() => keysOf(damaged)).toThrow(expect.objectContaining({ code: 'checksum' }))
})

test('sends no answer to frames that have none', () => {
  expect(
    repliesOf(adapter, records('00', `c031000a000021${PLACE_RECORD}`), sessionOf({ ack: true })),
  ).toEqual([])
})

test('takes a binary acknowledgement for the answer to a command', () => {
  const session = sessionOf()
  const frame = binary('+ACK', '017f244501010108676231303000000000ffff07e1070b03112d054d')
  decodeFrame(adapter, frame, session, new PositionBatch(8))
  expect(session.answers).toEqual([{ ok: true, text: '' }])
})
