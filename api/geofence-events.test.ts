import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findEvents } from '../storage/geofences/geofence-events.ts'
import { withTenant } from '../storage/tenancy.ts'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'

const HOUR_MS = 3600_000

let api: ApiFixture
let viewer: Call
let device: number
let other: number
let yard: number
let gate: number
const startMs = Math.floor(Date.now() / 1000) * 1000 - 10 * 24 * HOUR_MS
const at = (hours: number) => new Date(startMs + hours * HOUR_MS).toISOString()

beforeAll(async () => {
  api = await apiFixture()
  viewer = api.north.as.viewer
  device = await api.addDevice(api.north.id, 'one')
  other = await api.addDevice(api.north.id, 'two')
  yard = await addGeofence('yard')
  gate = await addGeofence('gate')
  await addEvents(
    [1, device, yard, 'enter', { superseded: true }],
    [2, device, yard, 'exit', {}],
    [1.5, device, yard, 'enter', { revision: 1, replaces: 1 }],
    [3, other, yard, 'enter', {}],
    [3, device, gate, 'enter', { superseded: true }],
    [3, device, gate, 'enter', { revision: 1, replaces: 5, retracted: true }],
    [4, device, gate, 'speeding', { speed_kmh: 62.5, latitude: 30.25, longitude: -97.75, fix_time: at(4) }],
    // Between the first events and those of 40 days before there is nothing.
    [-960, device, yard, 'dwell', {}],
  )
})
afterAll(() => api.close())

async function addGeofence(name: string, organization = api.north.id): Promise<number> {
  const { rows } = await api.pool.query(
    `INSERT INTO geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
     VALUES ($1, $2, '{}', 0, 0, 1, 1, 'UTC', '[{}]') RETURNING id`,
    [organization, name],
  )
  return rows[0].id
}

type Given = readonly [hours: number, device: number, geofence: number, type: string, more: object]

/** Their ids are counted up from where they are. */
async function addEvents(...events: Given[]): Promise<void> {
  for (const [hours, deviceId, geofence, type, more] of events) {
    const row = {
      event_time: at(hours),
      device_id: deviceId,
      geofence_id: geofence,
      geofence_version: 1,
      type,
      ...more,
    }
    const columns = Object.keys(row)
    await api.pool.query(
      `INSERT INTO events (${columns}) VALUES (${columns.map((_, i) => `$${i + 1}`)})`,
      Object.values(row),
    )
  }
}

const listed = async (path: string, call = viewer) => {
  const { status, body } = await call('GET', `/api/v1${path}`)
  expect(status, JSON.stringify(body)).toBe(200)
  return body.items.map(({ id }: { id: number }) => id)
}

describe('events', () => {
  it('are listed the newest first, those that hold', async () => {
    expect(await listed('/events')).toEqual([7, 4, 2, 3])
    expect(await listed(`/devices/${device}/events`)).toEqual([7, 2, 3])
    expect(await listed(`/geofences/${yard}/events`)).toEqual([4, 2, 3])
  })

  it('are listed with what was corrected and retracted when history is asked for', async () => {
    expect(await listed('/events?history=true')).toEqual([7, 6, 5, 4, 2, 3, 1])
    expect(await listed(`/devices/${device}/events?history=true`)).toEqual([7, 6, 5, 2, 3, 1])
    expect(await listed(`/geofences/${gate}/events?history=true`)).toEqual([7, 6, 5])
    const { body } = await viewer('GET', `/api/v1/geofences/${gate}/events?history=true`)
    expect(body.items).toMatchObject([
      { id: 7, current: true },
      { id: 6, retracted: true, replaces: 5, revision: 1, current: false },
      { id: 5, retracted: false, replaces: null, revision: 0, current: false },
    ])
    expect(body.items[0]).toEqual({
      id: 7,
      device,
      geofence: gate,
      geofenceVersion: 1,
      type: 'speeding',
      time: at(4),
      fixTime: at(4),
      latitude: 30.25,
      longitude: -97.75,
      speed: 62.5,
      crossing: false,
      revision: 0,
      replaces: null,
      retracted: false,
      current: true,
      recordedAt: expect.any(String),
    })
  })

  it('are filtered by time, type, device and geofence', async () => {
    expect(await listed(`/events?from=${at(2)}&to=${at(4)}`)).toEqual([4, 2])
    expect(await listed('/events?type=enter')).toEqual([4, 3])
    expect(await listed(`/events?device=${device}&geofence=${yard}`)).toEqual([2, 3])
    expect(await listed(`/devices/${device}/events?geofence=${gate}`)).toEqual([7])
    expect(await listed(`/geofences/${yard}/events?device=${other}`)).toEqual([4])
    // Before what is looked at unless it is asked for.
    expect(await listed(`/events?from=${at(-1000)}`)).toEqual([7, 4, 2, 3, 8])
    expect(await listed(`/events?to=${at(-959)}`)).toEqual([8])
  })

  it('come in pages, also where several have one time', async () => {
    const ids: number[] = []
    let next: string | null = ''
    while (next !== null) {
      const { body } = await viewer('GET', `/api/v1/events?history=true&limit=2${next && `&cursor=${next}`}`)
      expect(body.items.length).toBeLessThanOrEqual(2)
      ids.push(...body.items.map(({ id }: { id: number }) => id))
      next = body.next
    }
    expect(ids).toEqual([7, 6, 5, 4, 2, 3, 1])
  })

  it('are refused for what is no time, type, cursor or device', async () => {
    for (const query of [
      'from=yesterday',
      'type=left',
      'cursor=abc',
      `cursor=${Buffer.from('[1,"x"]').toString('base64url')}`,
      'device=0',
      'history=1',
      'limit=101',
      `from=${at(2)}&to=${at(1)}`,
    ]) {
      expect((await viewer('GET', `/api/v1/events?${query}`)).status, query).toBe(400)
    }
    expect((await viewer('GET', '/api/v1/devices/2000000/events')).status).toBe(404)
    expect((await viewer('GET', '/api/v1/geofences/2000000/events')).status).toBe(404)
  })

  it('are refused when looking through them takes too long', async () => {
    const lock = await api.pool.connect()
    try {
      await lock.query('BEGIN; LOCK TABLE events')
      const { status, body } = await viewer('GET', '/api/v1/events')
      expect([status, body.code]).toEqual([422, 'query-too-large'])
    } finally {
      await lock.query('ROLLBACK')
      lock.release()
    }
  })

  it('stay when their geofence and their device are deleted', async () => {
    const short = await addGeofence('short')
    const gone = await api.addDevice(api.north.id, 'gone')
    await addEvents([5, gone, short, 'enter', {}])
    await api.pool.query('DELETE FROM geofences WHERE id = $1', [short])
    await api.pool.query('DELETE FROM devices WHERE id = $1', [gone])
    expect(await listed(`/events?geofence=${short}`)).toHaveLength(1)
    expect((await viewer('GET', `/api/v1/geofences/${short}/events`)).status).toBe(404)
    await api.pool.query('DELETE FROM events WHERE geofence_id = $1', [short])
  })
})

