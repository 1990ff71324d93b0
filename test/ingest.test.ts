/** Ingest as devices meet it: real sockets, real frames, a real database; and what it does with those that lie. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import mqtt from 'mqtt'
import pg from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { crc16Ibm } from '../device-adapters/checksums.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { type Ingest, startIngest } from '../ingest/engine.ts'
import { createPool } from '../storage/pools.ts'
import { type TestDatabase, testDatabase } from './database.ts'

const FIRST_FRAME_TIMEOUT_MS = 1_500
const QUARANTINE_ROWS_MAX = 50

let database: TestDatabase
let pool: pg.Pool
let ingest: Ingest
let registry: Registry
let organizationId: number
const sockets: Socket[] = []

beforeAll(async () => {
  database = await testDatabase()
  pool = createPool(database.url, { max: 5, applicationName: 'ingest test' })
  const { rows } = await pool.query("INSERT INTO organizations (name) VALUES ('Test') RETURNING id")
  organizationId = rows[0].id
  registry = new Registry()
  ingest = await start(undefined, registry)
}, 30_000)
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})
afterAll(async () => {
  await ingest.close()
  await pool.end()
  await database.drop()
})

async function start(registerInto: number | undefined, metrics: Registry): Promise<Ingest> {
  const adapters = await loadAdapters()
  return startIngest({
    host: '127.0.0.1',
    adapters,
    ports: new Map([...adapters.keys(), 'mqtt'].map((id) => [id, 0])),
    databaseUrl: database.url,
    pool,
    livePorts: [undefined, undefined],
    registerInto,
    limits: {
      firstFrameTimeoutMs: FIRST_FRAME_TIMEOUT_MS,
      faultsPerConnectionMax: 3,
      quarantineRowsMax: QUARANTINE_ROWS_MAX,
    },
    registry: metrics,
    log: pino({ level: 'silent' }),
    onFailure: (error) => {
      throw error
    },
  })
}

const portOf = (protocol: string, transport = 'tcp', of = ingest) =>
  of.listeners.find((listener) => listener.protocol === protocol && listener.transport === transport)!.port

async function register(uniqueId: string, secretHash: Buffer | null = null): Promise<number> {
  const { rows } = await pool.query(
    'INSERT INTO devices (organization_id, unique_id, name, secret_hash) VALUES ($1, $2, $2, $3) RETURNING id',
    [organizationId, uniqueId, secretHash],
  )
  // The registry hears of it by NOTIFY: wait until it has.
  await expect.poll(() => metric('fleetflow_devices')).toBe(await count('SELECT count(*) FROM devices'))
  return rows[0].id
}

const count = async (sql: string, values: unknown[] = []) =>
  Number((await pool.query(sql, values)).rows[0].count)
const storedOf = (device: number) => count('SELECT count(*) FROM positions WHERE device_id = $1', [device])
const quarantined = async (uniqueId: string) =>
  (await pool.query('SELECT * FROM quarantine WHERE unique_id = $1', [uniqueId])).rows

async function metric(name: string, labels: Record<string, string> = {}, of = registry): Promise<number> {
  const values = (await of.getMetricsAsJSON()).find((candidate) => candidate.name === name)?.values ?? []
  return values
    .filter((value) => Object.entries(labels).every(([key, wanted]) => value.labels[key] === wanted))
    .reduce((sum, { value }) => sum + value, 0)
}

/** A device's end of a TCP connection. */
class Device {
  readonly socket: Socket
  private received = Buffer.alloc(0)
  private wake = () => {}

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    sockets.push(this.socket)
    this.socket.on('error', () => undefined)
    this.socket.on('data', (bytes) => {
      this.received = Buffer.concat([this.received, bytes])
      this.wake()
    })
  }

  send(bytes: Buffer | string): void {
    this.socket.write(bytes)
  }

  /** The next bytes of the server, as hex. */
  async reply(bytes: number): Promise<string> {
    while (this.received.length < bytes) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    const reply = this.received.subarray(0, bytes).toString('hex')
    this.received = this.received.subarray(bytes)
    return reply
  }

  get silent(): boolean {
    return this.received.length === 0
  }

  async closed(): Promise<void> {
    if (!this.socket.closed) await once(this.socket, 'close')
  }
}

const login = (imei: string) => Buffer.concat([Buffer.from([0, imei.length]), Buffer.from(imei)])

