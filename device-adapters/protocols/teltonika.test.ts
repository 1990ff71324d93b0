import { describe, expect, test } from 'vitest'
import { attributesOf } from '../../schemas/position.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import type { Adapter, KnownDevice, Transport } from '../adapter.ts'
import { crc16Ibm } from '../checksums.ts'
import { DeviceSession, decodeFrame, repliesOf } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { teltonika as typed } from './teltonika.ts'

const teltonika = typed as Adapter
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

function sessionOf(device: Partial<KnownDevice> | 'unregistered' = {}, transport: Transport = 'tcp') {
  const known = device === 'unregistered' ? undefined : { model: '', options: {}, ...device }
  return new DeviceSession(teltonika, transport, () => known)
}

/** Batch with the rows of one frame. */
function decode(frame: Buffer, session = loggedIn()): PositionBatch {
  const batch = new PositionBatch(256)
  decodeFrame(teltonika, frame, session, batch)
  return batch
}

function loggedIn(device: Partial<KnownDevice> = {}): DeviceSession {
  const session = sessionOf(device)
  session.identify('352093081452251')
  return session
}

/** A TCP packet around `data`, given as hex. */
function packet(data: string): Buffer {
  const bytes = hex(data)
  const frame = Buffer.alloc(12 + bytes.length)
  frame.writeUInt32BE(bytes.length, 4)
  bytes.copy(frame, 8)
  frame.writeUInt32BE(crc16Ibm(bytes, 0, bytes.length), 8 + bytes.length)
  return frame
}

const HEAD = '0000017fcedf4996 00 280431be 0eded45d 0038 012d 10 0000'
const OLDER = '0000017fcedea996 00 28043207 0eded3dd 0038 0046 13 0009'
/** A record of codec 8 Extended with one list of 1-, 2-, 4- and 8-byte elements each, ids and values as hex. */
function extendedRecord(...lists: readonly string[][]): string {
  const parts = [0, 1, 2, 3].map((i) => {
    const list = lists[i] ?? []
    return list.length.toString(16).padStart(4, '0') + list.join('')
  })
  return `${HEAD} 0000 0000 ${parts.join('')} 0000`
}

describe('login', () => {
  const login = hex('000f 333532303933303831343532323531')

  test('names the device and is accepted', () => {
    const session = sessionOf()
    decode(login, session)
    expect(session.uniqueId).toBe('352093081452251')
    expect(repliesOf(teltonika, login, session)).toEqual([hex('01')])
  })

  test('is refused for a device that is not registered, and only the login is', () => {
    const session = sessionOf('unregistered')
    decode(login, session)
    expect(session.device).toBeUndefined()
    expect(teltonika.refuse?.(login, session)).toEqual(hex('00'))
    expect(teltonika.refuse?.(packet(`08 01 ${HEAD} 00 00 00 00 00 00 01`), session)).toBeUndefined()
  })

  test('is not what a ping is, also of a device that was removed meanwhile', () => {
    const session = sessionOf('unregistered')
    decode(login, session)
    decode(hex('ff'), session)
    expect(teltonika.refuse!(hex('ff'), session)).toBeUndefined()
    expect(repliesOf(teltonika, hex('ff'), session)).toEqual([])
  })

  test('with unprintable bytes is malformed', () => {
    expect(() => decode(hex('0003 310032'))).toThrow('not printable')
  })
})

describe('framing', () => {
  test.each([
    '474554202f20485454502f312e31',
    '0000 1234 0000 0010',
    '0000 0000 0000 0002',
    '0000 0000 7fff ffff',
  ])('closes a stream that starts with %s', (bytes) => {
    const reader = new FrameReader(teltonika, 'tcp')
    reader.push(hex(bytes))
    expect(() => reader.next()).toThrow()
  })
})

