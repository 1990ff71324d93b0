import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ID_MAX } from '../schemas/text.ts'
import { type ApiFixture, apiFixture, type Call } from './api-fixture.ts'

let api: ApiFixture
let root: Call

beforeAll(async () => {
  api = await apiFixture()
  root = api.north.as['super-admin']
})
afterAll(() => api.close())
beforeEach(() => api.pool.query('DELETE FROM quarantine'))

const path = '/api/v1/quarantine'

async function add(protocol: string, uniqueId: string, reason = 'unknown-device', seen = 'now()', bytes = 4) {
  await api.pool.query(
    `INSERT INTO quarantine VALUES ($1, $2, $3, ${seen} - interval '1 h', ${seen}, 7, $4, '192.0.2.1:5023', $5)`,
    [protocol, uniqueId, reason, Buffer.alloc(bytes, 0xab), `why it is ${reason}`],
  )
}
const held = async () => (await root('GET', path)).body.items

describe('quarantine', () => {
  it('shows what was sent, the last seen first, and no more of a frame than it must', async () => {
    await add('gt06', '356307042441013', 'unknown-device', "timestamptz '2026-01-02T03:04:05.678Z'")
    await add('h02', '', 'malformed', "timestamptz '2026-01-03T00:00:00Z'", 3000)
    const { status, body } = await root('GET', path)
    expect(status).toBe(200)
    expect(body.items[1]).toEqual({
      protocol: 'gt06',
      uniqueId: '356307042441013',
      reason: 'unknown-device',
      detail: 'why it is unknown-device',
      firstSeen: '2026-01-02T02:04:05.678Z',
      lastSeen: '2026-01-02T03:04:05.678Z',
      frameCount: 7,
      lastAddress: '192.0.2.1:5023',
      lastFrame: 'abababab',
      lastFrameBytes: 4,
    })
    expect(body.items[0]).toMatchObject({ protocol: 'h02', uniqueId: '', lastFrameBytes: 3000 })
    expect(body.items[0].lastFrame).toHaveLength(2048)
  })

  it('comes in pages without gaps or doubles, also within a microsecond', async () => {
    const expected: string[] = []
    for (let i = 0; i < 12; i++) {
      await add(
        'gt06',
        `u${i}`,
        'unknown-device',
        `timestamptz '2026-01-02T00:00:00.${100_000 + Math.floor(i / 3)}Z'`,
      )
      expected.push(`u${i}`)
    }
    const seen: string[] = []
    let cursor = ''
    do {
      const { body } = await root('GET', `${path}?limit=5${cursor}`)
      seen.push(...body.items.map(({ uniqueId }: { uniqueId: string }) => uniqueId))
      cursor = body.next === null ? '' : `&cursor=${body.next}`
    } while (cursor !== '')
    expect(seen).toHaveLength(12)
    expect([...seen].sort()).toEqual(expected.sort())
  })

  it.each([
    ['not JSON', 'x'],
    ['another shape', '[1]'],
    ['a text that PostgreSQL does not take', '[1,"\\u0000","",""]'],
  ])('refuses a cursor that is %s', async (_what, text) => {
    const { status, body } = await root('GET', `${path}?cursor=${Buffer.from(text).toString('base64url')}`)
    expect([status, body.errors?.[0].field]).toEqual([400, 'cursor'])
  })

  it('gives a device to an organisation and forgets all it sent', async () => {
    await add('gt06', 'mine')
    await add('gt06', 'mine', 'checksum')
    await add('h02', 'mine')
    await add('gt06', 'other')
    const claim = { protocol: 'gt06', uniqueId: 'mine', organizationId: api.south.id, name: 'Van' }
    const { status, body } = await root('POST', `${path}/claim`, claim)
    expect(status).toBe(201)
    expect(body).toMatchObject({ uniqueId: 'mine', organizationId: api.south.id, name: 'Van' })
    expect((await api.south.as.viewer('GET', `/api/v1/devices/${body.id}`)).status).toBe(200)
    expect((await held()).map(({ uniqueId }: { uniqueId: string }) => uniqueId)).toEqual(['other'])
    expect((await root('POST', `${path}/claim`, claim)).status).toBe(404)
  })

  it('keeps what it holds when a claim fails', async () => {
    await add('gt06', 'kept')
    await api.addDevice(api.south.id, 'kept')
    const claim = { protocol: 'gt06', uniqueId: 'kept', organizationId: api.north.id, name: 'Van' }
    expect((await root('POST', `${path}/claim`, claim)).body.code).toBe('unique-id-taken')
    const nowhere = { ...claim, uniqueId: 'kept', organizationId: ID_MAX }
    await api.pool.query("DELETE FROM devices WHERE unique_id = 'kept'")
    expect((await root('POST', `${path}/claim`, nowhere)).body.code).toBe('organization-unknown')
    expect(await held()).toHaveLength(1)
  })

  it('forgets by protocol and uniqueId, or by reason also', async () => {
    await add('gt06', 'a')
    await add('gt06', 'a', 'checksum')
    await add('gt06', '', 'checksum')
    expect((await root('DELETE', `${path}?protocol=gt06&uniqueId=a&reason=checksum`)).status).toBe(204)
    expect(await held()).toHaveLength(2)
    expect((await root('DELETE', `${path}?protocol=gt06&uniqueId=`)).status).toBe(204)
    expect((await root('DELETE', `${path}?protocol=gt06&uniqueId=a`)).status).toBe(204)
    expect((await root('DELETE', `${path}?protocol=gt06&uniqueId=a`)).status).toBe(404)
    expect((await root('DELETE', path)).status).toBe(400)
    expect(await held()).toEqual([])
  })
})
