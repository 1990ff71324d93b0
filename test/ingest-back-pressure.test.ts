/** While there is no room, devices are made to wait by their sockets, and nothing grows: then all of it is taken. */
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { defineAdapter } from '../device-adapters/adapter.ts'
import { delimitedBy } from '../device-adapters/framing.ts'
import { type Device, IngestHarness } from './ingest-harness.ts'
import { connectPacket, publishPacket } from './mqtt-packets.ts'

/** A line, datagram, request or message is a position of `wagon`, and is answered `ok`. */
const line = defineAdapter({
  id: 'line',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1, udp: 1, http: 1, mqtt: ['line/+'] },
  maxFrameBytes: 65_536,
  frame: delimitedBy('\n'),
  decode(_frame, session, out) {
    session.identify('wagon')
    out.add(session.receivedMs, 1, 2)
  },
  ack: (_, session) => (session.transport === 'mqtt' ? undefined : 'ok\n'),
})

const MEBIBYTE = 1024 * 1024
const FRAME = Buffer.from(`${'wagon '.padEnd(60_000)}\n`)
/** A shard is full with three batches of 4 MiB of frames. */
const ROOM_BYTES = 13 * MEBIBYTE
const kernelBytes = (name: string) =>
  Number(readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim().split(/\s+/)[2])

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({
    adapters: [line],
    ackAfter: 'database',
    limits: {
      bytesPerSecondPerDeviceMax: 2 ** 31 - 1,
      pendingDatagramsMax: 50,
      pendingFramesPerConnectionMax: 1_000,
      pendingRequestsMax: 30,
    },
  })
}, 30_000)
afterEach(async () => {
  harness.hangUp()
  await unlock()
})
afterAll(() => harness.stop())

const met = (limit: string) => harness.metric('fleetflow_limits_total', { limit })

let unlock = async () => {}

/** The database takes no positions until `unlock`, or the end of the test. */
async function lockPositions(of = harness): Promise<void> {
  if ((await of.count('SELECT count(*) FROM devices')) === 0) await of.register('wagon')
  const lock = await of.pool.connect()
  await lock.query('BEGIN; LOCK positions')
  unlock = async () => {
    unlock = async () => {}
    await lock.query('COMMIT')
    lock.release()
  }
}

/** Sends until the kernel takes no more, and the engine nothing, for a second. @returns Messages that were sent. */
async function flood({ socket }: Device, message: Buffer): Promise<number> {
  const received = () => harness.metric('fleetflow_positions_received_total')
  for (let count = 1; ; count++) {
    if (socket.write(message)) continue
    const before = await received()
    const drained = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), 1_000)
      socket.once('drain', () => {
        clearTimeout(timer)
        resolve(true)
      })
    })
    if (!drained && (await received()) === before) return count
  }
}

test.each(['tcp', 'mqtt'] as const)(
  'a device that floods over %s is stopped by its socket',
  async (transport) => {
    await lockPositions()
    const device = harness.device(
      transport === 'tcp' ? harness.portOf('line') : harness.portOf('mqtt', 'mqtt'),
    )
    if (transport === 'mqtt') {
      device.send(connectPacket({ clientId: 'wagon' }))
      expect(await device.reply(4)).toBe('20020000')
    }
    const message = transport === 'tcp' ? FRAME : publishPacket('line/wagon', FRAME, 1)
    const rssBefore = process.memoryUsage().rss
    const count = await flood(device, message)
    const sent = count * message.length - device.socket.writableLength
    // What the kernel holds at both ends, and a read of the socket before and within its stream.
    const heldBytes = kernelBytes('tcp_rmem') + kernelBytes('tcp_wmem') + MEBIBYTE
    expect(sent).toBeLessThan(ROOM_BYTES + heldBytes)
    expect(process.memoryUsage().rss - rssBefore).toBeLessThan(100 * MEBIBYTE)
    // The broker reads on only when all messages of a read have their answers: it does not come so far.
    if (transport === 'tcp') expect(await met('batchesPerShardMax')).toBeGreaterThan(0)
    await unlock()
    const reply = transport === 'tcp' ? Buffer.from('ok\n').toString('hex') : '40020001'
    expect(await device.reply((count * reply.length) / 2)).toBe(reply.repeat(count))
  },
  60_000,
)

test('datagrams beyond those that may wait are dropped', async () => {
  await lockPositions()
  const udp = createSocket('udp4')
  let replies = 0
  udp.on('message', () => replies++)
  for (let i = 0; i < 500; i++) udp.send('wagon\n', harness.portOf('line', 'udp'), '127.0.0.1')
  await expect.poll(() => met('pendingDatagramsMax')).toBe(450)
  await unlock()
  await expect.poll(() => replies).toBe(50)
  udp.close()
})

test('requests beyond those that may wait are answered 503', async () => {
  await lockPositions()
  const answers: number[] = []
  const url = `http://127.0.0.1:${harness.portOf('line', 'http')}/`
  const all = Array.from({ length: 40 }, async () => {
    answers.push((await fetch(url, { method: 'POST', body: 'wagon' })).status)
  })
  await expect.poll(() => answers).toEqual(Array(10).fill(503))
  expect(await met('pendingRequestsMax')).toBe(10)
  await unlock()
  await Promise.all(all)
  expect(answers.filter((status) => status === 200)).toHaveLength(30)
})

test('a connection that pipelines requests has its share of those that may wait', async () => {
  const small = await IngestHarness.start({
    adapters: [line],
    ackAfter: 'database',
    limits: { pendingFramesPerConnectionMax: 5 },
  })
  await lockPositions(small)
  const socket = connect(small.portOf('line', 'http'), '127.0.0.1')
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes
  })
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(20))
  const met = () => small.metric('fleetflow_limits_total', { limit: 'pendingFramesPerConnectionMax' })
  await expect.poll(met).toBe(15)
  expect(text).toBe('')
  await unlock()
  await expect.poll(() => text.match(/HTTP\/1.1 \d+/g)?.length).toBe(20)
  expect(text.match(/HTTP\/1.1 200/g)).toHaveLength(5)
  socket.destroy()
  await small.stop()
})