describe('records', () => {
  const plain = '00 00 00 00 00 00'
  const two = packet(`08 02 ${HEAD} ${plain} ${OLDER} ${plain} 02`)

  test('have a digest of their own bytes, the same in another packet', () => {
    const first = decode(two)
    const again = decode(packet(`08 01 ${OLDER} ${plain} 01`))
    expect([first.recordStart[1], first.recordEnd[1]]).toEqual([40, 70])
    expect([again.recordStart[0], again.recordEnd[0]]).toEqual([10, 40])
    expect([again.digestHigh[0], again.digestLow[0]]).toEqual([first.digestHigh[1], first.digestLow[1]])
    expect(first.digestLow[0]).not.toBe(first.digestLow[1])
  })

  test('are refused if the CRC does not fit', () => {
    const damaged = Buffer.from(two)
    damaged[20]! ^= 1
    expect(() => decode(damaged)).toThrow(expect.objectContaining({ code: 'checksum' }))
  })

  test('are refused if the numbers of records differ or bytes follow them', () => {
    const malformed = expect.objectContaining({ code: 'malformed' })
    expect(() => decode(packet(`08 01 ${HEAD} ${plain} 02`))).toThrow(malformed)
    expect(() => decode(packet(`08 01 ${HEAD} ${plain} 01 00`))).toThrow(malformed)
    expect(() => decode(packet(`08 01 ${HEAD} 00 00 ff 01`))).toThrow(malformed)
  })

  test('of an unknown codec are unsupported', () => {
    expect(() => decode(packet('09 01 00 01'))).toThrow(expect.objectContaining({ code: 'unsupported' }))
  })

  test.each([
    [
      'codec 8',
      '000000000000003608010000016B40D8EA30010000000000000000000000000000000105021503010101425E0F01F10000601A014E0000000000000000010000C7CF',
      { rssi: 3, in1: true, power: 24.079, operator: 24602, priority: 1, event: 1, sat: 0 },
    ],
    [
      'codec 8 Extended',
      '000000000000004A8E010000016B412CEE000100000000000000000000000000000000010005000100010100010011001D00010010015E2C880002000B000000003544C87A000E000000001DD7E06A00000100002994',
      {
        in1: true,
        axisX: 29,
        odometer: 22949000,
        io11: 893700218,
        io14: 500686954,
        priority: 1,
        event: 1,
        sat: 0,
      },
    ],
    [
      'codec 16',
      '000000000000005F10020000016BDBC7833000000000000000000000000000000000000B05040200010000030002000B00270042563A00000000016BDBC7871800000000000000000000000000000000000B05040200010000030002000B00260042563A00000200005FB3',
      { in1: false, in3: false, io11: 39, power: 22.074, priority: 0, event: 11, sat: 0 },
    ],
  ])('of %s are read as the example of the vendor has them', (_, frame, attributes) => {
    const batch = decode(hex(frame))
    expect(attributesOf(batch, 0)).toEqual({ ...attributes, alarm: undefined })
    expect(batch.valid[0]).toBe(0)
  })

  test('have the elements of their model', () => {
    const data = `8e 01 ${extendedRecord(
      ['00ee 01', '00fc 01', '00fd 02', '00af 00', '0020 d8'],
      ['0018 0057', '00ce 0102', '0054 00ff'],
      ['027c 00010203', '00f1 0000601a', '0048 fffffff6'],
      ['000b 7fffffffffffffff', '004e 0807060504030201'],
    )} 01`
    expect(attributesOf(decode(packet(data), loggedIn({ model: 'FMC130' })), 0)).toMatchObject({
      io238: 1,
      alarm: 'powerCut,hardBraking,geofenceExit',
      coolantTemp: -40,
      fuel: 25.5,
      temp1: -1,
      iccid: '9223372036854775807',
      driverUniqueId: '0102030405060708',
      network: { radioType: 'lte', cellTowers: [{ mcc: 246, mnc: 2, lac: 258, cid: 66051 }] },
    })
    expect(decode(packet(data), loggedIn({ model: 'FMC130' })).speedKmh[0]).toBe(87)
    expect(attributesOf(decode(packet(data), loggedIn({ model: 'FMC650' })), 0)).toMatchObject({ io84: 255 })
    expect(attributesOf(decode(packet(data)), 0)).toMatchObject({
      io252: 1,
      alarm: 'hardBraking',
      io32: 216,
      io24: 87,
      io206: 258,
      io72: 4294967286,
      io11: 2 ** 63,
    })
  })

  test('name an alarm once, however often they have it', () => {
    // Elements 252 and 246 of an FMB130, thousands of times: the names of an alarm are no longer than one frame needs.
    const elements = Array.from({ length: 10_000 }, (_, i) => (i % 2 === 0 ? '00fc 01' : '00f6 01'))
    const batch = decode(packet(`8e 01 ${extendedRecord(elements)} 01`), loggedIn({ model: 'FMB130' }))
    expect(batch.texts.filter((text) => text !== '')).toEqual(['powerCut', 'powerCut,tow'])
    expect(batch.texts[batch.alarm[0]!]).toBe('powerCut,tow')
  })

  test('carry nothing over from the record before', () => {
    const cell = extendedRecord([], ['00ce 0102', '00cd 0304'], ['00f1 0000601a'])
    const batch = decode(
      packet(`8e 02 ${cell} ${extendedRecord([], ['00ce 0102'])} 02`),
      loggedIn({ model: 'FMB120' }),
    )
    expect(attributesOf(batch, 0)).toHaveProperty('network')
    expect(attributesOf(batch, 1)).not.toHaveProperty('network')
  })

  test('put a driver card together that comes in two elements', () => {
    const data = `8e 01 ${extendedRecord([], [], [], ['00c3 4142434445464748', '00c4 3132333400000000'])} 01`
    expect(attributesOf(decode(packet(data), loggedIn({ model: 'FMB640' })), 0)).toMatchObject({
      driverUniqueId: 'ABCDEFGH1234',
    })
  })

  test('of a TAT100 put its cells together', () => {
    const ids = ['011f 0102', '0120 0304', '0121 0050', '04b0 0003', '0122 0007']
    const data = `8e 01 ${extendedRecord([], ids)} 01`
    expect(attributesOf(decode(packet(data), loggedIn({ model: 'TAT100' })), 0)).toEqual({
      priority: 0,
      sat: 16,
      event: 0,
      io290: 7,
      network: { radioType: 'gsm', cellTowers: [{ mcc: 0, mnc: 3, lac: 258, cid: 772, rssi: -80 }] },
    })
  })

  test('keep beacons and tags raw whose layout they do not have', () => {
    const head = `${HEAD} 0000 0000 0000 0000 0000 0000`
    const data = `8e 01 ${head} 0003 0181 0004 11210102 0224 0003 010500 0101 0000 01`
    expect(attributesOf(decode(packet(data)), 0)).toMatchObject({ io385: '11210102', io548: '010500' })
  })

  test('have the beacons of the example of the vendor', () => {
    const batch = decode(
      hex(
        `00000000000000D68E01000001701F9B3FA9000F0E5732209AB450006800290400000181000100000000000000000001018100A9
        11214B5C049F515341FCA950D2C264414E1000050006BA21E2C56DB5DFFB48D2B060D0F5A71096E000000000A92131A74BB76A79
        423196C916CFB9FAED45002D00159F0700112233445566778899ABCDE0810047AE0BE80015210F86676BEC91420A94409110029A
        FAC415B31A0AA101DE9C18E92CA5AA689697365434663222BA21EBBBDE835D7F4965B5F06C2EDCB3A55300010080A501736B7968
        6F73742E646B000010000128AD01000030CB`.replace(/\s/g, ''),
      ),
    )
    expect(attributesOf(batch, 0)).toMatchObject({
      beacon1Uuid: '4b5c049f515341fca950d2c264414e10',
      beacon1Major: 5,
      beacon1Minor: 6,
      beacon1Rssi: -70,
      beacon4Namespace: '00112233445566778899',
      beacon4Instance: 'abcde0810047',
      beacon4Rssi: -82,
      beacon4Battery: 3.048,
      beacon4Temp: 21,
      beacon8Rssi: -83,
    })
  })
})

