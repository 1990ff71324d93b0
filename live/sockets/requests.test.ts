import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SCOPE_DEVICES_MAX } from '../../schemas/stream.ts'
import { type StreamClient, StreamFixture } from '../../test/stream-fixture.ts'

describe('messages of clients', () => {
  let stream: StreamFixture
  let organizationId: number
  let devices: number[]
  let foreign: number

  beforeAll(async () => {
    stream = await StreamFixture.create()
    organizationId = await stream.organization()
    devices = await stream.devices(organizationId, 5)
    foreign = (await stream.devices(await stream.organization(), 1))[0]!
    await stream.start({
      limits: { subscriptionsPerSocketMax: 2, devicesPerSocketMax: 4, messagesPerSecondMax: 100 },
    })
  })
  afterAll(() => stream.stop())

  const viewer = (format?: 'json' | 'msgpack') => stream.connect({ organizationId, role: 'viewer' }, format)

  async function answerTo(client: StreamClient, text: string | Buffer) {
    client.socket.send(text)
    return client.next()
  }

  test('says what is wrong with a message, and stays open', async () => {
    const client = await viewer()
    expect(await answerTo(client, '{')).toMatchObject({ type: 'error', id: null, code: 'malformed' })
    expect(await answerTo(client, Buffer.from('{}'))).toMatchObject({ code: 'malformed' })
    for (const text of [
      'null',
      '[]',
      '"subscribe"',
      '{"type":"subscribe"}',
      '{"type":"shout","id":1}',
      '{"type":"unsubscribe","id":-1}',
      '{"type":"unsubscribe","id":1,"more":1}',
      '{"type":"subscribe","id":1,"scope":{}}',
      '{"type":"subscribe","id":1,"scope":{"all":false}}',
      '{"type":"subscribe","id":1,"scope":{"all":true,"devices":[1]}}',
      '{"type":"subscribe","id":1,"scope":{"devices":[]}}',
      '{"type":"subscribe","id":1,"scope":{"devices":[0]}}',
      '{"type":"subscribe","id":1,"scope":{"devices":["1"]}}',
      `{"type":"subscribe","id":1,"scope":{"devices":[${'1,'.repeat(SCOPE_DEVICES_MAX)}1]}}`,
    ]) {
      expect(await answerTo(client, text)).toMatchObject({ type: 'error', code: 'invalid-message' })
    }
    expect(await answerTo(client, '{"type":"shout","id":4}')).toMatchObject({ id: 4 })
    expect(await client.subscribe(1)).toMatchObject([{ type: 'live', id: 1 }])
    client.socket.terminate()
  })

  test('reads msgpack from binary frames only', async () => {
    const client = await viewer('msgpack')
    expect(await answerTo(client, '{"type":"unsubscribe","id":1}')).toMatchObject({ code: 'malformed' })
    expect(await answerTo(client, Buffer.from([0x93, 1]))).toMatchObject({ code: 'malformed' })
    expect(await answerTo(client, Buffer.alloc(20_000, 0x91))).toMatchObject({ code: 'malformed' })
    expect(await client.subscribe(1)).toMatchObject([{ type: 'live', id: 1 }])
    client.socket.terminate()
  })

  test('names the devices that are not there or not the own, and subscribes to nothing', async () => {
    const client = await viewer()
    const missing = 2_000_000_000
    expect(await client.subscribe(1, [devices[0]!, foreign, missing])).toEqual([
      {
        type: 'error',
        id: 1,
        code: 'unknown-device',
        detail: expect.any(String),
        devices: [foreign, missing],
      },
    ])
    const many = Array.from({ length: 100 }, (_, index) => missing + index)
    const [error] = await client.subscribe(1, many)
    expect(error).toMatchObject({ code: 'unknown-device', devices: many.slice(0, 20) })
    expect(await stream.metric('fleetflow_stream_subscriptions')).toBe(0)
    client.socket.terminate()
  })

  test('a super admin may name devices of every organisation', async () => {
    const admin = await stream.connect({ organizationId: null, role: 'super-admin' })
    expect(await admin.subscribe(1, [devices[0]!, foreign])).toMatchObject([{ type: 'live', id: 1 }])
    admin.socket.terminate()
  })

  test('an id stands for one subscription at a time', async () => {
    const client = await viewer()
    await client.subscribe(1)
    expect(await client.subscribe(1)).toMatchObject([{ type: 'error', id: 1, code: 'id-in-use' }])
    client.send({ type: 'unsubscribe', id: 1 })
    expect(await client.subscribe(1)).toMatchObject([{ type: 'live', id: 1 }])
    client.socket.terminate()
  })

  test('limits the subscriptions of a socket, and the devices that they name', async () => {
    const client = await viewer()
    await client.subscribe(1, devices.slice(0, 3))
    expect(await client.subscribe(2, devices.slice(0, 2))).toMatchObject([{ code: 'too-many-devices' }])
    await client.subscribe(2, devices.slice(0, 1))
    expect(await client.subscribe(3)).toMatchObject([{ code: 'too-many-subscriptions' }])
    for (const limit of ['subscriptionsPerSocketMax', 'devicesPerSocketMax']) {
      expect(await stream.metric('fleetflow_stream_limits_total', { limit })).toBe(1)
    }
    client.socket.terminate()
  })

  test('closes a socket that sends too much or too often', async () => {
    const chatty = await viewer()
    for (let i = 0; i <= 100; i++) chatty.socket.send('{"type":"unsubscribe","id":1}')
    expect(await chatty.closed).toMatchObject({ code: 1008 })
    expect(await stream.metric('fleetflow_stream_limits_total', { limit: 'messagesPerSecondMax' })).toBe(1)
    const long = await viewer()
    long.socket.send('x'.repeat(200_000))
    await long.closed
  })
})
