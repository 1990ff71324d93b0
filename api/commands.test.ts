import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ID_MAX } from '../schemas/text.ts'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'

let api: ApiFixture
let dispatcher: Call
let queueFull = 0

beforeAll(async () => {
  api = await apiFixture({
    commands: {
      types: new Map([
        ['gt06', ['custom', 'engineStop', 'engineResume']],
        ['osmand', []],
      ]),
      engineStopSpeedKmhMax: 5,
      queuedPerDeviceMax: 3,
      onQueueFull: () => queueFull++,
    },
  })
  dispatcher = api.north.as.dispatcher
  await api.pool.query(
    "INSERT INTO decoders (adapter, version) VALUES ('gt06', 1), ('osmand', 1), ('gone', 1)",
  )
})
afterAll(() => api.close())

const pathOf = (device: number) => `/api/v1/devices/${device}/commands`
let added = 0
const newDevice = () => api.addDevice(api.north.id, `commanded ${++added}`)

interface Report {
  readonly speedKmh?: number | null
  readonly adapter?: string | null
  readonly quality?: number
  readonly agoS?: number
}

async function report(device: number, { speedKmh, adapter, quality, agoS }: Report): Promise<void> {
  await api.pool.query(
    `INSERT INTO positions (device_id, fix_time, received_at, digest, speed_kmh, quality, valid, decoder)
     SELECT $1, now() - make_interval(secs => $5), now(), 1, $2, $3, true, (SELECT id FROM decoders WHERE adapter = $4)`,
    [device, speedKmh ?? null, quality ?? 0, adapter ?? 'gt06', agoS ?? 10],
  )
}

async function auditOf(device: number): Promise<Record<string, unknown>[]> {
  const { rows } = await api.pool.query(
    'SELECT user_id, action, details FROM audit_events WHERE subject = $1 ORDER BY id',
    [`device ${device}`],
  )
  return rows
}

