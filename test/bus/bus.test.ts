/** Both ends of the bus, with a Redis between them. */
import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { Redis } from 'ioredis'
import { type Logger, pino } from 'pino'
import { Registry } from 'prom-client'
import { afterEach, expect, test } from 'vitest'
import { Publisher } from '../../ingest/bus/publisher.ts'
import { subscribe } from '../../live/bus/subscriber.ts'
import { encodeBusMessage, type StoredMessage } from '../../schemas/bus-message.ts'
import { createPool } from '../../storage/pools.ts'
import { type BusAddress, readBusAddress } from '../../storage/redis/bus-address.ts'
import { testDatabase } from '../database.ts'
import { testBatch } from '../stream-fixture.ts'
import { RedisServer } from './redis-server.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (let end = ends.pop(); end !== undefined; end = ends.pop()) await end()
})

async function redisServer(...options: string[]): Promise<RedisServer> {
  const server = await RedisServer.start(...options)
  ends.push(() => server.stop())
  return server
}

/** The fleet of a database of its own. */
async function fleet(): Promise<BusAddress> {
  const database = await testDatabase()
  const pool = createPool(database.url, { max: 1, applicationName: 'test' })
  const address = await readBusAddress(pool)
  await pool.end()
  await database.drop()
  return address
}

/** One end, with what it counted and said. */
class End {
  readonly registry = new Registry()
  readonly states: boolean[] = []
  said = ''
  readonly log: Logger = pino(
    new Writable({
      write: (line, _, done) => {
        this.said += line
        done()
      },
    }),
  )

  async metric(name: string): Promise<number> {
    const { values } = await this.registry.getSingleMetric(name)!.get()
    return values.reduce((sum, { value }) => sum + value, 0)
  }

  up(): Promise<void> {
    return expect.poll(() => this.states.at(-1)).toBe(true)
  }

  down(): Promise<void> {
    return expect.poll(() => this.states.at(-1)).toBe(false)
  }
}

function publisherOf(redisUrl: string, address: BusAddress, pendingBytesMax?: number) {
  const end = new End()
  const publisher = new Publisher({
    redisUrl,
    address,
    log: end.log,
    registry: end.registry,
    onChange: (up) => end.states.push(up),
    ...(pendingBytesMax === undefined ? {} : { pendingBytesMax }),
  })
  ends.push(() => publisher.close())
  return Object.assign(end, { publisher })
}

function subscriberOf(redisUrl: string, address: BusAddress) {
  const end = new End()
  const sequences: number[] = []
  const subscriber = subscribe({
    redisUrl,
    address,
    log: end.log,
    registry: end.registry,
    onStored: ({ commits }) => sequences.push(...commits.map(({ sequence }) => sequence)),
    onChange: (up) => end.states.push(up),
  })
  ends.push(() => subscriber.close())
  return Object.assign(end, { sequences })
}

function stored(sequence: number, rows = 3): StoredMessage {
  const batch = testBatch(Array.from({ length: rows }, (_, row) => ({ device: row + 1, fixTimeMs: 1e12 })))
  return {
    type: 'stored',
    batch: batch.toMessage(),
    commits: [{ sequence, rows: Uint32Array.from({ length: rows }, (_, row) => row), events: [] }],
  }
}

const upTo = (count: number, from = 1) => Array.from({ length: count }, (_, index) => index + from)

test('what is published comes to every subscriber, in the order of its source', async () => {
  const redis = await redisServer()
  const address = await fleet()
  const { publisher, ...sender } = publisherOf(redis.url(), address)
  const subscribers = [subscriberOf(redis.url(), address), subscriberOf(redis.url(), address)]
  await expect
    .poll(() => [sender.states, ...subscribers.map(({ states }) => states)])
    .toEqual([[true], [true], [true]])
  for (const sequence of upTo(500)) publisher.publish(3, stored(sequence))
  for (const { sequences } of subscribers) await expect.poll(() => sequences).toEqual(upTo(500))
})

