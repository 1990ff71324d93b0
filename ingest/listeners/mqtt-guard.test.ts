import fc from 'fast-check'
import { expect, test } from 'vitest'
import { connectPacket, mqttPacket, publishPacket } from '../../test/mqtt-packets.ts'
import { MqttGuard } from './mqtt-guard.ts'

const PACKET_BYTES_MAX = 1_000

const connect = connectPacket({ clientId: 'x', username: 'x', password: 'secret' })
const publish = (bytes: number, qos: 0 | 1 | 2) =>
  publishPacket('devices/x/positions', Buffer.alloc(bytes), qos)
const stream = Buffer.concat([
  connect,
  publish(0, 0),
  publish(100, 1),
  publish(900, 2),
  // PUBREL, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT.
  mqttPacket(0x62, Buffer.from([0, 1])),
  mqttPacket(0x82, Buffer.from([0, 2, 0, 1, 0x23, 0])),
  mqttPacket(0xa2, Buffer.from([0, 3, 0, 1, 0x23])),
  mqttPacket(0xc0),
  mqttPacket(0xe0),
])

test('what a device may send passes, wherever it is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length)), (cuts) => {
      const guard = new MqttGuard(PACKET_BYTES_MAX)
      const ends = [...cuts, stream.length].sort((a, b) => a - b)
      let start = 0
      for (const end of ends) {
        expect(guard.check(stream.subarray(start, end))).toBeUndefined()
        start = end
      }
      expect(guard.withinPacket).toBe(false)
    }),
  )
})

test('a packet whose end has not come is known', () => {
  for (const length of [1, 2, connect.length - 1]) {
    const guard = new MqttGuard(PACKET_BYTES_MAX)
    guard.check(connect.subarray(0, length))
    expect(guard.withinPacket).toBe(true)
    guard.check(connect.subarray(length))
    expect(guard.withinPacket).toBe(false)
  }
})

test('a packet that is too long is told by its head', () => {
  const guard = new MqttGuard(PACKET_BYTES_MAX)
  expect(guard.check(connect)).toBeUndefined()
  expect(guard.check(publish(2_000, 0).subarray(0, 3))).toBe('too-large')
})

test.each([
  ['anything before CONNECT', publish(1, 0)],
  ['another protocol', Buffer.from('GET / HTTP/1.1')],
  ['an acknowledgement of what was never published', Buffer.concat([connect, Buffer.from([0x40, 2, 0, 1])])],
  ['a packet of the server', Buffer.concat([connect, Buffer.from([0x20, 2, 0, 0])])],
  ['QoS 3', Buffer.concat([connect, Buffer.from([0x36])])],
  ['flags that a packet can not have', Buffer.concat([connect, Buffer.from([0x80])])],
  ['a length of five bytes', Buffer.concat([connect, Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80])])],
])('%s is malformed', (_, bytes) => {
  expect(new MqttGuard(PACKET_BYTES_MAX).check(bytes)).toBe('malformed')
})