describe('a command', () => {
  it('is queued, shown, listed and recorded', async () => {
    const device = await newDevice()
    const { status, body } = await dispatcher('POST', pathOf(device), {
      type: 'custom',
      attributes: { data: 'STATUS#' },
      expiresInS: 60,
      key: 'k1',
    })
    expect(status).toBe(201)
    expect(body).toEqual({
      id: expect.any(Number),
      deviceId: device,
      type: 'custom',
      attributes: { data: 'STATUS#' },
      state: 'queued',
      key: 'k1',
      createdBy: api.north.userIds.dispatcher,
      createdAt: expect.any(String),
      expiresAt: new Date(Date.parse(body.createdAt) + 60_000).toISOString(),
      sentAt: null,
      answeredAt: null,
      answer: null,
      failure: null,
    })
    expect((await dispatcher('GET', `${pathOf(device)}/${body.id}`)).body).toEqual(body)
    expect((await dispatcher('GET', pathOf(device))).body).toEqual({ items: [body], next: null })
    expect(await auditOf(device)).toEqual([
      {
        user_id: api.north.userIds.dispatcher,
        action: 'command-accepted',
        details: { command: body.id, type: 'custom' },
      },
    ])
  })

  it('waits a day unless asked otherwise, and needs no attributes where its type has none', async () => {
    const { status, body } = await dispatcher('POST', pathOf(await newDevice()), { type: 'rebootDevice' })
    expect([status, body.attributes]).toEqual([201, {}])
    expect(Date.parse(body.expiresAt) - Date.parse(body.createdAt)).toBe(24 * 3600 * 1000)
  })

  it('is told to ingest when it is committed', async () => {
    const device = await newDevice()
    const listener = await api.pool.connect()
    await listener.query('LISTEN commands')
    const told = new Promise((resolve) => listener.once('notification', ({ payload }) => resolve(payload)))
    await dispatcher('POST', pathOf(device), { type: 'rebootDevice' })
    expect(await told).toBe(String(device))
    await listener.query('UNLISTEN commands')
    listener.release()
  })

  it.each([
    [{}, 'type'],
    [{ type: 'constructor' }, 'type'],
    [{ type: 'custom' }, 'attributes'],
    [{ type: 'custom', attributes: { data: '' } }, 'attributes.data'],
    [{ type: 'custom', attributes: { data: 'x'.repeat(1025) } }, 'attributes.data'],
    [{ type: 'custom', attributes: { data: 'a\u0000b' } }, 'attributes'],
    [{ type: 'custom', attributes: { data: '\ud800' } }, 'attributes'],
    [{ type: 'custom', attributes: { data: 'x', more: 1 } }, 'attributes.more'],
    [{ type: 'positionPeriodic', attributes: { frequency: -1 } }, 'attributes.frequency'],
    [{ type: 'rebootDevice', attributes: [] }, 'attributes'],
    [{ type: 'rebootDevice', expiresInS: 0 }, 'expiresInS'],
    [{ type: 'rebootDevice', expiresInS: 30 * 86_400 + 1 }, 'expiresInS'],
    [{ type: 'rebootDevice', key: '' }, 'key'],
    [{ type: 'rebootDevice', key: 'a\nb' }, 'key'],
    [{ type: 'rebootDevice', state: 'sent' }, 'state'],
  ])('is refused as %j, naming the field', async (body, field) => {
    const device = await newDevice()
    const answer = await dispatcher('POST', pathOf(device), body)
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid-request'])
    expect(answer.body.errors[0]).toMatchObject({ in: 'body', field })
    expect((await dispatcher('GET', pathOf(device))).body.items).toEqual([])
  })

  it('is not taken for a device of another organisation, nor shown with it', async () => {
    const device = await newDevice()
    const { id } = (await dispatcher('POST', pathOf(device), { type: 'rebootDevice' })).body
    const stranger = api.south.as.admin
    for (const [method, path, body] of [
      ['POST', pathOf(device), { type: 'rebootDevice' }],
      ['GET', pathOf(device), undefined],
      ['GET', `${pathOf(device)}/types`, undefined],
      ['GET', `${pathOf(device)}/${id}`, undefined],
      ['DELETE', `${pathOf(device)}/${id}`, undefined],
    ] as const) {
      const answer = await stranger(method, path, body)
      expect([method, path, answer.status, answer.body.code]).toEqual([method, path, 404, 'not-found'])
    }
    const own = await api.addDevice(api.south.id, `south ${device}`)
    expect((await stranger('GET', `${pathOf(own)}/${id}`)).status).toBe(404)
    expect((await stranger('DELETE', `${pathOf(own)}/${id}`)).status).toBe(404)
    expect((await dispatcher('GET', `${pathOf(device)}/${id}`)).status).toBe(200)
    expect((await dispatcher('POST', pathOf(ID_MAX), { type: 'rebootDevice' })).status).toBe(404)
  })

  it('is one too many when the queue of its device is full', async () => {
    const device = await newDevice()
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => dispatcher('POST', pathOf(device), { type: 'rebootDevice' })),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, 429, 429, 429])
    expect(answers.find(({ status }) => status === 429)!.body).toMatchObject({ code: 'too-many-commands' })
    expect(queueFull).toBe(3)
    await api.pool.query('UPDATE commands SET expires_at = now() WHERE device_id = $1', [device])
    expect((await dispatcher('POST', pathOf(device), { type: 'rebootDevice' })).status).toBe(201)
  })
})

describe('a key', () => {
  const body = { type: 'custom', attributes: { data: 'STATUS#' } }

  it('makes a command one, however often and at once it is given', async () => {
    const device = await newDevice()
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        i % 2 === 0
          ? dispatcher('POST', pathOf(device), { ...body, key: 'same', expiresInS: 60 + i })
          : dispatcher('POST', pathOf(device), body, { 'Idempotency-Key': 'same' }),
      ),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(99).fill(200), 201])
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1)
    expect(await auditOf(device)).toHaveLength(1)
  })

  it('gives the same command also when it is done, and when it would be refused now', async () => {
    const device = await newDevice()
    const stop = { type: 'engineStop', key: 'stop' }
    const first = await dispatcher('POST', pathOf(device), stop)
    await api.pool.query("UPDATE commands SET state = 'acknowledged' WHERE id = $1", [first.body.id])
    await report(device, { speedKmh: 90 })
    const again = await dispatcher('POST', pathOf(device), stop)
    expect([again.status, again.body.id, again.body.state]).toEqual([200, first.body.id, 'acknowledged'])
  })

  it('is no key of another command', async () => {
    const device = await newDevice()
    await dispatcher('POST', pathOf(device), { ...body, key: 'taken' })
    for (const other of [{ type: 'rebootDevice' }, { type: 'custom', attributes: { data: 'PARAM#' } }]) {
      const answer = await dispatcher('POST', pathOf(device), { ...other, key: 'taken' })
      expect([answer.status, answer.body.code]).toEqual([409, 'key-taken'])
    }
    expect((await dispatcher('POST', pathOf(await newDevice()), { ...body, key: 'taken' })).status).toBe(201)
  })

  it.each([
    ['', 'header'],
    ['x'.repeat(129), 'header'],
    ['other', 'body'],
  ])('is refused as header "%s" beside that of the body', async (header, part) => {
    const answer = await dispatcher(
      'POST',
      pathOf(await newDevice()),
      { ...body, key: 'mine' },
      { 'Idempotency-Key': header },
    )
    expect([answer.status, answer.body.errors[0].in]).toEqual([400, part])
  })
})

