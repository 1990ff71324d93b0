/** Datagrams of devices, and of those that no device would send. */
import { createSocket, Socket } from 'node:dgram'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { IngestHarness } from './ingest-harness.ts'

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start()
}, 30_000)
afterAll(() => harness.stop())

const fix = (id: string, time: string) =>
  `*HQ,${id},V1,${time},A,2240.5518,N,11358.3239,E,10.00,90,211126,FFFFFBFF#`

test('from port 0, which can not be answered, are stored', async () => {
  const id = await harness.register('1234567890')
  const port = harness.portOf('h02', 'udp')
  const udp = createSocket('udp4')
  // No socket of Node sends from port 0: the sender's address is changed on its way to the listener.
  const { emit } = Socket.prototype
  const fromZero = vi.spyOn(Socket.prototype, 'emit').mockImplementation(function (
    this: Socket,
    event: string,
    ...args
  ) {
    if (event === 'message' && this.address().port === port) args[1].port = 0
    return Reflect.apply(emit, this, [event, ...args])
  })
  udp.send(fix('1234567890', '121300'), port, '127.0.0.1')
  await expect.poll(() => harness.storedOf(id)).toBe(1)
  fromZero.mockRestore()
  udp.send(fix('1234567890', '121301'), port, '127.0.0.1')
  const [answer] = await once(udp, 'message')
  expect(String(answer)).toContain('V4')
  expect(await harness.metric('fleetflow_replies_total', { protocol: 'h02' })).toBe(1)
  udp.close()
})

test('from nobody are not answered, and those of a device not with more than twice their bytes', async () => {
  await harness.register('352093081452251')
  const port = harness.portOf('wialon', 'udp')
  const udp = createSocket('udp4')
  const answers: Buffer[] = []
  udp.on('message', (answer) => answers.push(answer))
  const pings = '#P#\r\n'.repeat(200)
  const frames = () => harness.metric('fleetflow_frames_total', { protocol: 'wialon' })
  udp.send(pings, port, '127.0.0.1')
  await expect.poll(frames).toBe(200)
  const own = `2.0;352093081452251${pings}`
  udp.send(own, port, '127.0.0.1')
  await expect.poll(frames).toBe(400)
  await expect.poll(() => answers.length).toBe(Math.floor((2 * (28 + own.length)) / (28 + 6)))
  expect(new Set(answers.map(String))).toEqual(new Set(['#AP#\r\n']))
  udp.close()
})

test('of many frames do not keep others waiting', async () => {
  const udp = createSocket('udp4')
  udp.send('#P#\r\n'.repeat(10_000), harness.portOf('wialon', 'udp'), '127.0.0.1')
  const met = () => harness.metric('fleetflow_limits_total', { limit: 'framesPerDatagramMax' })
  await expect.poll(met).toBe(1)
  udp.close()
})