/** A Codec 8 packet of `records` positions, a second apart from `timeMs` on. */
function packet(records: number, timeMs: number): Buffer {
  const data = [Buffer.from([8, records])]
  for (let i = 0; i < records; i++) {
    const record = Buffer.alloc(30)
    record.writeBigUInt64BE(BigInt(timeMs + i * 1000), 0)
    record.writeInt32BE(-977_400_000, 9)
    record.writeInt32BE(302_700_000 + i, 13)
    record[21] = 9
    record.writeUInt16BE(36, 22)
    data.push(record)
  }
  data.push(Buffer.from([records]))
  const body = Buffer.concat(data)
  const frame = Buffer.alloc(body.length + 12)
  frame.writeUInt32BE(body.length, 4)
  body.copy(frame, 8)
  frame.writeUInt32BE(crc16Ibm(frame, 8, 8 + body.length), 8 + body.length)
  return frame
}

const NOW_MS = Date.now()

describe('a reply', () => {
  test('follows the commit of what it acknowledges', async () => {
    const imei = '356307042441013'
    const id = await register(imei)
    const device = new Device(portOf('teltonika'))
    device.send(login(imei))
    expect(await device.reply(1)).toBe('01')
    for (let i = 1; i <= 20; i++) {
      device.send(packet(10, NOW_MS - i * 60_000))
      expect(await device.reply(4)).toBe('0000000a')
      expect(await storedOf(id)).toBe(10 * i)
    }
  })

  test('comes in the order of the frames, however they are cut', async () => {
    const imei = '356307042441021'
    const id = await register(imei)
    const device = new Device(portOf('teltonika'))
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
    expect(await storedOf(id)).toBe(261)
  })

  test('is given again for what was stored before, which stays one row', async () => {
    const imei = '356307042441039'
    const id = await register(imei)
    for (let i = 0; i < 3; i++) {
      const device = new Device(portOf('teltonika'))
      device.send(Buffer.concat([login(imei), packet(5, NOW_MS - 7_200_000)]))
      expect(await device.reply(5)).toBe('0100000005')
    }
    expect(await storedOf(id)).toBe(5)
  })

  test('waits while the database is away, and comes when it is back', async () => {
    const imei = '356307042441047'
    const id = await register(imei)
    const device = new Device(portOf('teltonika'))
    device.send(login(imei))
    expect(await device.reply(1)).toBe('01')
    const name = new URL(database.url).pathname.slice(1)
    const admin = new pg.Client(database.url.replace(`/${name}`, '/postgres'))
    await admin.connect()
    try {
      await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`)
      await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name])
      await expect.poll(() => metric('fleetflow_shard_database_up')).toBe(0)
      device.send(packet(4, NOW_MS))
      await expect.poll(() => ingest.readiness().ok).toBe(false)
      expect(device.silent).toBe(true)
    } finally {
      await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS true`)
      await admin.end()
    }
    expect(await device.reply(4)).toBe('00000004')
    expect(await storedOf(id)).toBe(4)
    expect(ingest.readiness().ok).toBe(true)
  }, 20_000)
})

