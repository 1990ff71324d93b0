/** A corrected adapter corrects the past: what is stored becomes what the journal's frames decode to now. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Adapter, defineAdapter } from '../device-adapters/adapter.ts'
import { delimitedBy } from '../device-adapters/framing.ts'
import { openJournalReader } from '../ingest/journal/reader.ts'
import { type Reprocessed, type RowChange, reprocess } from '../ingest/reprocess.ts'
import { readCommits, readHead } from '../storage/commits/commit-log.ts'
import { IngestHarness } from './ingest-harness.ts'

const START_MS = Math.floor(Date.now() / 1000) * 1000 - 3_600_000

/** Lines `ID SECOND SPEED`, answered `ok`; `speedKmh` and `timeMs` are what a version makes of them. */
function meter(
  version: number,
  speedKmh: (speed: number) => number,
  timeMs: (second: number) => number,
): Adapter {
  return defineAdapter({
    id: 'meter',
    version,
    makers: ['Acme'],
    source: 'this file',
    listen: { tcp: 1 },
    maxFrameBytes: 100,
    frame: delimitedBy('\n'),
    decode(frame, session, out) {
      const [id = '', second, speed] = frame.toString().trim().split(' ')
      session.identify(id)
      const row = out.add(timeMs(Number(second)), 30, -97)
      out.speedKmh[row] = speedKmh(Number(speed))
    },
    ack: () => 'ok\n',
  })
}
const atSecond = (second: number) => START_MS + second * 1000
const inKnots = meter(
  1,
  (speed) => speed,
  (second) => atSecond(second),
)
const inKmh = meter(
  2,
  (speed) => (speed > 50 ? speed * 2 : speed),
  (second) => atSecond(second === 9 ? 90 : second),
)

let harness: IngestHarness
let folder: string
let id: number
let fromMs: number

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleetflow-reprocess-'))
  harness = await IngestHarness.start({ adapters: [inKnots], journalFolder: folder, keepsJournal: true })
  id = await harness.register('bus')
  await harness.register('tram')
  fromMs = Date.now()
  const device = harness.device(harness.portOf('meter'))
  for (let second = 0; second < 10; second++) {
    device.send(`bus ${second} ${second * 10}\ntram ${second} 99\n`)
    await device.reply(6)
  }
  // Sent again, later: no row of its own.
  device.send('bus 8 80\n')
  await device.reply(3)
  await expect.poll(() => harness.count('SELECT count(*) FROM positions')).toBe(20)
}, 30_000)
afterEach(async () => {
  await harness.stop()
  await rm(folder, { recursive: true })
})

async function run(
  adapter: Adapter,
  dryRun = false,
  aheadMs = 1,
): Promise<Reprocessed & { changes: RowChange[] }> {
  const changes: RowChange[] = []
  const done = await reprocess({
    databaseUrl: harness.databaseUrl,
    reader: openJournalReader({ folder }),
    adapters: new Map([['meter', adapter]]),
    device: 'bus',
    fromMs,
    toMs: Date.now() + aheadMs,
    dryRun,
    onChange: (change) => changes.push(change),
    onProgress: () => undefined,
  })
  return { ...done, changes }
}

const rowsOf = async (device: number) =>
  (
    await harness.pool.query(
      `SELECT p.*, d.version FROM positions p LEFT JOIN decoders d ON d.id = p.decoder
       WHERE device_id = $1 ORDER BY fix_time`,
      [device],
    )
  ).rows

test('with the same version nothing changes', async () => {
  const before = await rowsOf(id)
  expect(await run(inKnots)).toMatchObject({ frames: 11, added: 0, changed: 0, removed: 0, changes: [] })
  expect(await rowsOf(id)).toEqual(before)
})

test('a dry run shows what would change, and changes nothing', async () => {
  const before = await rowsOf(id)
  const { added, changed, removed, changes } = await run(inKmh, true)
  expect({ added, changed, removed }).toEqual({ added: 1, changed: 3, removed: 1 })
  expect(changes.find(({ change }) => change === 'changed')).toMatchObject({
    row: { device_id: id, speed_kmh: 120 },
    was: { speed_kmh: 60 },
  })
  const gone = changes.filter(({ change }) => change === 'removed')
  expect(gone).toHaveLength(1)
  const { digest } = gone[0]!.row
  expect(await harness.count('SELECT count(*) FROM positions WHERE digest = $1', [digest])).toBe(1)
  expect(await rowsOf(id)).toEqual(before)
})

