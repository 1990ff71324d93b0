/** Processes by role, with Redis between them, and what happens to them: every client gets every row once. */
import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { Feed, Fleet, type Process, REDIS_PASSWORD } from './processes.ts'
import { freePort } from './redis-server.ts'
import { UnionClient } from './union-client.ts'

const DEVICES = 5

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (let end = ends.pop(); end !== undefined; end = ends.pop()) await end()
})

async function openFleet(): Promise<Fleet> {
  const fleet = await Fleet.open()
  ends.push(() => fleet.close())
  return fleet
}

function feedOf(ingest: Process): Feed {
  const feed = new Feed(ingest.address('json-lines'), DEVICES)
  ends.push(() => feed.stop().catch(() => undefined))
  return feed
}

function clientOf(urls: readonly string[], token: string): UnionClient {
  const client = new UnionClient(urls, token)
  ends.push(() => client.close())
  return client
}

const all = (clients: readonly UnionClient[], holds: (client: UnionClient) => boolean) =>
  expect.poll(() => clients.every(holds)).toBe(true)

/** Waits until each client got more rows. */
async function moreRows(clients: readonly UnionClient[], count = 50): Promise<void> {
  const before = new Map(clients.map((client) => [client, client.rows.length]))
  await all(clients, (client) => client.rows.length >= before.get(client)! + count)
}

/**
 * Says everything that it hears of the fleet once more, and something of its own after it.
 * @returns How many messages it has said.
 */
async function echo({ redis }: Fleet): Promise<() => number> {
  const stranger = new Redis(redis.url(`:${REDIS_PASSWORD}@`), { retryStrategy: () => null })
  stranger.on('error', () => undefined)
  ends.push(() => stranger.disconnect())
  const channels = (await stranger.pubsub('SHARDCHANNELS', 'fleetflow:*')) as string[]
  const heard = new Set<string>()
  stranger.on('smessageBuffer', (channel: Buffer, bytes: Buffer) => {
    const text = bytes.toString('latin1')
    if (heard.has(text)) return
    heard.add(text)
    const nonsense = `nonsense ${heard.size}`
    heard.add(nonsense)
    for (const said of [bytes, nonsense]) stranger.spublish(channel, said).catch(() => undefined)
  })
  await stranger.ssubscribe(...channels)
  return () => heard.size
}

/** Ends the feed, and waits until each client has what is stored, from its first rows on; and then has it once. */
async function expectUnions(fleet: Fleet, feed: Feed, clients: readonly UnionClient[]): Promise<void> {
  const sent = await feed.stop()
  await expect.poll(async () => (await fleet.stored()).length).toBe(sent)
  const stored = await fleet.stored()
  await all(clients, (client) => client.rows.length >= client.expectedOf(stored).length)
  for (const client of clients) {
    expect(client.faults).toEqual([])
    expect(client.rows.toSorted()).toEqual(client.expectedOf(stored).toSorted())
  }
}

test('every client gets every row once, while Redis and processes of live come and go', async () => {
  const fleet = await openFleet()
  const ingest = await fleet.start('ingest')
  const [api, first, second] = await Promise.all(['api', 'live', 'live'].map((role) => fleet.start(role)))
  const token = await fleet.logIn(api!)
  const latePort = await freePort()
  const urls = [first!.address('stream'), second!.address('stream'), `ws://127.0.0.1:${latePort}`]
  const early = Array.from({ length: 6 }, (_, index) =>
    clientOf(index % 2 === 0 ? urls : [urls[1]!, urls[2]!, urls[0]!], token),
  )
  await all(early, ({ live }) => live)
  const feed = feedOf(ingest)
  await moreRows(early)
  const said = await echo(fleet)
  await expect.poll(said).toBeGreaterThan(50)
  await expect.poll(() => second!.metric('fleetflow_bus_refused_total')).toBeGreaterThan(20)
  await moreRows(early)

  // Redis dies: rows come by the database, and clients are told that they come late.
  await fleet.redis.stop()
  await all(early, ({ delays }) => delays.at(-1) === true)
  await moreRows(early)
  // Who comes meanwhile is told first of all.
  const meanwhile = clientOf([urls[1]!], token)
  await all([meanwhile], ({ live, delays }) => live && delays.length > 0)
  expect(meanwhile.delays).toEqual([true])
  expect(await ingest.readiness()).toMatchObject({ status: 200, parts: { bus: { status: 'degraded' } } })
  expect(await second!.readiness()).toMatchObject({ status: 200, parts: { live: { status: 'degraded' } } })
  expect(await second!.metric('fleetflow_bus_up')).toBe(0)
  await fleet.redis.run()
  await all([meanwhile, ...early], ({ delays }) => delays.at(-1) === false)
  await expect.poll(() => ingest.metric('fleetflow_bus_up')).toBe(1)
  await moreRows(early)

  // It stands still: found out without a lost connection.
  fleet.redis.pause()
  await all(early, ({ delays }) => delays.at(-1) === true)
  await moreRows(early)
  fleet.redis.resume()
  await all(early, ({ delays }) => delays.at(-1) === false)
  await moreRows(early)

  // One process of live dies, another one joins: its snapshots are whole.
  await first!.stop('SIGKILL')
  const third = await fleet.start('live', { STREAM_PORT: String(latePort) })
  const late = Array.from({ length: 3 }, () => clientOf([urls[2]!], token))
  await all(late, ({ live }) => live)
  for (const { first } of late) expect(first.size).toBe(DEVICES)
  await all(early, ({ live }) => live)
  await moreRows([...early, ...late])
  expect(await third.metric('fleetflow_bus_received_total')).toBeGreaterThan(0)

  await expectUnions(fleet, feed, [...early, meanwhile, ...late])
  // Who was at the process that died went on elsewhere.
  expect(early.filter(({ connections }) => connections > 1)).toHaveLength(3)
  expect(fleet.processes.map(({ said }) => said).join('')).not.toContain(REDIS_PASSWORD)
})

