/** Commands where several processes serve one database, and where the database goes away. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { NOTIFICATIONS_APPLICATION } from '../ingest/devices/notifications.ts'
import type { Ingest } from '../ingest/engine.ts'
import { commandRow, gt06Answer, gt06Login, queue } from './command-fixture.ts'
import { takeAway } from './database.ts'
import { startTestEngine, type TestEngine } from './engine.ts'
import { Device, IngestHarness } from './ingest-harness.ts'

/** `engineStop` as the first command of a GT06 session. */
const RELAY = '787812800c0000000052656c61792c312300009dee0d0a'

let imeis = 356307042450000
const newImei = () => String(++imeis)

async function loggedIn(device: Device, imei: string): Promise<Device> {
  device.send(gt06Login(imei))
  expect(await device.reply(10)).toMatch(/^78780501/)
  return device
}

describe('of two processes on one database', () => {
  let harness: IngestHarness
  let other: Ingest

  beforeAll(async () => {
    harness = await IngestHarness.start()
    other = await harness.another()
  }, 30_000)
  afterEach(() => harness.hangUp())
  afterAll(async () => {
    await other.close()
    await harness.stop()
  })

  test('exactly one sends each command of a device that is connected to both', async () => {
    const imei = newImei()
    const id = await harness.register(imei)
    const received = new Map<number, string>()
    for (const [index, ingest] of [harness.ingest, other].entries()) {
      const device = harness.device(harness.portOf('gt06', 'tcp', ingest))
      // The other registry hears of the device in its own time.
      await expect
        .poll(() => {
          if (device.silent) device.send(gt06Login(imei))
          return device.silent
        })
        .toBe(false)
      received.set(index, '')
      device.socket.on('data', (bytes) =>
        received.set(index, received.get(index)! + bytes.toString('latin1')),
      )
    }
    const names = Array.from({ length: 200 }, (_, i) => `CMD,${String(i).padStart(3, '0')}#`)
    for (const data of names) await queue(harness, id, 'custom', { data })
    const all = () => [...received.values()].join('').match(/CMD,\d{3}#/g) ?? []
    await expect.poll(() => all().length).toBe(200)
    expect(all().sort()).toEqual(names)
    expect(await harness.count("SELECT count(*) FROM commands WHERE state <> 'sent'")).toBe(0)
    for (const text of received.values()) {
      const own = text.match(/CMD,\d{3}#/g) ?? []
      expect(own).toEqual([...own].sort())
    }
  }, 30_000)
})

describe('a command to a connected device', () => {
  let harness: IngestHarness

  beforeAll(async () => {
    harness = await IngestHarness.start()
  }, 30_000)
  afterAll(() => harness.stop())

  test('goes out after the reconnect when the notification of it was lost', async () => {
    const imei = newImei()
    const id = await harness.register(imei)
    const device = await loggedIn(harness.device(harness.portOf('gt06')), imei)
    // All at once, so that nobody is told of the command.
    await harness.pool.query(`
      BEGIN;
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = '${NOTIFICATIONS_APPLICATION}';
      ALTER TABLE commands DISABLE TRIGGER commands_notify;
      INSERT INTO commands (organization_id, device_id, type, attributes, created_by, expires_at)
        VALUES (${harness.organizationId}, ${id}, 'engineStop', '{}', 1, now() + interval '1 hour');
      ALTER TABLE commands ENABLE TRIGGER commands_notify;
      COMMIT`)
    expect(await device.reply(RELAY.length / 2)).toBe(RELAY)
  })

  test('waits while the database is away, and its answer waits too', async () => {
    const imei = newImei()
    const id = await harness.register(imei)
    const device = await loggedIn(harness.device(harness.portOf('gt06')), imei)
    const first = await queue(harness, id, 'engineStop')
    expect(await device.reply(RELAY.length / 2)).toBe(RELAY)
    const giveBack = await takeAway(harness.databaseUrl)
    device.send(gt06Answer(0, 'DYD=Success!'))
    // The journal has it, the table can not.
    expect(await device.reply(10)).toMatch(/^78780515/)
    await giveBack()
    await expect.poll(async () => (await commandRow(harness.pool, first)).state).toBe('acknowledged')
    const second = await queue(harness, id, 'custom', { data: 'STATUS#' })
    expect(Buffer.from(await device.reply(22), 'hex').toString('latin1')).toContain('STATUS#')
    expect(await commandRow(harness.pool, second)).toMatchObject({ state: 'sent', serial: 1 })
  }, 30_000)
})

describe('two engines on one database', () => {
  let first: TestEngine
  let second: TestEngine
  let token: string
  const devices: Device[] = []
  let secondData: string

  beforeAll(async () => {
    first = await startTestEngine()
    secondData = await mkdtemp(join(tmpdir(), 'fleetflow-second-'))
    second = await startTestEngine({ DATABASE_URL: first.engine.databaseUrl, DATA_DIR: secondData })
    const answer = await api('POST', '/auth/login', {
      email: first.adminEmail,
      password: first.adminPassword,
    })
    token = answer.body.accessToken as string
  }, 60_000)
  afterAll(async () => {
    for (const { socket } of devices) socket.destroy()
    await second.stop()
    await first.stop()
    await rm(secondData, { recursive: true, force: true })
  })

  async function api(method: string, path: string, body?: object) {
    const response = await fetch(`${first.apiUrl}/api/v1${path}`, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
  }

  test('a call at the first reaches the device at the second, and its answer comes back', async () => {
    const imei = newImei()
    const organization = await api('POST', '/organizations', { name: 'Two' })
    const registered = await api('POST', '/devices', {
      organizationId: organization.body.id,
      uniqueId: imei,
      name: 'Bus',
    })
    const path = `/devices/${registered.body.id}/commands`
    // Before the device is there: it waits.
    const given = await api('POST', path, { type: 'engineStop', key: 'once' })
    expect(given).toMatchObject({ status: 201, body: { state: 'queued' } })

    const device = new Device(second.ports.gt06!)
    devices.push(device)
    await expect
      .poll(() => {
        if (device.silent) device.send(gt06Login(imei))
        return device.silent
      })
      .toBe(false)
    let received = ''
    device.socket.on('data', (bytes) => {
      received += bytes.toString('hex')
    })
    const own = `${path}/${given.body.id}`
    await expect.poll(async () => (await api('GET', own)).body.state).toBe('sent')
    device.send(gt06Answer(0, 'DYD=Success!'))
    await expect.poll(async () => (await api('GET', own)).body.state).toBe('acknowledged')
    expect((await api('GET', own)).body).toMatchObject({ answer: 'DYD=Success!', failure: null })

    // And now that it is there: at once.
    expect((await api('POST', path, { type: 'custom', attributes: { data: 'STATUS#' } })).status).toBe(201)
    await expect.poll(() => received).toContain(Buffer.from('STATUS#').toString('hex'))
    expect((await api('POST', path, { type: 'engineStop', key: 'once' })).status).toBe(200)
    const { body } = await api('GET', `/audit-events?limit=2`)
    expect((body.items as { action: string }[]).map(({ action }) => action)).toEqual([
      'command-accepted',
      'command-accepted',
    ])
  }, 30_000)
})
