import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LiveEvent } from '../../schemas/live-port.ts'
import type { ClientMessage, ServerMessage } from '../../schemas/stream.ts'
import { type StreamClient, StreamFixture, type TestRow, testEvent } from '../../test/stream-fixture.ts'

/** A test asks more often than a person does. */
const LIMITS = { messagesPerSecondMax: 1e9 }
const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

/** What messages bring, in their order; each row and event has a name of its own. */
function brought(messages: readonly ServerMessage[]): string[] {
  return messages.flatMap((message) => {
    if (message.type === 'positions') return message.rows.map(({ device, fixTime }) => `${device} ${fixTime}`)
    return message.type === 'events' ? message.rows.map(({ id }) => `event ${id}`) : []
  })
}

const isLive = ({ type }: ServerMessage) => type === 'live' || type === 'error'

describe('a cursor', () => {
  let stream: StreamFixture
  let organizationId: number
  let devices: number[]
  let foreign: number
  let lastId = 0
  let timeMs = START_MS
  let nextId = 1

  beforeAll(async () => {
    stream = await StreamFixture.create()
    organizationId = await stream.organization()
    devices = await stream.devices(organizationId, 20)
    foreign = (await stream.devices(await stream.organization(), 1))[0]!
    await stream.start({ limits: LIMITS })
  })
  afterAll(() => stream.stop())

  const connect = () => stream.connect({ organizationId, role: 'viewer' })

  /** Everything behind a cursor, up to `live`. */
  async function resume(
    client: StreamClient,
    from: string,
    more: Partial<Extract<ClientMessage, { type: 'subscribe' }>> = {},
  ): Promise<ServerMessage[]> {
    const id = nextId++
    client.send({ type: 'subscribe', id, scope: { all: true }, from, ...more })
    const messages = await client.until(isLive)
    expect(messages.at(-1)).toMatchObject({ type: 'live' })
    client.send({ type: 'unsubscribe', id })
    return messages
  }

  interface Step {
    readonly rows: number
    readonly events: number
    readonly late: boolean
  }
  /** Sends some commits, and gives what came of them live. */
  async function publish(steps: readonly Step[], client: StreamClient): Promise<ServerMessage[]> {
    const commits = steps.map(({ rows, events, late }): [TestRow[], LiveEvent[]] => {
      timeMs += 1_000
      const fixTimeMs = (row: number) => timeMs - (late ? 3_600_000 : 0) + row
      return [
        Array.from({ length: rows }, (_, row) => ({
          device: row % 11 === 10 ? foreign : devices[row % 20]!,
          fixTimeMs: fixTimeMs(row),
          quality: row % 7 === 6 ? 1 : 0,
        })),
        Array.from({ length: events }, (_, event) =>
          testEvent({ id: ++lastId, device: devices[event % 20]!, organizationId }),
        ),
      ]
    })
    for (const [rows, events] of commits) await stream.commit(rows, events)
    const mark = ++lastId
    await stream.commit([], [testEvent({ id: mark, device: devices[0]!, organizationId })])
    return client.until((message) => message.type === 'events' && message.rows.at(-1)!.id === mark)
  }

  const steps = fc.array(
    fc.record({
      rows: fc.oneof(fc.nat({ max: 5 }), fc.integer({ min: 300, max: 600 })),
      events: fc.nat({ max: 3 }),
      late: fc.boolean(),
    }),
    { minLength: 1, maxLength: 6 },
  )

  test('of any message leads to exactly what followed it, from memory and from storage', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.boolean(), async (some, fromStorage) => {
        const client = await connect()
        const begin = (await client.subscribe(nextId++)).at(-1) as Extract<ServerMessage, { type: 'live' }>
        const messages = [begin, ...(await publish(some, client))]
        client.socket.terminate()
        if (fromStorage)
          await stream.restart({ limits: { ...LIMITS, resumePageRows: 200, resumePagesMax: 4 } })
        const again = await connect()
        for (const [place, message] of messages.entries()) {
          const rest = brought(messages.slice(place + 1))
          const { cursor } = message as { readonly cursor: string }
          expect(brought(await resume(again, cursor))).toEqual(rest)
        }
        again.socket.terminate()
      }),
      { numRuns: 8 },
    )
  }, 120_000)

  test('leads on without a gap or a row twice while more is stored, in memory, in storage and where they meet', async () => {
    await stream.restart({ limits: { ...LIMITS, rowsKept: 256, resumePageRows: 64, resumePagesMax: 4 } })
    const client = await connect()
    const begin = (await client.subscribe(nextId++)).at(-1) as Extract<ServerMessage, { type: 'live' }>
    const sockets: StreamClient[] = []
    for (let i = 0; i < 12; i++) sockets.push(await connect())
    const some: Step[] = Array.from({ length: 120 }, (_, i) => ({
      rows: 1 + (i % 13),
      events: i % 5 === 0 ? 2 : 0,
      late: i % 9 === 0,
    }))
    let publishing = true
    const published = publish(some, client).finally(() => {
      publishing = false
    })
    const others: { socket: StreamClient; from: string }[] = []
    let from = begin.cursor
    for (const socket of sockets) {
      if (!publishing) break
      socket.send({ type: 'subscribe', id: 1, scope: { all: true }, from })
      others.push({ socket, from })
      // Each goes on from where the one before had come to.
      const messages = await socket.until((message) => brought([message]).length > 0)
      from = (messages.at(-1) as { cursor: string }).cursor
    }
    const messages = [begin, ...(await published)]
    const all = brought(messages)
    const mark = all.at(-1)!
    expect(others.length).toBeGreaterThan(3)
    for (const { socket, from: began } of others) {
      const rest: string[] = []
      // The first message was taken above.
      const again = await resume(client, began)
      while (!rest.includes(mark)) rest.push(...brought([await socket.next()]))
      const expected = brought(again)
      expect(rest).toEqual(expected.slice(expected.length - rest.length))
      expect(new Set(rest).size).toBe(rest.length)
      expect(all.slice(all.length - rest.length)).toEqual(rest)
    }
    for (const { socket } of [client, ...sockets]) socket.terminate()
  }, 60_000)

  test('leads one who names devices, or wants no events, to these alone, in either format and shape', async () => {
    const client = await connect()
    const begin = (await client.subscribe(nextId++)).at(-1) as Extract<ServerMessage, { type: 'live' }>
    const all = await publish([{ rows: 500, events: 3, late: false }], client)
    const mine = (message: ServerMessage) =>
      message.type === 'positions'
        ? message.rows.filter(({ device }) => device === devices[3]).map(({ fixTime }) => Date.parse(fixTime))
        : []
    const expected = all.flatMap(mine)
    expect(expected.length).toBeGreaterThan(10)
    for (const resumePageRows of [200, 4_096]) {
      for (const format of ['json', 'msgpack'] as const) {
        const other = await stream.connect({ organizationId, role: 'viewer' }, format)
        const narrow = { scope: { devices: [devices[3]!] }, events: false }
        const objects = await resume(other, begin.cursor, narrow)
        expect(objects.flatMap(mine)).toEqual(expected)
        expect(objects.map(({ type }) => type)).not.toContain('events')
        const [header, ...arrays] = await resume(other, begin.cursor, { ...narrow, rows: 'arrays' })
        const fields = header!.type === 'header' ? header!.positions : []
        const times = arrays.flatMap((message) =>
          message.type === 'positions'
            ? (message.rows as unknown as number[][]).map((row) => row[fields.indexOf('fixTimeMs')])
            : [],
        )
        expect(times).toEqual(expected)
        other.socket.terminate()
      }
      await stream.restart({ limits: { ...LIMITS, resumePageRows } })
    }
    client.socket.terminate()
  })

  test('shows a device to whom it belongs to now', async () => {
    const otherOrganizationId = await stream.organization()
    const [moved] = await stream.devices(organizationId, 1)
    const mine = await connect()
    const [begin] = (await mine.subscribe(nextId++)).slice(-1) as { cursor: string }[]
    await stream.commit([{ device: moved!, fixTimeMs: timeMs }])
    await mine.until((message) => brought([message]).some((name) => name.startsWith(`${moved} `)))
    await stream.owner.query('UPDATE devices SET organization_id = $2 WHERE id = $1', [
      moved,
      otherOrganizationId,
    ])
    await mine.until(({ type }) => type === 'left')
    const other = await stream.connect({ organizationId: otherOrganizationId, role: 'viewer' })
    const names = async (client: StreamClient) => brought(await resume(client, begin!.cursor))
    expect((await names(mine)).filter((name) => name.startsWith(`${moved} `))).toEqual([])
    expect(new Set(await names(other))).toEqual(new Set([`${moved} ${new Date(timeMs).toISOString()}`]))
    for (const client of [mine, other]) client.socket.terminate()
  })

  test('that is none, is ahead of all that was stored, or leads to what is no longer kept is refused', async () => {
    const client = await connect()
    const refused = async (from: string) => {
      client.send({ type: 'subscribe', id: nextId++, scope: { all: true }, from })
      return client.next()
    }
    const cursor = (text: string) => Buffer.from(text).toString('base64url')
    expect(await refused('abc')).toMatchObject({ type: 'error', code: 'cursor-invalid' })
    expect(await refused(cursor('l99999999'))).toMatchObject({ code: 'cursor-invalid' })
    expect(await refused(cursor('l99999999999999999'))).toMatchObject({ code: 'cursor-invalid' })
    const { rows } = await stream.owner.query(
      `DELETE FROM batches WHERE sequence < (SELECT max(sequence) FROM batches) RETURNING sequence`,
    )
    expect(rows.length).toBeGreaterThan(3)
    await stream.restart()
    const again = await connect()
    again.send({ type: 'subscribe', id: 1, scope: { all: true }, from: cursor('l1') })
    expect(await again.next()).toMatchObject({ type: 'error', id: 1, code: 'cursor-expired' })
    // The subscription has ended: its id is free.
    expect((await again.subscribe(1)).at(-1)).toMatchObject({ type: 'live' })
    for (const socket of [client, again]) socket.socket.terminate()
  })

  test('in the middle of a commit that is no longer kept is refused, since the rest of it is gone', async () => {
    await stream.restart({ limits: LIMITS })
    const client = await connect()
    await client.subscribe(nextId++)
    const messages = await publish([{ rows: 600, events: 0, late: false }], client)
    const first = messages.find(({ type }) => type === 'positions') as { cursor: string }
    const sequences = async () => {
      const { rows } = await stream.owner.query('SELECT sequence FROM batches ORDER BY sequence DESC LIMIT 2')
      return rows.map(({ sequence }) => Number(sequence))
    }
    const [mark, ofRows] = await sequences()
    // The commit of the rows is forgotten, that of the mark behind it is not.
    await stream.owner.query('DELETE FROM batches WHERE sequence < $1', [mark])
    await stream.restart({ limits: LIMITS })
    const again = await connect()
    const ask = async (from: string) => {
      again.send({ type: 'subscribe', id: nextId++, scope: { all: true }, from })
      return (await again.until(isLive)).at(-1)
    }
    expect(await ask(first.cursor)).toMatchObject({ type: 'error', code: 'cursor-expired' })
    // All of it, and nothing behind it, was sent: nothing is missing.
    expect(await ask(Buffer.from(`l${ofRows}`).toString('base64url'))).toMatchObject({ type: 'live' })
    for (const { socket } of [client, again]) socket.terminate()
  })

  test('goes with no times', async () => {
    const client = await connect()
    const { cursor } = (await client.subscribe(nextId++)).at(-1) as { cursor: string }
    client.send({ type: 'subscribe', id: nextId++, scope: { all: true }, from: cursor, speed: 2 })
    expect(await client.next()).toMatchObject({ type: 'error', code: 'invalid-times' })
    client.socket.terminate()
  })
})