test('a process of live that is told of no Redis serves every row, a second late', async () => {
  const fleet = await openFleet()
  const [ingest, live] = await Promise.all([
    fleet.start('ingest,api', { REDIS_URL: '' }),
    fleet.start('live', { REDIS_URL: '' }),
  ])
  expect(live.said).toContain('REDIS_URL is not set')
  const client = clientOf([live.address('stream')], await fleet.logIn(ingest))
  await all([client], ({ live }) => live)
  const feed = feedOf(ingest)
  await moreRows([client], 200)
  await expectUnions(fleet, feed, [client])
})

test('processes of live share a port, and each serves some of the clients', async () => {
  const fleet = await openFleet()
  const ingest = await fleet.start('ingest,api')
  const port = String(await freePort())
  const shared = { STREAM_PORT: port, STREAM_PORT_SHARED: 'true' }
  const lives = [await fleet.start('live', shared), await fleet.start('live', shared)]
  const token = await fleet.logIn(ingest)
  const clients = Array.from({ length: 40 }, () => clientOf([`ws://127.0.0.1:${port}`], token))
  await all(clients, ({ live }) => live)
  const sockets = await Promise.all(lives.map((live) => live.metric('fleetflow_stream_sockets')))
  expect(sockets[0]! + sockets[1]!).toBe(40)
  expect(Math.min(...sockets)).toBeGreaterThan(0)
  const feed = feedOf(ingest)
  await moreRows(clients, 500)
  // They came over Redis: storage was asked for few of them, if any.
  const [received, lookedUp] = await Promise.all(
    ['fleetflow_bus_received_total', 'fleetflow_stream_looked_up_commits_total'].map((name) =>
      lives[1]!.metric(name),
    ),
  )
  expect(received).toBeGreaterThan(2 * lookedUp!)
  await lives[0]!.stop('SIGKILL')
  await all(clients, ({ live }) => live)
  await moreRows(clients)
  await expectUnions(fleet, feed, clients)
})

test('each role starts only what it needs, and says how it is', async () => {
  const fleet = await openFleet()
  const [ingest, live, api] = await Promise.all(['ingest', 'live', 'api'].map((role) => fleet.start(role)))
  const listeners = ({ said }: Process) =>
    [...said.matchAll(/^(\S+) +(?:tcp|udp|http|ws) +\S+$/gm)].map(([, name]) => name).sort()
  expect(listeners(ingest!)).toEqual(['health', 'json-lines'])
  expect(listeners(live!)).toEqual(['health', 'stream'])
  expect(listeners(api!)).toEqual(['api'])
  const parts = async (process: Process) => Object.keys((await process.readiness()).parts).sort()
  await expect.poll(() => parts(ingest!)).toEqual(['bus', 'database', 'ingest'])
  await expect.poll(() => parts(live!)).toEqual(['database', 'live'])
  await expect.poll(() => parts(api!)).toEqual(['database'])
  const health = await fetch(`${live!.address('health')}/api/v1/devices`)
  expect(health.status).toBe(404)
})
