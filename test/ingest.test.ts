/** Ingest as devices meet it: real sockets, real frames, a real database; and what it does with those that lie. */
import { createSocket } from 'node:dgram'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { QUALITY } from '../schemas/quality.ts'
import { takeAway } from './database.ts'
import { IngestHarness, login, packet, TEST_LIMITS } from './ingest-harness.ts'

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({ ackAfter: 'database' })
}, 30_000)
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

const NOW_MS = Date.now()

describe('a reply', () => {
  test('follows the commit of what it acknowledges', async () => {
    const imei = '356307042441013'
    const id = await harness.register(imei)
    const device = harness.device(harness.portOf('teltonika'))
    device.send(login(imei))
    expect(await device.reply(1)).toBe('01')
    for (let i = 1; i <= 20; i++) {
      device.send(packet(10, NOW_MS - i * 60_000))
      expect(await device.reply(4)).toBe('0000000a')
      expect(await harness.storedOf(id)).toBe(10 * i)
    }
  })

  test('comes in the order of the frames, however they are cut', async () => {
    const imei = '356307042441021'
    const id = await harness.register(imei)
    const device = harness.device(harness.portOf('teltonika'))
    const counts = [3, 1, 200, 7, 50]
    const bytes = Buffer.concat([
      login(imei),
      ...counts.map((records, i) => packet(records, NOW_MS - i * 3_600_000)),
    ])
    for (let at = 0; at < bytes.length; at += 999) {
      device.send(bytes.subarray(at, at + 999))
      await new Promise(setImmediate)
    }
    expect(await device.reply(1 + 4 * counts.length)).toBe(
      `01${counts.map((records) => records.toString(16).padStart(8, '0')).join('')}`,
    )
    expect(await harness.storedOf(id)).toBe(261)
  })

  test('is given again for what was stored before, which stays one row', async () => {
    const imei = '356307042441039'
    const id = await harness.register(imei)
    for (let i = 0; i < 3; i++) {
      const device = harness.device(harness.portOf('teltonika'))
      device.send(Buffer.concat([login(imei), packet(5, NOW_MS - 7_200_000)]))
      expect(await device.reply(5)).toBe('0100000005')
    }
    expect(await harness.storedOf(id)).toBe(5)
  })

  test('waits while the database is away, and comes when it is back', async () => {
    const imei = '356307042441047'
    const id = await harness.register(imei)
    const device = harness.device(harness.portOf('teltonika'))
    device.send(login(imei))
    expect(await device.reply(1)).toBe('01')
    const giveBack = await takeAway(harness.databaseUrl)
    try {
      await expect.poll(() => harness.metric('fleetflow_shard_database_up')).toBe(0)
      device.send(packet(4, NOW_MS))
      await expect.poll(() => harness.ingest.readiness().ok).toBe(false)
      expect(device.silent).toBe(true)
    } finally {
      await giveBack()
    }
    expect(await device.reply(4)).toBe('00000004')
    expect(await harness.storedOf(id)).toBe(4)
    // The other shard comes back by itself, a little later.
    await expect.poll(() => harness.ingest.readiness().ok).toBe(true)
  }, 20_000)
})

describe('an unknown device', () => {
  test('is refused, kept in the quarantine, and taken once it is registered', async () => {
    const imei = '356307042441054'
    const refused = harness.device(harness.portOf('teltonika'))
    refused.send(login(imei))
    expect(await refused.reply(1)).toBe('00')
    await refused.closed()
    await expect.poll(() => harness.quarantined(imei)).toHaveLength(1)
    expect((await harness.quarantined(imei))[0]).toMatchObject({
      protocol: 'teltonika',
      reason: 'unknown-device',
      frame_count: 1,
      last_frame: login(imei),
    })
    await harness.register(imei)
    const taken = harness.device(harness.portOf('teltonika'))
    taken.send(login(imei))
    expect(await taken.reply(1)).toBe('01')
  })

  test('gets no reply that would let it delete data, over UDP as little', async () => {
    const socket = createSocket('udp4')
    const answers: Buffer[] = []
    socket.on('message', (bytes) => answers.push(bytes))
    socket.send(
      '*HQ,9999900001,V1,121300,A,2240.5518,N,11358.3239,E,10.00,90,211126,FFFFFBFF#',
      harness.portOf('h02', 'udp'),
      '127.0.0.1',
    )
    await expect.poll(() => harness.quarantined('9999900001')).toHaveLength(1)
    expect(answers).toEqual([])
    socket.close()
  })

  test('does no harm with an id that looks like SQL', async () => {
    const evil = "'; DROP TABLE devices; --"
    const response = await fetch(
      `http://127.0.0.1:${harness.portOf('osmand', 'http')}/?id=${encodeURIComponent(evil)}&lat=1&lon=2&timestamp=1700000000`,
    )
    expect(response.status).toBe(403)
    await expect.poll(() => harness.quarantined(evil)).toHaveLength(1)
    expect(await harness.count('SELECT count(*) FROM devices')).toBeGreaterThan(0)
  })

  test('is forgotten in its turn when very many come', async () => {
    for (let i = 0; i < TEST_LIMITS.quarantineRowsMax + 30; i++) {
      await fetch(`http://127.0.0.1:${harness.portOf('osmand', 'http')}/?id=flood-${i}&lat=1&lon=2`)
    }
    await expect
      .poll(() => harness.quarantined(`flood-${TEST_LIMITS.quarantineRowsMax + 29}`))
      .toHaveLength(1)
    await expect
      .poll(() => harness.count('SELECT count(*) FROM quarantine'))
      .toBe(TEST_LIMITS.quarantineRowsMax)
  })

  test('joins the organisation where configured so, and its first positions are not lost', async () => {
    const open = await harness.startRegistering()
    try {
      const device = harness.device(harness.portOf('teltonika', 'tcp', open))
      device.send(Buffer.concat([login('356307042449999'), packet(3, NOW_MS)]))
      expect(await device.reply(5)).toBe('0100000003')
      const response = await fetch(
        `http://127.0.0.1:${harness.portOf('osmand', 'http', open)}/?id=phone-1&lat=1&lon=2`,
      )
      expect(response.status).toBe(200)
      const { rows } = await harness.pool.query(
        `SELECT d.unique_id, count(p.*)::int AS stored FROM devices d LEFT JOIN positions p ON p.device_id = d.id
         WHERE d.unique_id IN ('356307042449999', 'phone-1') GROUP BY 1 ORDER BY 1`,
      )
      expect(rows).toEqual([
        { unique_id: '356307042449999', stored: 3 },
        { unique_id: 'phone-1', stored: 1 },
      ])
    } finally {
      await open.close()
    }
  })
})

