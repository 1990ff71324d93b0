import { expect, test } from 'vitest'
import { DeviceSession, decodeFrame, repliesOf } from '../device-adapters/decoder.ts'
import { FrameReader } from '../device-adapters/frames.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import { imeiOf, loginOf, TeltonikaTrack } from './teltonika-packets.ts'

const teltonika = (await loadAdapters()).get('teltonika')!
const START_MS = Date.UTC(2026, 0, 1)

test('the adapter reads what the generator sends', () => {
  const session = new DeviceSession(teltonika, 'tcp', () => ({ model: '', options: {} }))
  const reader = new FrameReader(teltonika, 'tcp')
  const batch = new PositionBatch(16)
  reader.push(Buffer.concat([loginOf(7), new TeltonikaTrack(7, START_MS, 1000).packet(3)]))

  const login = reader.next()!
  expect(decodeFrame(teltonika, login, session, batch)).toBe(0)
  expect(session.uniqueId).toBe(imeiOf(7))
  const packet = reader.next()!
  expect(decodeFrame(teltonika, packet, session, batch)).toBe(3)
  expect(repliesOf(teltonika, packet, session)).toEqual([Buffer.from([0, 0, 0, 3])])
  expect([...batch.fixTimeMs.subarray(0, 3)]).toEqual([START_MS, START_MS + 1000, START_MS + 2000])
  expect([...batch.quality.subarray(0, 3)]).toEqual([0, 0, 0])
  for (const column of [
    'latitudeDeg',
    'longitudeDeg',
    'speedKmh',
    'powerV',
    'batteryV',
    'odometerM',
    'rssi',
  ] as const) {
    expect(batch[column].subarray(0, 3).every((value) => Number.isFinite(value))).toBe(true)
  }
  expect(reader.next()).toBeUndefined()
})

test('a track is the same at every run', () => {
  const packets = () => {
    const track = new TeltonikaTrack(3, START_MS, 1000)
    return [track.packet(2), track.packet(1)]
  }
  expect(packets()).toEqual(packets())
  expect(new TeltonikaTrack(4, START_MS, 1000).packet(2)).not.toEqual(packets()[0])
})
