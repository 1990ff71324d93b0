/** A frame of the journal decodes to what it decoded to when it came in, without its session and the registry. */
import { describe, expect, test } from 'vitest'
import { defineAdapter } from '../../device-adapters/adapter.ts'
import { decodeFrame } from '../../device-adapters/decoder.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { DeviceTraffic } from '../devices/device-traffic.ts'
import { encodeContext, IntakeSession, parseContext } from '../frame-context.ts'
import { Tally } from '../tally-counter.ts'
import { JournalDecoder } from './journal-decoder.ts'

const DEVICE = {
  id: 7,
  uniqueId: 'bus',
  organizationId: 1,
  model: 'M1',
  options: { extended: true },
  secretHash: null,
  traffic: new DeviceTraffic(1),
  disabled: false,
}

const TALLIES = { frames: new Tally(), positions: new Tally(), replies: new Tally() }

/** `ID SPEED [OTHER SPEED]…`: the speed counts double in dialect 2, and triple for a device that is extended. */
const plain = defineAdapter({
  id: 'plain',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1 },
  maxFrameBytes: 100,
  decode(frame, session, out) {
    const [id, ...words] = frame.toString().split(' ')
    session.identify(id!)
    for (let i = 0; i < words.length; i += 2) {
      const row = out.add(session.receivedMs, 1, 2)
      const factor = (session.dialect === '2' ? 2 : 1) * (session.device?.options.extended ? 3 : 1)
      out.speedKmh[row] = Number(words[i]) * factor
      if (i > 0) out.setUniqueId(row, words[i - 1]!)
    }
  },
})
const decoder = new JournalDecoder(new Map([['plain', plain]]), new Map([['plain', 11]]))
const all = () => true

test('a context comes back as it was written', () => {
  const context = {
    adapter: 'plain',
    transport: 'udp' as const,
    uniqueId: 'Größe "1"',
    device: { model: 'M', options: { zone: 'UTC+1' } },
    dialect: '2.0',
    owners: new Map([['a', 1]]),
  }
  expect(parseContext(encodeContext(context))).toEqual(context)
})

describe('a record', () => {
  const session = new IntakeSession(plain, 'tcp', TALLIES, (uniqueId) =>
    uniqueId === 'bus' ? DEVICE : undefined,
  )

  test('is decoded with the device, the dialect and the time of receipt that it had', () => {
    session.receivedMs = 1_700_000_000_000
    session.dialect = '2'
    const frame = Buffer.from('bus 10')
    const fresh = new PositionBatch(8)
    decodeFrame(plain, frame, session, fresh)
    const out = new PositionBatch(8)
    decoder.decode({ receivedMs: session.receivedMs, device: 7, context: session.context(), frame }, out, all)
    expect(out.length).toBe(1)
    expect(out.speedKmh[0]).toBe(60)
    for (const column of ['fixTimeMs', 'receivedMs', 'speedKmh', 'digestHigh', 'digestLow'] as const) {
      expect(out[column][0]).toBe(fresh[column][0])
    }
    expect([out.device[0], out.decoder[0]]).toEqual([7, 11])
  })

  test('has a context that follows the session', () => {
    const before = session.context()
    expect(session.context()).toBe(before)
    session.dialect = '3'
    expect(parseContext(session.context()).dialect).toBe('3')
    session.device = { ...DEVICE, model: 'M2' }
    expect(parseContext(session.context()).device.model).toBe('M2')
  })

  test('of several devices gives each its own, and only those wanted', () => {
    const owners = new Map([
      ['bus', 7],
      ['tram', 8],
    ])
    const record = {
      receivedMs: 5,
      device: 0,
      context: session.contextWith(owners),
      frame: Buffer.from('bus 1 tram 2 nobody 3'),
    }
    const out = new PositionBatch(8)
    decoder.decode(record, out, all)
    expect([...out.device.subarray(0, out.length)]).toEqual([7, 8])
    out.reset()
    decoder.decode(record, out, (device) => device === 8)
    expect([...out.device.subarray(0, out.length)]).toEqual([8])
  })

  test('does not make the decoder keep contexts without bound', () => {
    const out = new PositionBatch(8)
    const contextOfMany = (first: number) =>
      session.contextWith(new Map(Array.from({ length: 1_000 }, (_, i) => [`gateway-of-${first + i}`, 1])))
    const frame = Buffer.from('bus 1')
    const before = decoder.contextOf({ receivedMs: 5, device: 0, context: contextOfMany(0), frame })
    const again = () => decoder.contextOf({ receivedMs: 5, device: 0, context: contextOfMany(0), frame })
    expect(again()).toBe(before)
    for (let i = 1; i < 400; i++) {
      out.reset()
      decoder.decode({ receivedMs: 5, device: 0, context: contextOfMany(i), frame }, out, all)
    }
    expect(again()).not.toBe(before)
    expect(again()).toEqual(before)
  })

  test('that cannot be read any more is a DecodeError and leaves nothing', () => {
    const out = new PositionBatch(8)
    const context = encodeContext({ ...parseContext(session.context()), adapter: 'gone' })
    expect(() =>
      decoder.decode({ receivedMs: 5, device: 7, context, frame: Buffer.from('x') }, out, all),
    ).toThrow('no adapter "gone"')
    expect(out.length).toBe(0)
  })
})
