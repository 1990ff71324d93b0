/** Floods the listeners with damaged messages over real sockets: they still serve a good device, and stay bounded. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Adapter, Transport } from '../../device-adapters/adapter.ts'
import { loadAdapters } from '../../device-adapters/registry.ts'
import { IngestHarness, login, packet, TEST_LIMITS } from '../ingest-harness.ts'
import { connectPacket, mqttPacket, publishPacket } from '../mqtt-packets.ts'
import { type Message, recordingsOf } from './corpus.ts'
import { Damager } from './damage.ts'
import { Random } from './random.ts'
import { REPAIRS } from './repair.ts'

const SEED = 1
/** Messages of each protocol and transport. */
const MESSAGES = 3_000
/** A flood in which fewer are broken is none. */
const FAULTS_MIN = 100
/** Messages of one connection, if the engine does not close it before. */
const MESSAGES_PER_CONNECTION = 40
const SOCKETS = 8
/** A datagram may be dropped by the kernel when they come faster than they are read. */
const DATAGRAMS_AT_ONCE = 50
/** Of the engine and of this flood, which share the process. */
const GROWTH_BYTES_MAX = 96 * 1024 * 1024

let harness: IngestHarness
const adapters = await loadAdapters()
const random = new Random()

beforeAll(async () => {
  harness = await IngestHarness.start()
  random.start(SEED, 0)
  // So that a part of what gets through is stored.
  const names = [...adapters.values()].flatMap((adapter) =>
    recordingsOf(adapter).map(({ uniqueId }) => uniqueId),
  )
  await harness.pool.query(
    'INSERT INTO devices (organization_id, unique_id, name) SELECT DISTINCT $1::int, name, name FROM unnest($2::text[]) AS name',
    [harness.organizationId, names],
  )
})
afterAll(() => harness.stop())

const ways = [...adapters.values()].flatMap((adapter) =>
  [...new Set(recordingsOf(adapter).map(({ transport }) => transport))].map(
    (transport) => [`${adapter.id} over ${transport}`, adapter, transport] as const,
  ),
)

test.each(ways)(
  '%s serves a good device after a flood of damaged messages',
  async (_, adapter, transport) => {
    const faults = () => harness.metric('fleetflow_frame_faults_total')
    await flood(adapter, transport, MESSAGES / 10)
    const warmBytes = memoryBytes()
    const before = await faults()
    await flood(adapter, transport, MESSAGES)
    expect((await faults()) - before).toBeGreaterThan(FAULTS_MIN)
    expect(await harness.metric('fleetflow_frame_faults_total', { code: 'adapter-bug' })).toBe(0)
    await GOOD_DEVICES[transport]()
    await expect
      .poll(() => harness.count('SELECT count(*) FROM quarantine'))
      .toBeLessThanOrEqual(TEST_LIMITS.quarantineRowsMax)
    expect(memoryBytes() - warmBytes).toBeLessThan(GROWTH_BYTES_MAX)
  },
  120_000,
)

/** A device of each transport that sends a position and waits until it is told that it is stored. */
const GOOD_DEVICES: Readonly<Record<Transport, () => Promise<void>>> = {
  tcp: async () => {
    const imei = await newName()
    const device = harness.device(harness.portOf('teltonika'))
    device.send(login(imei))
    expect(await device.reply(1)).toBe('01')
    device.send(packet(2, Date.UTC(2026, 10, 21)))
    expect(await device.reply(4)).toBe('00000002')
  },
  udp: async () => {
    const name = await newName()
    const udp = createSocket('udp4')
    const fix = `*HQ,${name},V1,121300,A,2240.5518,N,11358.3239,E,10.00,90,211126,FFFFFBFF#`
    // What the flood left in the kernel comes first, and may have left no room.
    const again = setInterval(() => udp.send(fix, harness.portOf('h02', 'udp'), '127.0.0.1'), 200)
    const [answer] = await once(udp, 'message')
    clearInterval(again)
    udp.close()
    expect(String(answer)).toContain(`*HQ,${name},V4`)
  },
  http: async () => {
    const name = await newName()
    const url = `http://127.0.0.1:${harness.portOf('osmand', 'http')}/?id=${name}&lat=1&lon=2&timestamp=1795219200`
    expect((await fetch(url)).status).toBe(200)
  },
  mqtt: async () => {
    const name = await newName()
    const device = harness.device(harness.portOf('mqtt', 'mqtt'))
    device.send(connectPacket({ clientId: name }))
    expect(await device.reply(4)).toBe('20020000')
    const payload = '{"fixTime":"2026-11-21T08:00:00Z","latitude":1,"longitude":2}'
    device.send(publishPacket(`devices/${name}/positions`, payload, 1))
    expect(await device.reply(4)).toBe('40020001')
  },
}