describe('a broken stream', () => {
  test('is closed, counted and kept in the quarantine when no frame can be found in it', async () => {
    const device = harness.device(harness.portOf('teltonika'))
    device.send(Buffer.from('00000000ffffffff08', 'hex'))
    await device.closed()
    expect(
      await harness.metric('fleetflow_frame_faults_total', { protocol: 'teltonika', code: 'malformed' }),
    ).toBeGreaterThan(0)
    await expect
      .poll(() => harness.count("SELECT count(*) FROM quarantine WHERE reason = 'malformed'"))
      .toBeGreaterThan(0)
  })

  test('loses the frame with the wrong checksum only, and is closed when it goes on so', async () => {
    const imei = '356307042441062'
    const id = await harness.register(imei)
    const device = harness.device(harness.portOf('teltonika'))
    const damaged = packet(1, NOW_MS)
    damaged[20]! ^= 0xff
    device.send(Buffer.concat([login(imei), damaged, packet(2, NOW_MS)]))
    expect(await device.reply(5)).toBe('0100000002')
    expect(await harness.storedOf(id)).toBe(2)
    device.send(Buffer.concat([damaged, damaged, damaged, packet(2, NOW_MS)]))
    await device.closed()
    expect(device.silent).toBe(true)
    expect(
      await harness.metric('fleetflow_frame_faults_total', { protocol: 'teltonika', code: 'checksum' }),
    ).toBe(4)
  })

  test('with a wrong checksum is kept, marked and counted, in a protocol whose devices get it wrong', async () => {
    const id = await harness.register('356307042441088')
    const device = harness.device(harness.portOf('gt06'))
    device.send(Buffer.from('78780d0103563070424410880001ffff0d0a', 'hex'))
    // A location of the corpus with another checksum.
    device.send(
      Buffer.from('78781f1210020e14061dcc0476fcd0003e3faf3e14b20000000000000000044effff0d0a', 'hex'),
    )
    await expect.poll(() => harness.storedOf(id)).toBe(1)
    const { rows } = await harness.pool.query('SELECT quality FROM positions WHERE device_id = $1', [id])
    expect(rows[0].quality & QUALITY.checksum).toBe(QUALITY.checksum)
    expect(await harness.metric('fleetflow_frame_faults_total', { protocol: 'gt06', code: 'checksum' })).toBe(
      1,
    )
  })

  test('of random bytes at every port leaves the others at work', async () => {
    const random = (length: number) =>
      Buffer.from(Array.from({ length }, (_, i) => (i * 7919 + length * 31) % 256))
    await Promise.all(
      harness.ingest.listeners.flatMap((listener) =>
        listener.transport === 'udp'
          ? []
          : [1, 10, 500, 5000].map(async (length) => {
              const device = harness.device(listener.port)
              device.send(random(length))
              device.socket.end()
              await device.closed()
            }),
      ),
    )
    const udp = createSocket('udp4')
    for (const listener of harness.ingest.listeners) {
      if (listener.transport === 'udp') udp.send(random(700), listener.port, '127.0.0.1')
    }
    await expect
      .poll(() => harness.metric('fleetflow_frame_faults_total', { protocol: 'h02' }))
      .toBeGreaterThan(0)
    udp.close()
    const imei = '356307042441070'
    await harness.register(imei)
    const device = harness.device(harness.portOf('teltonika'))
    device.send(Buffer.concat([login(imei), packet(1, NOW_MS)]))
    expect(await device.reply(5)).toBe('0100000001')
  })

  test('that says nothing, or drips, is closed after its time', async () => {
    const openedMs = Date.now()
    const idle = Array.from({ length: 200 }, () => harness.device(harness.portOf('gt06')))
    // 78 78 78 … is the start of a GT06 frame of 125 bytes.
    const dripping = harness.device(harness.portOf('gt06'))
    const drip = setInterval(() => dripping.send('x'), 200)
    await Promise.all([...idle, dripping].map((device) => device.closed()))
    clearInterval(drip)
    expect(Date.now() - openedMs).toBeGreaterThan(TEST_LIMITS.firstFrameTimeoutMs - 100)
    expect(await harness.metric('fleetflow_limits_total', { limit: 'firstFrameTimeoutMs' })).toBe(201)
    await expect.poll(() => harness.metric('fleetflow_connections', { protocol: 'gt06' })).toBe(0)
  })
})