test('a corrected version corrects the rows, and those only, and once', async () => {
  const others = await harness.count('SELECT count(*) FROM positions WHERE device_id <> $1', [id])
  await run(inKmh)
  const rows = await rowsOf(id)
  expect(rows.map(({ speed_kmh }) => speed_kmh)).toEqual([0, 10, 20, 30, 40, 50, 120, 140, 160, 180])
  expect(rows.at(-1).fix_time.getTime()).toBe(START_MS + 90_000)
  expect(rows.map(({ version }) => version)).toEqual([1, 1, 1, 1, 1, 1, 2, 2, 2, 2])
  expect(await run(inKmh)).toMatchObject({ added: 0, changed: 0, removed: 0 })
  expect(await harness.count('SELECT count(*) FROM positions WHERE device_id <> $1', [id])).toBe(others)
  await run(inKnots)
  expect((await rowsOf(id)).map(({ speed_kmh }) => speed_kmh)).toEqual([
    0, 10, 20, 30, 40, 50, 60, 70, 80, 90,
  ])
})

test('rows that are added or changed are committed anew, so that cursors lead to them', async () => {
  const client = await harness.pool.connect()
  const before = await readHead(client)
  await run(inKmh)
  const { batch, commits } = await readCommits(client, before.last, { rowsMax: 100 })
  client.release()
  expect(commits).toHaveLength(1)
  expect(Array.from(commits[0]!.rows, (row) => batch!.speedKmh[row])).toEqual([120, 140, 160, 180])
  await run(inKmh)
  expect((await harness.pool.query('SELECT max(sequence)::integer AS last FROM batches')).rows).toEqual([
    { last: commits[0]!.sequence },
  ])
})

test('rows that no frame of the journal explains stay, and rows that are missing come back', async () => {
  await harness.pool.query(
    `INSERT INTO positions (device_id, fix_time, received_at, digest, quality, valid)
     VALUES ($1, now(), now() - interval '1 ms', 1, 0, true)`,
    [id],
  )
  await harness.pool.query('DELETE FROM positions WHERE device_id = $1 AND speed_kmh = 30', [id])
  expect(await run(inKnots)).toMatchObject({ added: 1, changed: 0, removed: 0 })
  expect(await rowsOf(id)).toHaveLength(11)
})

test('frames that the version cannot read leave their rows as they are', async () => {
  const broken = { ...inKnots, decode: () => expect.fail('not to be read') }
  const before = await rowsOf(id)
  expect(await run(broken)).toMatchObject({ frames: 0, unread: 11, added: 0, changed: 0, removed: 0 })
  expect(await rowsOf(id)).toEqual(before)
})

test('rows go whose frame has no position for the version', async () => {
  const strict: Adapter = {
    ...inKmh,
    decode: (frame, session, out) => {
      if (!/ (?:10|20)\s*$/.test(frame.toString())) inKnots.decode(frame, session, out)
    },
  }
  expect(await run(strict)).toMatchObject({ frames: 11, added: 0, changed: 0, removed: 2 })
  expect((await rowsOf(id)).map(({ speed_kmh }) => speed_kmh)).toEqual([0, 30, 40, 50, 60, 70, 80, 90])
})

test('a row stays that may be of a frame that cannot be read, beside another of that moment', async () => {
  const device = harness.device(harness.portOf('meter'))
  const clock = vi.spyOn(Date, 'now').mockReturnValue(fromMs + 30_000)
  device.send('bus 20 1\nbus 21 2\n')
  await device.reply(6)
  clock.mockRestore()
  await expect.poll(() => rowsOf(id)).toHaveLength(12)
  const partly: Adapter = {
    ...inKnots,
    decode: (frame, session, out) => {
      if (frame.toString().startsWith('bus 20')) throw new Error('not to be read')
      inKnots.decode(frame, session, out)
    },
  }
  expect(await run(partly, false, 60_000)).toMatchObject({ frames: 12, unread: 1, removed: 0 })
  expect(await rowsOf(id)).toHaveLength(12)
})

test('an unknown device is told of', async () => {
  await expect(
    reprocess({
      databaseUrl: harness.databaseUrl,
      reader: openJournalReader({ folder }),
      adapters: new Map([['meter', inKnots]]),
      device: 'nobody',
      fromMs,
      toMs: Date.now(),
      dryRun: true,
      onChange: () => undefined,
      onProgress: () => undefined,
    }),
  ).rejects.toThrow('there is no device "nobody"')
})
