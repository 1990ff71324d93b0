import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { takeAway } from '../../test/database.ts'
import { fixes, type StreamClient, StreamFixture } from '../../test/stream-fixture.ts'
import { LiveError } from '../live-error.ts'
import { startLive } from '../server.ts'
import { DeviceFeed } from './device-feed.ts'

const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

describe('changes of devices', () => {
  let stream: StreamFixture
  let organizationId: number
  let otherOrganizationId: number
  let device: number
  let mine: StreamClient
  let other: StreamClient
  let admin: StreamClient
  let timeMs = START_MS

  beforeAll(async () => {
    stream = await StreamFixture.create()
    organizationId = await stream.organization()
    otherOrganizationId = await stream.organization()
    await stream.start()
    mine = await stream.connect({ organizationId, role: 'viewer' })
    other = await stream.connect({ organizationId: otherOrganizationId, role: 'viewer' })
    admin = await stream.connect({ organizationId: null, role: 'super-admin' })
    for (const client of [mine, other, admin]) await client.subscribe(1)
  })
  beforeEach(async () => {
    device = (await stream.devices(organizationId, 1))[0]!
    timeMs += 1_000
    stream.publish({ device, fixTimeMs: timeMs })
    expect(fixes([await mine.next()])).toEqual([[device, timeMs]])
    expect(fixes([await admin.next()])).toEqual([[device, timeMs]])
  })
  afterAll(() => stream.stop())

  const update = (set: string) => stream.owner.query(`UPDATE devices SET ${set} WHERE id = ${device}`)

  test('a deleted device leaves, and what still comes of it is shown to nobody', async () => {
    await stream.owner.query('DELETE FROM devices WHERE id = $1', [device])
    expect(await mine.next()).toEqual({ type: 'left', id: 1, devices: [device] })
    expect(await admin.next()).toEqual({ type: 'left', id: 1, devices: [device] })
    stream.publish({ device, fixTimeMs: timeMs + 1 })
    expect(await mine.subscribe(2, [device])).toMatchObject([{ type: 'error', code: 'unknown-device' }])
    const fresh = await stream.connect({ organizationId, role: 'viewer' })
    expect(fixes(await fresh.subscribe(1)).map(([id]) => id)).not.toContain(device)
    fresh.socket.terminate()
  })

  test('a disabled device leaves, and comes back with its last position when it is enabled', async () => {
    expect((await mine.subscribe(2, [device])).at(-1)).toMatchObject({ type: 'live', id: 2 })
    await update('disabled = true')
    expect([await mine.next(), await mine.next()]).toEqual([
      { type: 'left', id: 1, devices: [device] },
      { type: 'left', id: 2, devices: [device] },
    ])
    expect(await admin.next()).toMatchObject({ type: 'left' })
    await update('disabled = false')
    expect(fixes([await mine.next(), await mine.next()])).toEqual([
      [device, timeMs],
      [device, timeMs],
    ])
    expect(fixes([await admin.next()])).toEqual([[device, timeMs]])
    mine.send({ type: 'unsubscribe', id: 2 })
  })

  test('a device that moves to another organisation is seen there and no longer here', async () => {
    await update(`organization_id = ${otherOrganizationId}`)
    expect(await mine.next()).toEqual({ type: 'left', id: 1, devices: [device] })
    expect(fixes([await other.next()])).toEqual([[device, timeMs]])
    expect(fixes([await admin.next()])).toEqual([[device, timeMs]])
    stream.publish({ device, fixTimeMs: timeMs + 1 })
    expect(fixes([await other.next()])).toEqual([[device, timeMs + 1]])
    expect(fixes([await admin.next()])).toEqual([[device, timeMs + 1]])
    expect(mine.waiting).toEqual([])
  })

  test('a change that nobody sees tells nobody', async () => {
    await update(`name = 'another'`)
    stream.publish({ device, fixTimeMs: timeMs + 1 })
    expect(fixes([await mine.next()])).toEqual([[device, timeMs + 1]])
    expect(fixes([await admin.next()])).toEqual([[device, timeMs + 1]])
  })

  test('after the loss of its connections devices are read anew, and what was stored meanwhile', async () => {
    const deleted = device
    // The changes happen while nothing is heard.
    const giveBack = await takeAway(stream.database.url, 'fleetflow live%')
    while ((await stream.metric('fleetflow_stream_database_up')) === 1) await setImmediate()
    const late = new WebSocket(stream.url('?ticket=any'))
    expect((await once(late, 'error'))[0]).toMatchObject({ message: expect.stringContaining('503') })
    await stream.owner.query('DELETE FROM devices WHERE id = $1', [deleted])
    const [added] = await stream.devices(organizationId, 1)
    await stream.storeCommit([{ device: added!, fixTimeMs: timeMs }])
    await giveBack()
    const messages = [await mine.next(), await mine.next()]
    expect(messages).toContainEqual({ type: 'left', id: 1, devices: [deleted] })
    expect(fixes(messages)).toEqual([[added, timeMs]])
    // Changes are heard again.
    await stream.owner.query('DELETE FROM devices WHERE id = $1', [added])
    expect(await mine.next()).toEqual({ type: 'left', id: 1, devices: [added] })
    expect(await stream.metric('fleetflow_stream_database_up')).toBe(1)
  })
})

test('a device that was asked for when the connection was lost is asked for again', async () => {
  const stream = await StreamFixture.create()
  const gone: number[] = []
  const feed = new DeviceFeed({
    databaseUrl: stream.database.url,
    log: pino({ level: 'silent' }),
    onDevices: () => undefined,
    onAll: () => undefined,
    onGone: (ids) => gone.push(...ids),
    onGeofences: () => undefined,
    onUp: () => undefined,
  })
  try {
    await feed.start()
    const waiting = `SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'fleetflow live' AND wait_event_type = 'Lock'`
    await stream.owner.query('BEGIN; LOCK TABLE devices')
    feed.check([2_000_000_000])
    while ((await stream.owner.query(waiting)).rowCount === 0) await setImmediate()
    await stream.owner.query(`SELECT pg_terminate_backend(pid, 10000) FROM (${waiting}) AS waiting; COMMIT`)
    while (gone.length === 0) await setImmediate()
    expect(gone).toEqual([2_000_000_000])
  } finally {
    await feed.close()
    await stream.stop()
  }
})

test('a database that is not there is told with a code', async () => {
  const stream = await StreamFixture.create()
  try {
    await stream.start()
    const url = new URL(stream.database.url)
    url.pathname = '/no_such_database'
    const starting = startLive(stream.liveOptions({ databaseUrl: url.href }), [])
    await expect(starting).rejects.toThrow(LiveError)
    await expect(starting).rejects.toMatchObject({ code: 'database-unreachable' })
  } finally {
    await stream.stop()
  }
})