let names = 0

async function newName(): Promise<string> {
  const name = String(350_000_000_000_000 + ++names)
  await harness.register(name)
  return name
}

/** Sends `count` messages, most of them damaged, and resolves when the engine has taken or refused them. */
async function flood(adapter: Adapter, transport: Transport, count: number): Promise<void> {
  const recordings = recordingsOf(adapter).filter((recording) => recording.transport === transport)
  const messages = recordings.flatMap((recording) => recording.messages)
  const damager = new Damager(
    random,
    messages.map(({ bytes }) => bytes),
  )
  const repair = REPAIRS[`${adapter.id} ${transport}`]
  const next = (): Buffer => {
    const bytes = wireBytes(random.pick(messages), transport, damager)
    if (repair !== undefined && random.once(2)) repair(bytes, random)
    return bytes
  }
  const port = harness.portOf(transport === 'mqtt' ? 'mqtt' : adapter.id, transport)
  if (transport === 'udp') await floodDatagrams(port, count, next)
  else {
    let left = count
    await Promise.all(
      Array.from({ length: SOCKETS }, async () => {
        while (left > 0) {
          left -= await floodConnection(port, Math.min(left, MESSAGES_PER_CONNECTION), next)
        }
      }),
    )
  }
}

/** As a device puts the message on the wire, damaged. */
function wireBytes(message: Message, transport: Transport, damager: Damager): Buffer {
  const { bytes, method, target, contentType, topic } = message
  switch (transport) {
    case 'http': {
      const body = bytes.length === 0 ? bytes : damager.damage(bytes, 65_536)
      const path = body.length === 0 ? damager.damage(Buffer.from(target), 4_096) : Buffer.from(target)
      const line = path.toString('latin1').replace(/[\0-\x20\x7f]/g, '%0A')
      const head = `${method} ${line} HTTP/1.1\r\nhost: x\r\ncontent-type: ${contentType}\r\ncontent-length: ${body.length}\r\n\r\n`
      const request = Buffer.concat([Buffer.from(head, 'latin1'), body])
      // Mostly the request is whole, and what it says is not.
      return random.once(4) ? damager.damage(request, 65_536) : request
    }
    case 'mqtt': {
      if (random.once(8)) return damager.damage(publishPacket(topic, bytes, 1), 65_536)
      if (random.once(16)) return mqttPacket(random.below(256), damager.damage(bytes, 1_024))
      return publishPacket(topic, damager.damage(bytes, 65_536), random.pick([0, 1, 2]))
    }
    default:
      return damager.damage(bytes, 65_507)
  }
}

/**
 * Writes messages as fast as they are taken, until all are written or the engine closes.
 * @returns How many were written.
 */
async function floodConnection(port: number, count: number, next: () => Buffer): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => undefined)
  // Replies are read and forgotten.
  socket.resume()
  if (port === harness.portOf('mqtt', 'mqtt')) socket.write(connectPacket({ clientId: '9000002228' }))
  let sent = 0
  for (; sent < count && !socket.destroyed; sent++) {
    const drained = new Promise((resolve) => socket.write(next(), resolve))
    await Promise.race([drained, closed])
  }
  await endOf(socket, closed)
  return sent
}

/** Ends the socket; a listener that waits for the rest of a message is left alone. */
async function endOf(socket: Socket, closed: Promise<unknown>): Promise<void> {
  if (socket.destroyed) return
  const quiet = setTimeout(() => socket.destroy(), 1_000)
  socket.end()
  await closed
  clearTimeout(quiet)
}

async function floodDatagrams(port: number, count: number, next: () => Buffer): Promise<void> {
  const udp = createSocket('udp4')
  udp.on('message', () => undefined)
  for (let sent = 0; sent < count; ) {
    const burst: Promise<void>[] = []
    for (; sent < count && burst.length < DATAGRAMS_AT_ONCE; sent++) {
      const bytes = next()
      burst.push(new Promise((resolve) => udp.send(bytes, port, '127.0.0.1', () => resolve())))
    }
    await Promise.all(burst)
    // The engine lives in this process: it reads what came when this turn is over.
    await new Promise((resolve) => setImmediate(resolve))
  }
  udp.close()
}

function memoryBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().rss
}
