/** The quarantine under pressure: bounded while the database is slow, and not spoilt by one entry. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { DecodeError, defineAdapter } from '../device-adapters/adapter.ts'
import { delimitedBy } from '../device-adapters/framing.ts'
import { QUALITY } from '../schemas/quality.ts'
import { IngestHarness } from './ingest-harness.ts'

const PENDING_MAX = 10

/** A gateway named `gate`, which gives the first word of each line as the device of its position. */
const gateway = defineAdapter({
  id: 'gateway',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1 },
  maxFrameBytes: 1024,
  frame: delimitedBy('\n'),
  decode(frame, session, out) {
    session.identify('gate')
    out.setUniqueId(out.add(session.receivedMs, 1, 2), frame.toString('latin1').split(' ')[0]!)
  },
})

/** Takes nothing, and says what it got. */
const broken = defineAdapter({
  ...gateway,
  id: 'broken',
  decode(frame) {
    throw new DecodeError('malformed', `no word of ours: ${frame.toString('latin1').trim()}`)
  },
})

/** Takes `ID\n` or `ID again\n`, and `ID!\n` of which the checksum fails. */
const lenient = defineAdapter({
  ...gateway,
  id: 'lenient',
  decode(frame, session, out) {
    const [, id = '', mark] = /^(\w+)(!?)/.exec(frame.toString('latin1')) ?? []
    session.identify(id)
    const row = out.add(session.receivedMs, 1, 2)
    if (mark === '!') out.quality[row]! |= QUALITY.checksum
  },
  ack: () => 'ok',
})

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({
    adapters: [gateway, broken, lenient],
    limits: { quarantinePendingMax: PENDING_MAX },
  })
}, 30_000)
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

test('a name that PostgreSQL does not store does not keep the others out', async () => {
  await harness.register('gate')
  const device = harness.device(harness.portOf('gateway'))
  device.send(`no\0where 1\n${'long'.repeat(100)} 2\nplain 3\n`)
  await expect.poll(() => harness.quarantined('plain')).toHaveLength(1)
  expect(await harness.quarantined('nowhere')).toHaveLength(1)
  expect(await harness.quarantined('long'.repeat(32))).toHaveLength(1)
})

test('entries that come while the database is slow are counted against the limit', async () => {
  const send = async (name: string) => {
    for (let i = 0; i < PENDING_MAX; i++) {
      await fetch(`http://127.0.0.1:${harness.portOf('osmand', 'http')}/?id=${name}-${i}`)
    }
  }
  const dropped = () => harness.metric('fleetflow_quarantine_dropped_total')
  const lock = await harness.pool.connect()
  try {
    await lock.query('BEGIN; LOCK quarantine')
    await send('first')
    // Its write waits for the lock.
    const waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'quarantine'::regclass AND NOT granted"
    await expect.poll(() => harness.count(waiting)).toBe(1)
    await send('second')
    expect(await dropped()).toBe(0)
    // Longer than a write is put off, which would make room for the third.
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    await send('third')
    expect(await dropped()).toBe(PENDING_MAX)
    await lock.query('COMMIT')
  } finally {
    lock.release(true)
  }
  await expect.poll(() => harness.quarantined('second-9')).toHaveLength(1)
  expect(await harness.quarantined('third-9')).toHaveLength(0)
}, 20_000)

test('what an adapter says of a broken frame is kept with it, in words that PostgreSQL stores', async () => {
  const device = harness.device(harness.portOf('broken'))
  device.send('what is \0 this\n')
  await expect
    .poll(async () => (await harness.quarantined('')).map(({ protocol, detail }) => [protocol, detail]))
    .toContainEqual(['broken', 'no word of ours: what is  this'])
})

test('a frame whose checksum fails is taken for the device of its connection, and for no other', async () => {
  const [own, other] = [await harness.register('own'), await harness.register('other')]
  const device = harness.device(harness.portOf('lenient'))
  // The same bytes in the same millisecond would be the same record.
  device.send('own\nown!\nother!\nown again\n')
  expect(Buffer.from(await device.reply(6), 'hex').toString()).toBe('okokok')
  await expect.poll(() => harness.storedOf(own)).toBe(3)
  expect(await harness.storedOf(other)).toBe(0)
  await expect.poll(() => harness.quarantined('other')).toMatchObject([{ reason: 'checksum' }])
  device.send('other\n')
  await expect.poll(() => harness.storedOf(other)).toBe(1)
})