test('two fleets on one Redis do not hear each other', async () => {
  const redis = await redisServer()
  const fleets = await Promise.all([fleet(), fleet()])
  const [one, other] = fleets.map((address) => ({
    from: publisherOf(redis.url(), address),
    to: subscriberOf(redis.url(), address),
  }))
  for (const { from, to } of [one!, other!]) {
    await from.up()
    await to.up()
  }
  one!.from.publisher.publish(0, stored(1))
  other!.from.publisher.publish(0, stored(2))
  await expect.poll(() => [one!.to.sequences, other!.to.sequences]).toEqual([[1], [2]])
  expect(await one!.to.metric('fleetflow_bus_refused_total')).toBe(0)
})

test('a message that is not of this fleet is counted, and the next ones come', async () => {
  const redis = await redisServer()
  const address = await fleet()
  const from = publisherOf(redis.url(), address)
  const to = subscriberOf(redis.url(), address)
  await from.up()
  await to.up()
  const stranger = new Redis(redis.url())
  ends.push(() => stranger.disconnect())
  const forged = encodeBusMessage(stored(2 ** 50), randomBytes(32))
  const hostile = ['', 'x', '{"type":"stored"}', 'x'.repeat(1e6), forged, Buffer.alloc(20 * 1024 * 1024)]
  for (const message of hostile) await stranger.spublish(address.channels[0]!, message)
  from.publisher.publish(0, stored(1))
  await expect.poll(() => to.sequences).toEqual([1])
  expect(await to.metric('fleetflow_bus_refused_total')).toBe(hostile.length)
  // One line for all of them.
  expect(to.said.match(/is not taken/g)).toHaveLength(1)
})

test('while Redis is away nothing waits, nothing is kept, and it goes on when Redis is back', async () => {
  const redis = await redisServer()
  const address = await fleet()
  const from = publisherOf(redis.url(), address)
  const to = subscriberOf(redis.url(), address)
  await from.up()
  await to.up()
  await redis.stop()
  await from.down()
  await to.down()
  from.publisher.publish(0, stored(1))
  expect(await from.metric('fleetflow_bus_dropped_total')).toBe(1)
  expect(await from.metric('fleetflow_bus_up')).toBe(0)
  await redis.run()
  await from.up()
  await to.up()
  from.publisher.publish(0, stored(2))
  await expect.poll(() => to.sequences).toEqual([2])
})

test('a Redis that does not answer is found out, and what waits for it is bounded', async () => {
  const redis = await redisServer()
  const address = await fleet()
  const from = publisherOf(redis.url(), address, 100_000)
  const to = subscriberOf(redis.url(), address)
  await from.up()
  await to.up()
  redis.pause()
  ends.push(() => redis.resume())
  for (const sequence of upTo(100)) from.publisher.publish(0, stored(sequence, 100))
  // Some are on their way: as many as the bound allows, and one more.
  const bytes = encodeBusMessage(stored(1, 100), address.key).length
  expect(await from.metric('fleetflow_bus_dropped_total')).toBe(100 - Math.ceil(100_000 / bytes))
  await from.down()
  await to.down()
  redis.resume()
  await from.up()
  await to.up()
  from.publisher.publish(0, stored(101))
  await expect.poll(() => to.sequences.at(-1)).toBe(101)
})

test('a password is used, and neither it nor a wrong one comes into the log', async () => {
  const redis = await redisServer('--requirepass', 'open sesame!')
  const address = await fleet()
  const wrong = subscriberOf(redis.url(':sesame-closed@'), address)
  const right = subscriberOf(redis.url(`:${encodeURIComponent('open sesame!')}@`), address)
  await right.up()
  await wrong.down()
  expect(wrong.said).toContain('WRONGPASS')
  expect(wrong.said + right.said).not.toMatch(/sesame/)
})

test('who may not publish is not up, and is once it may', async () => {
  const redis = await redisServer()
  const address = await fleet()
  const operator = new Redis(redis.url())
  ends.push(() => operator.disconnect())
  await operator.acl('SETUSER', 'reader', 'on', '>secret', 'resetchannels', '&fleetflow:*', '+@connection')
  const from = publisherOf(redis.url('reader:secret@'), address)
  await from.down()
  expect(from.said).toContain('NOPERM')
  expect(from.said).not.toContain('secret')
  await operator.acl('SETUSER', 'reader', '+spublish')
  await from.up()
})