describe('engineStop', () => {
  it('is refused while the vehicle moves, with the speed and the limit, and that is recorded', async () => {
    const device = await newDevice()
    await report(device, { speedKmh: 54.3 })
    const { status, body } = await dispatcher('POST', pathOf(device), { type: 'engineStop' })
    expect(status).toBe(409)
    expect(body).toMatchObject({ code: 'vehicle-moving', speedKmhMax: 5 })
    expect(body.speedKmh).toBeCloseTo(54.3, 1)
    expect(body.detail).toContain('54.3 km/h')
    expect((await dispatcher('GET', pathOf(device))).body.items).toEqual([])
    expect(await auditOf(device)).toEqual([
      {
        user_id: api.north.userIds.dispatcher,
        action: 'command-refused',
        details: { type: 'engineStop', code: 'vehicle-moving', speedKmh: body.speedKmh, speedKmhMax: 5 },
      },
    ])
    expect((await dispatcher('POST', pathOf(device), { type: 'engineResume' })).status).toBe(201)
  })

  it.each<[string, readonly Report[], number]>([
    ['nothing is known', [], 201],
    ['it stands', [{ speedKmh: 5 }], 201],
    ['it stood later', [{ speedKmh: 90, agoS: 60 }, { speedKmh: 0 }], 201],
    ['it moved later', [{ speedKmh: 0, agoS: 60 }, { speedKmh: 5.1 }], 409],
    [
      'a doubted position says that it stands',
      [
        { speedKmh: 90, agoS: 60 },
        { speedKmh: 0, quality: 2 },
      ],
      409,
    ],
    [
      'a doubted position says that it moves',
      [
        { speedKmh: 0, agoS: 60 },
        { speedKmh: 90, quality: 2 },
      ],
      201,
    ],
    ['it moved at its last position, long ago', [{ speedKmh: 90, agoS: 100 * 86_400 }], 409],
    ['its last position has no speed', [{ speedKmh: 90, agoS: 60 }, { speedKmh: null }], 201],
  ])('goes by the last position that is not doubted: %s', async (_, reports, status) => {
    const device = await newDevice()
    for (const each of reports) await report(device, each)
    expect((await dispatcher('POST', pathOf(device), { type: 'engineStop' })).status).toBe(status)
    // What ingest asks in the claim is the same.
    const { rows } = await api.pool.query('SELECT speed_kmh > 5 AS moving FROM last_position($1)', [device])
    expect(rows[0]?.moving ?? false).toBe(status === 409)
  })
})

describe('types of command', () => {
  it('are those of the protocol that the device spoke last', async () => {
    const device = await newDevice()
    const types = async () => (await dispatcher('GET', `${pathOf(device)}/types`)).body
    expect(await types()).toEqual({
      protocol: null,
      types: expect.arrayContaining(['engineStop', 'sendUssd']),
    })
    await report(device, { adapter: 'gt06' })
    expect(await types()).toEqual({ protocol: 'gt06', types: ['custom', 'engineStop', 'engineResume'] })
    await report(device, { adapter: 'osmand', agoS: 5 })
    expect(await types()).toEqual({ protocol: 'osmand', types: [] })
    await report(device, { adapter: 'gone', agoS: 1 })
    expect(await types()).toEqual({ protocol: 'gone', types: expect.arrayContaining(['sendUssd']) })
  })

  it('that the protocol lacks are refused, with those that it has', async () => {
    const device = await newDevice()
    await report(device, { adapter: 'gt06' })
    const photo = await dispatcher('POST', pathOf(device), { type: 'requestPhoto' })
    expect([photo.status, photo.body.code]).toEqual([422, 'command-unsupported'])
    expect(photo.body.detail).toContain('it can say custom, engineStop, engineResume')
    await report(device, { adapter: 'osmand', agoS: 5 })
    const none = await dispatcher('POST', pathOf(device), { type: 'custom', attributes: { data: 'x' } })
    expect([none.status, none.body.code]).toEqual([422, 'command-unsupported'])
  })
})