describe('datagrams', () => {
  const datagram = hex(
    '003DCAFE0105000F33353230393330383634303336353508010000016B4F815B30010000000000000000000000000000000103021503010101425DBC000001',
  )

  test('name their device and are answered with their ids and the number of records', () => {
    const session = sessionOf({}, 'udp')
    const batch = decode(datagram, session)
    expect(session.uniqueId).toBe('352093086403655')
    expect(batch.deviceTimeMs[0]).toBe(0x016b4f815b30)
    expect(repliesOf(teltonika, datagram, session)).toEqual([hex('0005 CAFE 01 05 01')])
  })

  test('of an unregistered device get no reply', () => {
    const session = sessionOf('unregistered', 'udp')
    decode(datagram, session)
    expect(session.device).toBeUndefined()
    expect(teltonika.refuse?.(datagram, session)).toBeUndefined()
  })

  test('that are cut are malformed', () => {
    const cut = datagram.subarray(0, -1)
    expect(() => decode(cut, sessionOf({}, 'udp'))).toThrow('the datagram is cut')
  })
})

describe('messages', () => {
  test('of codec 15 are read as the example of the vendor has them', () => {
    const frame = hex('000000000000001b0f010b00000013654b65a4012345678912345648656c6c6f210a01000093d6')
    const batch = decode(frame)
    expect(batch.deviceTimeMs[0]).toBe(0x654b65a4 * 1000)
    expect(attributesOf(batch, 0)).toEqual({ result: 'Hello!' })
    expect(repliesOf(teltonika, frame, loggedIn())).toEqual([])
  })

  test('of codec 14 are responses or refusals, and name the device where nothing did', () => {
    const session = sessionOf()
    const response = decode(packet('0e 01 06 0000000e 0352093081452251 676574766572 01'), session)
    expect(attributesOf(response, 0)).toEqual({ type: 6, result: 'getver' })
    expect(session.uniqueId).toBe('352093081452251')
    const refusal = decode(packet('0e 01 11 00000008 0352093081452468 01'), session)
    expect(attributesOf(refusal, 0)).toEqual({ type: 17 })
    expect(session.uniqueId).toBe('352093081452251')
  })

  const message13 = (text: string) => {
    const payload = Buffer.from(text).toString('hex')
    const length = (4 + text.length).toString(16).padStart(8, '0')
    return packet(`0d 01 06 ${length} 654b65a4 ${payload} 01`)
  }

  test('of codec 13 hold what a serial device sent', () => {
    expect(attributesOf(decode(message13('Hello!\r\n')), 0)).toEqual({ result: 'Hello!' })
    expect(attributesOf(decode(message13('GTSL|6|1|0|35893378|1')), 0)).toEqual({
      driverUniqueId: '35893378',
    })
    expect(decode(message13('')).length).toBe(0)
  })

  test('hold axle loads', () => {
    const loads = 'UUUUww1.5;2;3;4;5;6;7;8;9;10;11;12;xSSS'
    const text = Buffer.from(loads).toString('hex')
    const batch = decode(packet(`0c 01 06 000000${loads.length.toString(16)} ${text} 01`))
    expect(attributesOf(batch, 0)).toMatchObject({
      type: 6,
      axle1: 1.5,
      axle8: 8,
      loadTruck: 9,
      totalTrailer: 12,
    })
  })

  test('that are cut are malformed', () => {
    expect(() => decode(packet('0c 01 06 00000009 4142 01'))).toThrow('the packet ends inside a message')
    expect(() => decode(packet('0d 01 06 00000002 4142 4142 01'))).toThrow('shorter than its head')
    expect(() => decode(packet('0c 01 0d 00000006 02 598493ed 00 01'))).toThrow('the camera message is cut')
    expect(() => decode(packet('0c 01 0d 00000000 01'))).toThrow('the camera message is cut')
    expect(() => decode(packet('0c 01 0d 0000000d 02 598493ed ffffffff 0002 aabb 01'))).toThrow(
      'beyond any photo',
    )
  })
})

