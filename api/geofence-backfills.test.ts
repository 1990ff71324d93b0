import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'

let api: ApiFixture
let dispatcher: Call
let viewer: Call

beforeAll(async () => {
  api = await apiFixture()
  dispatcher = api.north.as.dispatcher
  viewer = api.north.as.viewer
})
afterAll(() => api.close())

const FROM = '2026-01-01T00:00:00.000Z'

async function addGeofence(): Promise<string> {
  const shape = { type: 'Circle', center: [10, 50], radiusM: 100 }
  const { status, body } = await dispatcher('POST', '/api/v1/geofences', { name: 'yard', shape })
  expect(status).toBe(201)
  return `/api/v1/geofences/${body.id}`
}

/** As ingest does it. */
const end = (id: number, state: string) =>
  api.pool.query(
    'UPDATE geofence_backfills SET state = $2, started_at = now(), ended_at = now() WHERE id = $1',
    [id, state],
  )

describe('a backfill', () => {
  it('is queued, shown with its progress, and listed', async () => {
    const path = await addGeofence()
    const beforeMs = Date.now()
    const { status, body } = await dispatcher('POST', `${path}/backfill`, {
      from: '2026-01-01T01:00:00+01:00',
    })
    expect(status).toBe(202)
    expect(body).toEqual({
      id: expect.any(Number),
      geofenceId: Number(path.split('/').at(-1)),
      from: FROM,
      to: expect.any(String),
      state: 'queued',
      cancelAsked: false,
      devicesTotal: null,
      devicesDone: 0,
      eventsAdded: 0,
      eventsRetracted: 0,
      failure: null,
      createdBy: api.north.userIds.dispatcher,
      createdAt: expect.any(String),
      startedAt: null,
      endedAt: null,
    })
    expect(Date.parse(body.to)).toBeGreaterThanOrEqual(beforeMs)
    await api.pool.query(
      "UPDATE geofence_backfills SET state = 'running', started_at = now(), devices_total = 9, devices_done = 4 WHERE id = $1",
      [body.id],
    )
    const running = (await viewer('GET', `${path}/backfills/${body.id}`)).body
    expect(running).toMatchObject({ state: 'running', devicesTotal: 9, devicesDone: 4 })
    await end(body.id, 'done')
    const to = '2026-02-01T00:00:00.000Z'
    const second = (await dispatcher('POST', `${path}/backfill`, { from: FROM, to })).body
    expect(second).toMatchObject({ from: FROM, to, state: 'queued' })
    const list = (await viewer('GET', `${path}/backfills`)).body
    expect(list.items.map(({ id }: { id: number }) => id)).toEqual([second.id, body.id])
    const first = (await viewer('GET', `${path}/backfills?limit=1`)).body
    const rest = (await viewer('GET', `${path}/backfills?limit=1&cursor=${first.next}`)).body
    expect([...first.items, ...rest.items]).toEqual(list.items)
    expect(rest.next).toBeNull()
  })

  it('is one at a time, also of requests that come at once', async () => {
    const path = await addGeofence()
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => dispatcher('POST', `${path}/backfill`, { from: FROM })),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 409, 409, 409])
    expect(answers.find(({ status }) => status === 409)!.body.code).toBe('backfill-open')
  })

  it('ends no later than now', async () => {
    const path = await addGeofence()
    const { body } = await dispatcher('POST', `${path}/backfill`, { from: FROM, to: '2999-01-01T00:00:00Z' })
    expect(Math.abs(Date.parse(body.to) - Date.now())).toBeLessThan(60_000)
  })

  it('is cancelled until it has ended', async () => {
    const path = await addGeofence()
    const { id } = (await dispatcher('POST', `${path}/backfill`, { from: FROM })).body
    for (let i = 0; i < 2; i++) {
      const { status, body } = await dispatcher('DELETE', `${path}/backfills/${id}`)
      expect([status, body.cancelAsked]).toEqual([202, true])
    }
    await end(id, 'cancelled')
    const refused = await dispatcher('DELETE', `${path}/backfills/${id}`)
    expect([refused.status, refused.body.code]).toEqual([409, 'backfill-ended'])
  })

  it('is refused for what is no time before now, and for what is not there', async () => {
    const path = await addGeofence()
    for (const body of [
      {},
      { from: 'x' },
      { from: FROM, to: FROM },
      { from: '2999-01-01T00:00:00Z' },
      { from: 5 },
      { from: FROM, until: FROM },
    ]) {
      expect((await dispatcher('POST', `${path}/backfill`, body)).status, JSON.stringify(body)).toBe(400)
    }
    const none = '/api/v1/geofences/2000000'
    expect((await dispatcher('POST', `${none}/backfill`, { from: FROM })).status).toBe(404)
    expect((await viewer('GET', `${none}/backfills`)).status).toBe(404)
    expect((await viewer('GET', `${path}/backfills/2000000`)).status).toBe(404)
    expect((await dispatcher('DELETE', `${path}/backfills/2000000`)).status).toBe(404)
    const { id } = (await dispatcher('POST', `${path}/backfill`, { from: FROM })).body
    expect((await viewer('GET', `${await addGeofence()}/backfills/${id}`)).status).toBe(404)
  })
})

describe('roles and tenants', () => {
  it('let viewers look, dispatchers act, and nobody else', async () => {
    const path = await addGeofence()
    const { id } = (await dispatcher('POST', `${path}/backfill`, { from: FROM })).body
    const calls = [
      ['POST', `${path}/backfill`, { from: FROM }],
      ['DELETE', `${path}/backfills/${id}`, undefined],
    ] as const
    for (const [method, address, body] of calls) {
      expect((await viewer(method, address, body)).status).toBe(403)
      expect((await api.south.as.admin(method, address, body)).status).toBe(404)
    }
    for (const address of [`${path}/backfills`, `${path}/backfills/${id}`]) {
      expect((await viewer('GET', address)).status).toBe(200)
      expect((await api.north.as.driver('GET', address)).status).toBe(403)
      expect((await api.south.as.admin('GET', address)).status).toBe(404)
    }
    expect((await viewer('GET', `${path}/backfills/${id}`)).body.cancelAsked).toBe(false)
  })
})