describe('the documentation', () => {
  it('has each type of command with its attributes', async () => {
    const page = String((await api.nobody('GET', '/docs')).body)
    for (const type of ['CommandEngineStop', 'CommandPositionPeriodic']) {
      expect(page).toContain(`<a href="#${type}">${type}</a>`)
      expect(page).toContain(`id="${type}"`)
    }
    expect(page).toContain('frequency')
  })
})

describe('the list of commands', () => {
  it('comes in pages, the newest first, and by state', async () => {
    const device = await newDevice()
    await api.pool.query(
      `INSERT INTO commands (organization_id, device_id, type, attributes, created_by, expires_at, state)
       SELECT $1, $2, 'rebootDevice', '{}', 1, now(), CASE WHEN i % 5 = 0 THEN 'failed' ELSE 'sent' END
       FROM generate_series(1, 45) i`,
      [api.north.id, device],
    )
    const seen: number[] = []
    let cursor = ''
    do {
      const { body } = await dispatcher('GET', `${pathOf(device)}?limit=20${cursor}`)
      seen.push(...body.items.map(({ id }: { id: number }) => id))
      cursor = body.next === null ? '' : `&cursor=${body.next}`
    } while (cursor !== '')
    expect(seen).toHaveLength(45)
    expect(seen).toEqual([...seen].sort((a, b) => b - a))
    expect((await dispatcher('GET', `${pathOf(device)}?state=failed`)).body.items).toHaveLength(9)
    for (const query of ['state=gone', 'cursor=x', 'limit=0'])
      expect((await dispatcher('GET', `${pathOf(device)}?${query}`)).status).toBe(400)
  })
})

describe('cancelling', () => {
  it('takes a queued command out, and is recorded', async () => {
    const device = await newDevice()
    const { id } = (await dispatcher('POST', pathOf(device), { type: 'engineStop' })).body
    expect((await dispatcher('DELETE', `${pathOf(device)}/${id}`)).status).toBe(204)
    expect((await dispatcher('GET', `${pathOf(device)}/${id}`)).status).toBe(404)
    expect((await auditOf(device)).map(({ action }) => action)).toEqual([
      'command-accepted',
      'command-cancelled',
    ])
  })

  it('leaves one that is sent', async () => {
    const device = await newDevice()
    const { id } = (await dispatcher('POST', pathOf(device), { type: 'engineStop' })).body
    await api.pool.query("UPDATE commands SET state = 'sent' WHERE id = $1", [id])
    const answer = await dispatcher('DELETE', `${pathOf(device)}/${id}`)
    expect([answer.status, answer.body.code]).toEqual([409, 'command-not-queued'])
  })
})

describe('the record', () => {
  it('is shown to administrators, each the own one, in pages', async () => {
    const device = await newDevice()
    for (let i = 0; i < 3; i++) await dispatcher('POST', pathOf(device), { type: 'rebootDevice' })
    const { status, body } = await api.north.as.admin('GET', '/api/v1/audit-events?limit=2')
    expect(status).toBe(200)
    expect(body.items[0]).toEqual({
      id: expect.any(Number),
      organizationId: api.north.id,
      userId: api.north.userIds.dispatcher,
      action: 'command-accepted',
      subject: `device ${device}`,
      details: { command: expect.any(Number), type: 'rebootDevice' },
      createdAt: expect.any(String),
    })
    const next = await api.north.as.admin('GET', `/api/v1/audit-events?limit=2&cursor=${body.next}`)
    expect(next.body.items[0].id).toBeLessThan(body.items[1].id)
    expect((await api.south.as.admin('GET', '/api/v1/audit-events')).body.items).toEqual([])
  })
})
