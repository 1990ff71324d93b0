/** A position through the whole engine: from a device's socket to the API and to a subscriber of the stream. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { ServerMessage, StreamRow } from '../schemas/stream.ts'
import { startTestEngine, type TestEngine } from './engine.ts'
import { login, packet } from './ingest-harness.ts'

const IMEI = '356307042441013'

let engine: TestEngine
let token: string

beforeAll(async () => {
  engine = await startTestEngine()
  const answer = await api('POST', '/auth/login', {
    email: engine.adminEmail,
    password: engine.adminPassword,
  })
  token = answer.accessToken as string
}, 60_000)
afterAll(() => engine.stop())

async function api(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${engine.apiUrl}/api/v1${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return text === '' ? {} : JSON.parse(text)
}

test('a position reaches the API and a subscriber, after its reply', async () => {
  const organization = await api('POST', '/organizations', { name: 'Austin' })
  const device = await api('POST', '/devices', {
    organizationId: organization.id,
    uniqueId: IMEI,
    name: 'Bus 1',
  })
  const { ticket, url } = await api('POST', '/stream/tickets')
  const socket = new WebSocket(`${url}?ticket=${ticket}`, 'fleetflow.json')
  const rows: StreamRow[] = []
  const live = new Promise<void>((resolve) => {
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as ServerMessage
      if (message.type === 'positions') rows.push(...message.rows)
      if (message.type === 'live') resolve()
    })
  })
  await once(socket, 'open')
  socket.send(JSON.stringify({ type: 'subscribe', id: 1, scope: { all: true } }))
  await live
  expect(rows).toEqual([])

  const fixTimeMs = Math.floor(Date.now() / 1000) * 1000 - 10_000
  const tracker = connect(engine.ports['teltonika/tcp']!, '127.0.0.1')
  // The registry hears of a new device a moment after the API: until then the login is refused.
  await expect.poll(() => engine.engine.metric('fleetflow_devices')).toBe(1)
  tracker.write(Buffer.concat([login(IMEI), packet(3, fixTimeMs)]))
  let replied = Buffer.alloc(0)
  for await (const bytes of tracker) {
    replied = Buffer.concat([replied, bytes])
    if (replied.length >= 5) break
  }
  expect(replied.toString('hex')).toBe('0100000003')
  // The reply says that they are durable; the database has them a moment later.
  await expect.poll(() => engine.engine.metric('fleetflow_positions_stored_total')).toBe(3)

  const { items } = (await api(
    'GET',
    `/devices/${device.id}/positions?from=${new Date(fixTimeMs).toISOString()}&to=${new Date(fixTimeMs + 3_600_000).toISOString()}`,
  )) as { items: Record<string, unknown>[] }
  expect(items.map((item) => item.fixTime)).toEqual(
    [0, 1, 2].map((second) => new Date(fixTimeMs + second * 1000).toISOString()),
  )
  expect(items[0]).toMatchObject({
    device: device.id,
    longitude: -97.74,
    speed: 36,
    satellites: 9,
    quality: [],
  })

  await expect.poll(() => rows.at(-1)?.fixTime).toBe(items[2]!.fixTime)
  expect(rows.at(-1)).toMatchObject({ device: device.id, longitude: -97.74, speed: 36 })
  const last = (await api('GET', '/positions')) as { items: Record<string, unknown>[] }
  expect(last.items.map((item) => item.fixTime)).toEqual([items[2]!.fixTime])
  socket.close()
})

test('an unknown device can be claimed from the quarantine, and then reports', async () => {
  const imei = '356307042441021'
  const refused = connect(engine.ports['teltonika/tcp']!, '127.0.0.1')
  refused.write(login(imei))
  expect((await once(refused, 'data'))[0]).toEqual(Buffer.from([0]))
  const seen = async () => ((await api('GET', '/quarantine')) as { items: { uniqueId: string }[] }).items
  await expect.poll(async () => (await seen()).map(({ uniqueId }) => uniqueId)).toContain(imei)
  const organization = await api('POST', '/organizations', { name: 'Finders' })
  await api('POST', '/quarantine/claim', {
    protocol: 'teltonika',
    uniqueId: imei,
    organizationId: organization.id,
    name: 'Found',
  })
  await expect.poll(() => engine.engine.metric('fleetflow_devices')).toBe(2)
  const taken = connect(engine.ports['teltonika/tcp']!, '127.0.0.1')
  taken.write(login(imei))
  expect((await once(taken, 'data'))[0]).toEqual(Buffer.from([1]))
  taken.destroy()
})

test('says that it is ready, and measures itself', async () => {
  expect((await fetch(`${engine.apiUrl}/ready`)).status).toBe(200)
  const metrics = await (await fetch(`${engine.apiUrl}/metrics`)).text()
  for (const name of [
    'fleetflow_positions_stored_total',
    'fleetflow_stream_sockets',
    'fleetflow_api_request_seconds',
  ]) {
    expect(metrics).toContain(name)
  }
})