describe('roles and tenants', () => {
  it('let everyone read but drivers', async () => {
    for (const path of ['/events', `/devices/${device}/events`, `/geofences/${yard}/events`]) {
      expect((await api.north.as.driver('GET', `/api/v1${path}`)).status).toBe(403)
      expect((await api.nobody('GET', `/api/v1${path}`)).status).toBe(401)
    }
  })

  it('keep events of another organisation unseen', async () => {
    const { admin } = api.south.as
    expect(await listed('/events?history=true', admin)).toEqual([])
    expect(await listed(`/events?device=${device}&geofence=${yard}`, admin)).toEqual([])
    expect(await listed(`/events?organizationId=${api.north.id}`, admin)).toEqual([])
    expect((await admin('GET', `/api/v1/devices/${device}/events`)).status).toBe(404)
    expect((await admin('GET', `/api/v1/geofences/${yard}/events`)).status).toBe(404)
  })

  it('leave events where they were made when a device moves', async () => {
    const moving = await api.addDevice(api.north.id, 'moving')
    await addEvents([6, moving, yard, 'enter', {}])
    await api.pool.query('UPDATE devices SET organization_id = $2 WHERE id = $1', [moving, api.south.id])
    expect(await listed(`/devices/${moving}/events`, api.south.as.viewer)).toEqual([])
    expect(await listed(`/geofences/${yard}/events?device=${moving}`)).toHaveLength(1)
    await api.pool.query('DELETE FROM events WHERE device_id = $1', [moving])
  })

  it('ask a super admin whose events', async () => {
    const root = api.north.as['super-admin']
    const refused = await root('GET', '/api/v1/events')
    expect([refused.status, refused.body.errors[0].field]).toEqual([400, 'organizationId'])
    expect(await listed(`/events?organizationId=${api.north.id}`, root)).toEqual([7, 4, 2, 3])
    expect(await listed(`/events?device=${other}`, root)).toEqual([4])
    expect(await listed(`/devices/${other}/events`, root)).toEqual([4])
  })
})

describe('each filter', () => {
  /** The plan of the statement within the function, which EXPLAIN does not show. */
  async function planOf(query: object): Promise<string> {
    return withTenant(
      api.pool,
      { userId: 1, organizationId: api.north.id, role: 'viewer' },
      async (client) => {
        const plans: string[] = []
        const note = ({ message }: { message?: string | undefined }) => plans.push(message ?? '')
        client.on('notice', note)
        try {
          await client.query(`RESET ROLE; LOAD 'auto_explain'; SET LOCAL auto_explain.log_min_duration = 0;
          SET LOCAL auto_explain.log_nested_statements = on; SET LOCAL auto_explain.log_level = notice`)
          const [from, to] = [new Date(startMs - 100 * 24 * HOUR_MS), new Date()]
          const all = { organizationId: api.north.id, from, to, history: false, limit: 20 }
          await findEvents(client, { ...all, ...query })
        } finally {
          client.off('notice', note)
        }
        return plans.find((plan) => /events_/.test(plan)) ?? plans.join('\n')
      },
    )
  }

  async function fill(client: pg.Pool): Promise<void> {
    await client.query(
      `INSERT INTO events (event_time, device_id, geofence_id, geofence_version, organization_id, type)
       SELECT $1::timestamptz - i * interval '1 second', 1000000 + i % 200, 1000000 + i % 300, 1, $2, 'enter'
       FROM generate_series(1, 20000) i`,
      [at(-1200), api.north.id],
    )
    await client.query('ANALYZE events')
  }

  it('is answered from an index', async () => {
    await fill(api.pool)
    for (const [query, condition] of [
      [{}, 'organization_id'],
      [{ device }, 'device_id'],
      [{ geofence: yard }, 'geofence_id'],
      [{ device, geofence: yard, type: 'enter' }, '(?:device|geofence)_id'],
      [{ before: [Date.now() * 1000, 5] }, 'organization_id'],
    ] as const) {
      const plan = await planOf(query)
      expect(plan).toMatch(new RegExp(`Index Cond: .*\\b${condition} = `))
      // A day of a few rows is as well read whole.
      expect(plan).not.toMatch(/Seq Scan .* rows=\d{4,} /)
    }
  })
})