describe('an unknown device', () => {
  test('is refused, kept in the quarantine, and taken once it is registered', async () => {
    const imei = '356307042441054'
    const refused = new Device(portOf('teltonika'))
    refused.send(login(imei))
    expect(await refused.reply(1)).toBe('00')
    await refused.closed()
    await expect.poll(() => quarantined(imei)).toHaveLength(1)
    expect((await quarantined(imei))[0]).toMatchObject({
      protocol: 'teltonika',
      reason: 'unknown-device',
      frame_count: 1,
      last_frame: login(imei),
    })
    await register(imei)
    const taken = new Device(portOf('teltonika'))
    taken.send(login(imei))
    expect(await taken.reply(1)).toBe('01')
  })

  test('gets no reply that would let it delete data, over UDP as little', async () => {
    const socket = createSocket('udp4')
    const answers: Buffer[] = []
    socket.on('message', (bytes) => answers.push(bytes))
    socket.send(
      '*HQ,9999900001,V1,121300,A,2240.5518,N,11358.3239,E,10.00,90,211126,FFFFFBFF#',
      portOf('h02', 'udp'),
      '127.0.0.1',
    )
    await expect.poll(() => quarantined('9999900001')).toHaveLength(1)
    expect(answers).toEqual([])
    socket.close()
  })

  test('does no harm with an id that looks like SQL', async () => {
    const evil = "'; DROP TABLE devices; --"
    const response = await fetch(
      `http://127.0.0.1:${portOf('osmand', 'http')}/?id=${encodeURIComponent(evil)}&lat=1&lon=2&timestamp=1700000000`,
    )
    expect(response.status).toBe(403)
    await expect.poll(() => quarantined(evil)).toHaveLength(1)
    expect(await count('SELECT count(*) FROM devices')).toBeGreaterThan(0)
  })

  test('is forgotten in its turn when very many come', async () => {
    for (let i = 0; i < QUARANTINE_ROWS_MAX + 30; i++) {
      await fetch(`http://127.0.0.1:${portOf('osmand', 'http')}/?id=flood-${i}&lat=1&lon=2`)
    }
    await expect.poll(() => quarantined(`flood-${QUARANTINE_ROWS_MAX + 29}`)).toHaveLength(1)
    await expect.poll(() => count('SELECT count(*) FROM quarantine')).toBe(QUARANTINE_ROWS_MAX)
  })

  test('joins the organisation where configured so, and its first positions are not lost', async () => {
    const metrics = new Registry()
    const open = await start(organizationId, metrics)
    try {
      const device = new Device(portOf('teltonika', 'tcp', open))
      device.send(Buffer.concat([login('356307042449999'), packet(3, NOW_MS)]))
      expect(await device.reply(5)).toBe('0100000003')
      const response = await fetch(
        `http://127.0.0.1:${portOf('osmand', 'http', open)}/?id=phone-1&lat=1&lon=2`,
      )
      expect(response.status).toBe(200)
      const { rows } = await pool.query(
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
    const device = new Device(portOf('teltonika'))
    device.send(Buffer.from('00000000ffffffff08', 'hex'))
    await device.closed()
    expect(
      await metric('fleetflow_frame_faults_total', { protocol: 'teltonika', code: 'malformed' }),
    ).toBeGreaterThan(0)
    await expect
      .poll(() => count("SELECT count(*) FROM quarantine WHERE reason = 'malformed'"))
      .toBeGreaterThan(0)
  })

  test('loses the frame with the wrong checksum only, and is closed when it goes on so', async () => {
    const imei = '356307042441062'
    const id = await register(imei)
    const device = new Device(portOf('teltonika'))
    const damaged = packet(1, NOW_MS)
    damaged[20]! ^= 0xff
    device.send(Buffer.concat([login(imei), damaged, packet(2, NOW_MS)]))
    expect(await device.reply(5)).toBe('0100000002')
    expect(await storedOf(id)).toBe(2)
    device.send(Buffer.concat([damaged, damaged, damaged, packet(2, NOW_MS)]))
    await device.closed()
    expect(device.silent).toBe(true)
    expect(await metric('fleetflow_frame_faults_total', { protocol: 'teltonika', code: 'checksum' })).toBe(4)
  })

  test('of random bytes at every port leaves the others at work', async () => {
    const random = (length: number) =>
      Buffer.from(Array.from({ length }, (_, i) => (i * 7919 + length * 31) % 256))
    await Promise.all(
      ingest.listeners.flatMap((listener) =>
        listener.transport === 'udp'
          ? []
          : [1, 10, 500, 5000].map(async (length) => {
              const device = new Device(listener.port)
              device.send(random(length))
              device.socket.end()
              await device.closed()
            }),
      ),
    )
    const udp = createSocket('udp4')
    for (const listener of ingest.listeners) {
      if (listener.transport === 'udp') udp.send(random(700), listener.port, '127.0.0.1')
    }
    await expect.poll(() => metric('fleetflow_frame_faults_total', { protocol: 'h02' })).toBeGreaterThan(0)
    udp.close()
    const imei = '356307042441070'
    await register(imei)
    const device = new Device(portOf('teltonika'))
    device.send(Buffer.concat([login(imei), packet(1, NOW_MS)]))
    expect(await device.reply(5)).toBe('0100000001')
  })

  test('that says nothing, or drips, is closed after its time', async () => {
    const openedMs = Date.now()
    const idle = Array.from({ length: 200 }, () => new Device(portOf('gt06')))
    // 78 78 78 … is the start of a GT06 frame of 125 bytes.
    const dripping = new Device(portOf('gt06'))
    const drip = setInterval(() => dripping.send('x'), 200)
    await Promise.all([...idle, dripping].map((device) => device.closed()))
    clearInterval(drip)
    expect(Date.now() - openedMs).toBeGreaterThan(FIRST_FRAME_TIMEOUT_MS - 100)
    expect(await metric('fleetflow_limits_total', { limit: 'firstFrameTimeoutMs' })).toBe(201)
    await expect.poll(() => metric('fleetflow_connections', { protocol: 'gt06' })).toBe(0)
  })
})

describe('an HTTP request', () => {
  const url = (query = '') => `http://127.0.0.1:${portOf('osmand', 'http')}/${query}`

  test('is answered 200 after the store', async () => {
    const id = await register('phone-2')
    expect((await fetch(url('?id=phone-2&lat=30.27&lon=-97.74&speed=10&timestamp=1763712000'))).status).toBe(
      200,
    )
    expect(await storedOf(id)).toBe(1)
  })

  test('is answered 400 without a place, 405 with another method, 413 when too long', async () => {
    expect((await fetch(url('?id=phone-2'))).status).toBe(400)
    const wrongMethod = await fetch(url(), { method: 'DELETE' })
    expect(wrongMethod.status).toBe(405)
    expect(wrongMethod.headers.get('allow')).toContain('POST')
    expect((await fetch(url(), { method: 'POST', body: 'x'.repeat(2_000_000) })).status).toBe(413)
  })
})

describe('an MQTT message', () => {
  const open = async (username: string, password?: string) => {
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${portOf('mqtt', 'mqtt')}`, {
      protocolVersion: 4,
      clientId: username,
      username,
      ...(password === undefined ? {} : { password }),
      reconnectPeriod: 0,
    })
    client.on('error', () => undefined)
    return client
  }
  const position = JSON.stringify({
    fixTime: '2026-11-21T08:00:00Z',
    latitude: 30.27,
    longitude: -97.74,
    speed: 12,
  })
  const closed = (client: mqtt.MqttClient) => (client.connected ? once(client, 'close') : Promise.resolve())

  test('is acknowledged after the store', async () => {
    const id = await register('gateway-1')
    const client = await open('gateway-1')
    await client.publishAsync('devices/gateway-1/positions', position, { qos: 1 })
    expect(await storedOf(id)).toBe(1)
    await client.publishAsync('devices/gateway-1/positions', position, { qos: 2 })
    expect(await storedOf(id)).toBe(1)
    await client.endAsync()
  })

  test('to a foreign topic ends the connection, and stores nothing', async () => {
    const victim = await register('gateway-2')
    const client = await open('gateway-1')
    client.publish('devices/gateway-2/positions', position, { qos: 1 }, () => undefined)
    await closed(client)
    expect(await storedOf(victim)).toBe(0)
    expect(await metric('fleetflow_frame_faults_total', { protocol: 'mqtt', code: 'foreign-topic' })).toBe(1)
    const owntracks = await open('gateway-1')
    const location = JSON.stringify({ _type: 'location', lat: 1, lon: 2, tst: 1763712000, tid: 'g2' })
    owntracks.publish('owntracks/gateway-1/gateway-2', location, { qos: 1 }, () => undefined)
    await closed(owntracks)
    expect(await storedOf(victim)).toBe(0)
  })

  test('of a device with a password is taken only with it', async () => {
    const { createHash } = await import('node:crypto')
    const id = await register('gateway-3', createHash('sha256').update('right').digest())
    for (const password of [undefined, 'wrong']) {
      const client = await open('gateway-3', password)
      client.publish('devices/gateway-3/positions', position, { qos: 1 }, () => undefined)
      await closed(client)
    }
    expect(await storedOf(id)).toBe(0)
    const client = await open('gateway-3', 'right')
    await client.publishAsync('devices/gateway-3/positions', position, { qos: 1 })
    expect(await storedOf(id)).toBe(1)
    await client.endAsync()
  })

  test('reaches no other client: nobody may subscribe', async () => {
    const client = await open('gateway-1')
    const granted = await client.subscribeAsync('#').catch((error: Error) => error)
    expect(granted instanceof Error || granted[0]!.qos === 128).toBe(true)
    await client.endAsync(true)
  })

  test('that is longer than any of the protocol ends the connection before it is collected', async () => {
    const device = new Device(portOf('mqtt', 'mqtt'))
    // CONNECT of a remaining length of 256 MB.
    device.send(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]))
    await device.closed()
    expect(await metric('fleetflow_frame_faults_total', { protocol: 'mqtt', code: 'too-large' })).toBe(1)
  })
})