describe('photos', () => {
  const part = (offset: string, bytes: number) => {
    const length = (11 + bytes).toString(16).padStart(8, '0')
    return packet(
      `0c 01 0d ${length} 02 598493ed ${offset} ${bytes.toString(16).padStart(4, '0')} ${'ff'.repeat(bytes)} 01`,
    )
  }
  const request = (offset: string, bytes: string) => [
    packet(`0c 01 0d 0000000b 02 598493ed ${offset} ${bytes} 01`),
  ]
  const replies = (session: DeviceSession, frame: Buffer) => {
    expect(decode(frame, session).length).toBe(0)
    return repliesOf(teltonika, frame, session)
  }

  test('are asked for to their end', () => {
    const session = loggedIn()
    const announced = packet('0c 01 0d 00000009 01 598493ed 00000a00 01')
    expect(replies(session, announced)).toEqual(request('00000000', '0800'))
    expect(replies(session, part('00000000', 0x800))).toEqual(request('00000800', '0200'))
    expect(replies(session, part('00000800', 0x200))).toEqual([])
  })

  test('of unknown size are asked for until a part is empty', () => {
    const session = loggedIn()
    expect(replies(session, packet('0c 01 0d 00000005 01 598493ed 01'))).toEqual(request('00000000', '0800'))
    expect(replies(session, part('00000000', 0x800))).toEqual(request('00000800', '0800'))
    expect(replies(session, part('00000800', 0x1ff))).toEqual(request('000009ff', '0800'))
    expect(replies(session, part('000009ff', 0))).toEqual([])
  })
})

describe('commands', () => {
  const { commands } = teltonika
  const session = loggedIn()

  test('are text', () => {
    expect(commands?.custom?.({ data: 'setdigout 11' }, session)).toEqual(
      hex('00000000000000140c01050000000c7365746469676f7574203131010000bed5'),
    )
    expect(String(commands?.engineStop?.({}, session))).toContain('setdigout 1')
    expect(String(commands?.engineResume?.({}, session))).toContain('setdigout 0')
  })

  test('are answered in the codec they came in, or in codec 14', () => {
    const said = (data: string) => {
      const device = loggedIn()
      decode(packet(data), device)
      return device.answers
    }
    expect(said('0c 01 06 00000002 4f4b 01')).toEqual([{ ok: true, text: 'OK' }])
    expect(said('0e 01 06 0000000a 0352093081452251 4f4b 01')).toEqual([{ ok: true, text: 'OK' }])
    expect(said('0e 01 11 00000008 0352093081452251 01')).toEqual([{ ok: false, text: '' }])
    expect(said('0d 01 06 00000006 65a1b2c3 4f4b 01')).toEqual([])
  })

  test('are bytes where the text is hex', () => {
    expect(commands?.custom?.({ data: '03030000000185E8' }, session)).toEqual(
      hex('00000000000000100c01050000000803030000000185e8010000da8b'),
    )
  })
})
