import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Commit } from '../../schemas/live-port.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { readCommits, readHead } from '../../storage/commits/commit-log.ts'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { PositionWriter } from './writer.ts'

const TIME_MS = Date.UTC(2026, 10, 21, 8, 30)
/** Devices whose rows a trigger refuses. */
const REFUSED_DEVICE = 1_000

let database: TestDatabase
let client: pg.Client

beforeAll(async () => {
  database = await testDatabase()
  client = new pg.Client({ connectionString: database.url })
  await client.connect()
  await client.query(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '22000'; END $$;
    CREATE TRIGGER refused BEFORE INSERT ON positions FOR EACH ROW
      WHEN (NEW.device_id >= ${REFUSED_DEVICE}) EXECUTE FUNCTION refuse()`)
})
afterAll(async () => {
  await client.end()
  await database.drop()
})
beforeEach(() => client.query('TRUNCATE positions, batches, batch_events'))

const openWriter = (url = database.url, name = 'test commits') =>
  new PositionWriter(url, name, { onDatabase() {} })

interface Key {
  readonly device: number
  readonly offsetMs?: number
  /** Unsigned. */
  readonly digest?: bigint
}

function batchOf(...keys: Key[]): PositionBatch {
  const batch = new PositionBatch(8)
  for (const { device, offsetMs = 0, digest = 1n } of keys) {
    const row = batch.add(TIME_MS + offsetMs, 30.25, -97.75)
    batch.receivedMs[row] = TIME_MS
    batch.device[row] = device
    batch.digestHigh[row] = Number(digest >> 32n)
    batch.digestLow[row] = Number(digest & 0xffffffffn)
  }
  return batch
}

/** `device time digest` of the rows of a commit. */
const keysOf = (batch: PositionBatch | null, { rows }: Commit) =>
  Array.from(rows, (row) => {
    const digest = (BigInt(batch!.digestHigh[row]! | 0) << 32n) | BigInt(batch!.digestLow[row]!)
    return `${batch!.device[row]} ${batch!.fixTimeMs[row]! - TIME_MS} ${digest}`
  })

/** All that was committed behind `after`, page by page, as the database has it. */
async function storedCommits(after: number): Promise<Map<number, string[]>> {
  const commits = new Map<number, string[]>()
  for (let last = after; ; ) {
    const page = await readCommits(client, last, { rowsMax: 100 })
    if (page.commits.length === 0) return commits
    for (const commit of page.commits) commits.set(commit.sequence, keysOf(page.batch, commit))
    last = page.commits.at(-1)!.sequence
  }
}

test('a batch is one commit, with its rows in their order', async () => {
  const writer = openWriter()
  const before = await readHead(client)
  const day = 24 * 3600 * 1000
  const batch = batchOf(
    { device: 3 },
    { device: 2, offsetMs: 10 },
    { device: 2, digest: 5n },
    { device: 2, digest: 0xfffffffffffffffbn },
    { device: 2, offsetMs: day },
    { device: 1, offsetMs: 2 * day },
  )
  const { commits } = await writer.write(batch)
  await writer.close()
  expect(commits).toHaveLength(1)
  const keys = keysOf(batch, commits[0]!)
  expect(keys).toEqual(['1 172800000 1', '2 0 -5', '2 0 5', '2 10 1', '2 86400000 1', '3 0 1'])
  expect(await storedCommits(before.last)).toEqual(new Map([[commits[0]!.sequence, keys]]))
})

test('rows that were stored before, are there twice or are refused are in no commit', async () => {
  const writer = openWriter()
  await writer.write(batchOf({ device: 2 }))
  const before = await readHead(client)
  const batch = batchOf(
    { device: 1 },
    { device: 2 },
    { device: 3 },
    { device: 3 },
    { device: REFUSED_DEVICE },
  )
  const { commits, refused } = await writer.write(batch)
  expect(refused).toHaveLength(1)
  expect(commits.flatMap((commit) => keysOf(batch, commit)).sort()).toEqual(['1 0 1', '3 0 1'])
  expect(await storedCommits(before.last)).toEqual(
    new Map(commits.map((commit) => [commit.sequence, keysOf(batch, commit)])),
  )
  expect((await writer.write(batch)).commits).toEqual([])
  await writer.close()
})

test('a commit whose answer is lost is published by nobody, and found in its place', async () => {
  const { hostname, port } = new URL(database.url)
  const sockets: Socket[] = []
  let silent = false
  // Between the writer and the database: hears the database no more, once it is told.
  const proxy = createServer((socket) => {
    const server = connect(Number(port), hostname)
    sockets.push(socket, server)
    for (const end of [socket, server]) end.on('error', () => undefined)
    socket.pipe(server)
    server.on('data', (data) => silent || socket.write(data))
    server.on('close', () => socket.destroy())
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const url = new URL(database.url)
  url.port = String((proxy.address() as AddressInfo).port)
  const writer = openWriter(url.href, 'test lost answer')
  await writer.write(batchOf({ device: 1 }))
  const before = await readHead(client)

  silent = true
  const lost = writer.write(batchOf({ device: 1, offsetMs: 1 }, { device: 2 }))
  await expect.poll(async () => (await readHead(client)).last).toBe(before.last + 1)
  silent = false
  for (const socket of sockets.splice(0)) socket.destroy()
  expect(await lost).toEqual({ rows: 2, duplicates: 2, refused: [], commits: [] })

  const { commits } = await writer.write(batchOf({ device: 3 }))
  expect(commits.map(({ sequence }) => sequence)).toEqual([before.last + 2])
  expect([...(await storedCommits(before.last)).values()]).toEqual([['1 1 1', '2 0 1'], ['3 0 1']])
  await writer.close()
  for (const socket of sockets) socket.destroy()
  proxy.close()
})

/** Of the same numbers in every run. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

test('who reads on behind the head misses no commit, whatever many writers meet with', async () => {
  const WRITERS = 4
  const ROUNDS = 60
  const next = random(7)
  const whole = (below: number) => Math.floor(next() * below)
  const writers = Array.from({ length: WRITERS }, (_, i) => openWriter(database.url, `test writer ${i}`))
  const other = new pg.Client({ connectionString: database.url })
  await other.connect()
  const before = await readHead(client)

  const seen = new Map<number, string[]>()
  let last = before.last
  let done = false
  const reader = (async () => {
    for (let finished = false; !finished; ) {
      finished = done
      const head = await readHead(client)
      expect(head.last).toBeGreaterThanOrEqual(last)
      while (last < head.last) {
        const page = await readCommits(client, last, { rowsMax: 50 })
        for (const commit of page.commits) {
          expect(commit.sequence).toBeGreaterThan(last)
          last = commit.sequence
          seen.set(last, keysOf(page.batch, commit))
        }
      }
    }
  })()

  const published = new Map<number, string[]>()
  const timed: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const works: Promise<unknown>[] = writers.map(async (writer) => {
      const keys = Array.from({ length: 1 + whole(30) }, () => ({
        device: next() < 0.02 ? REFUSED_DEVICE : 1 + whole(20),
        // Others write the same ones.
        offsetMs: 1_000 * whole(round + 5),
      }))
      const batch = batchOf(...keys)
      for (const commit of (await writer.write(batch)).commits) {
        published.set(commit.sequence, keysOf(batch, commit))
      }
    })
    works.push(
      other
        .query<{ sequence: string }>('SELECT commit_events($1) AS sequence', [
          JSON.stringify([{ id: round + 1, timeMs: TIME_MS, fixTimeMs: null, recordedAtMs: TIME_MS }]),
        ])
        .then(({ rows }) => timed.push(Number(rows[0]!.sequence))),
    )
    if (round % 3 === 0) {
      works.push(
        other.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [
          `test writer ${whole(WRITERS)}`,
        ]),
      )
    }
    await Promise.all(works)
  }
  done = true
  await reader
  await Promise.all(writers.map((writer) => writer.close()))
  await other.end()

  // Nothing appeared behind the reader, and what the writers told is what is stored.
  expect(seen).toEqual(await storedCommits(before.last))
  for (const [sequence, keys] of published) expect(seen.get(sequence)).toEqual(keys)
  expect(timed.map((sequence) => seen.get(sequence))).toEqual(timed.map(() => []))
  expect(seen.size).toBeGreaterThanOrEqual(published.size + ROUNDS)
  // Each row is in one commit.
  const { rows } = await client.query<{ key: string }>(
    `SELECT device_id || ' ' || (extract(epoch FROM fix_time) * 1000 - ${TIME_MS})::bigint || ' ' || digest AS key FROM positions`,
  )
  expect([...seen.values()].flat().sort()).toEqual(rows.map(({ key }) => key).sort())
})
