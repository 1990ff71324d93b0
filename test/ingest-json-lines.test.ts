/** Batches of positions over HTTP: taken as a whole or not at all, and never twice, whatever the client does. */
import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Device, IngestHarness } from './ingest-harness.ts'

const BODY_BYTES_MAX = 1024 * 1024
const TIME_MS = Date.UTC(2026, 10, 21, 8)

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start()
}, 30_000)
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

const port = () => harness.portOf('json-lines', 'http')

/** So many positions of a device, a second apart. */
function batch(id: string, count: number): string {
  return Array.from(
    { length: count },
    (_, i) =>
      `${JSON.stringify({ id, fixTime: TIME_MS + i * 1000, latitude: 30.27, longitude: -97.74, speed: i })}\n`,
  ).join('')
}

/** The same positions in other bytes. */
function rewritten(lines: string): string {
  return lines
    .trim()
    .split('\n')
    .map((line) => JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(line)).reverse()), null, 1))
    .map((line) => line.replaceAll('\n', ' '))
    .join('\r\n')
}

function post(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`http://127.0.0.1:${port()}/v1/positions`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', ...headers },
    body,
  })
}

/** A request as bytes. */
function request(body: string, headers: readonly string[] = [`content-length: ${Buffer.byteLength(body)}`]) {
  const head = ['POST /v1/positions HTTP/1.1', 'host: x', 'content-type: application/x-ndjson', ...headers]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}

function chunked(bytes: string, size: number): string {
  const chunks: string[] = []
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.slice(at, at + size)
    chunks.push(`${chunk.length.toString(16)}\r\n${chunk}\r\n`)
  }
  return chunks.join('')
}

/** Collects what the server says on a connection. */
class Answers {
  private text = ''
  readonly device: Device

  constructor(device: Device) {
    this.device = device
    device.socket.on('data', (bytes) => {
      this.text += bytes.toString('latin1')
    })
  }

  get statuses(): number[] {
    return Array.from(this.text.matchAll(/HTTP\/1\.1 (\d+)/g), ([, status]) => Number(status))
  }

  /** All that was said, when so many answers have begun. */
  async first(count: number): Promise<string> {
    while (this.statuses.length < count) await once(this.device.socket, 'data')
    return this.text
  }
}

const connect = () => new Answers(harness.device(port()))

describe('a batch', () => {
  test('of a gateway is answered with its number of positions, after the store', async () => {
    const [first, second] = [await harness.register('van-1'), await harness.register('van-2')]
    const answer = await post(`${batch('van-1', 2)}${batch('van-2', 3)}`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/json')
    expect(await answer.json()).toEqual({ stored: 5 })
    await expect.poll(() => harness.storedOf(first)).toBe(2)
    await expect.poll(() => harness.storedOf(second)).toBe(3)
  })

  test('with one wrong line stores nothing, and the answer names the line', async () => {
    const id = await harness.register('van-3')
    const answer = await post(`${batch('van-3', 2)}{"id":"van-3","fixTime":"yesterday"}\n`)
    expect(answer.status).toBe(400)
    expect(await answer.text()).toBe(
      'malformed: line 3: fixTime: must be ISO 8601 with a zone, or ms since 1970\n',
    )
    expect((await post(batch('van-3', 1))).status).toBe(200)
    await expect.poll(() => harness.storedOf(id)).toBe(1)
  })

  test('with one unknown device stores nothing, and the answer names the device', async () => {
    const id = await harness.register('van-4')
    for (const lines of [`${batch('van-4', 2)}${batch('stranger', 1)}`, batch('stranger', 1)]) {
      const answer = await post(lines)
      expect(answer.status).toBe(403)
      expect(await answer.text()).toBe('unknown-device: stranger is not registered\n')
    }
    expect((await post(batch('van-4', 1))).status).toBe(200)
    await expect.poll(() => harness.storedOf(id)).toBe(1)
    await expect.poll(() => harness.quarantined('stranger')).toMatchObject([{ reason: 'unknown-device' }])
  })
})

test('the unknown devices of a gateway register themselves, all of a batch together', async () => {
  await harness.register('truck-1')
  const open = await harness.startRegistering()
  try {
    const url = `http://127.0.0.1:${harness.portOf('json-lines', 'http', open)}/`
    const send = (body: string) =>
      fetch(url, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body })
    // One whose session is of a known device, and one whose is not.
    for (const ids of [
      ['truck-1', 'truck-2', 'truck-3'],
      ['truck-4', 'truck-2', 'truck-5'],
    ]) {
      const answer = await send(ids.map((id) => batch(id, 2)).join(''))
      expect(await answer.json()).toEqual({ stored: 6 })
    }
    const stored = `SELECT count(*) FROM positions JOIN devices ON devices.id = device_id
                    WHERE unique_id LIKE 'truck-%'`
    await expect.poll(() => harness.count(stored)).toBe(10)
  } finally {
    await open.close()
  }
})

test('where replies wait for the database, a client that hung up meanwhile finds its batch stored', async () => {
  const committing = await IngestHarness.start({ ackAfter: 'database' })
  try {
    const id = await committing.register('phone-0')
    const lines = batch('phone-0', 3)
    const received = () => committing.metric('fleetflow_positions_received_total')
    const lock = await committing.pool.connect()
    await lock.query('BEGIN; LOCK positions')
    const device = committing.device(committing.portOf('json-lines', 'http'))
    device.send(request(lines))
    await expect.poll(received).toBe(3)
    expect(device.silent).toBe(true)
    device.socket.destroy()
    await lock.query('COMMIT')
    lock.release()
    await expect.poll(() => committing.storedOf(id)).toBe(3)
    const again = new Answers(committing.device(committing.portOf('json-lines', 'http')))
    again.device.send(request(lines))
    expect(await again.first(1)).toContain('{"stored":3}')
    expect(await committing.storedOf(id)).toBe(3)
  } finally {
    await committing.stop()
  }
}, 60_000)

describe('a batch that is sent again', () => {
  test('in the same bytes is the same, with a key or without', async () => {
    const id = await harness.register('phone-1')
    for (let i = 0; i < 3; i++) expect((await post(batch('phone-1', 4))).status).toBe(200)
    for (let i = 0; i < 3; i++) {
      const lines = batch('phone-1', 8).split('\n').slice(4).join('\n')
      expect((await post(lines, { 'idempotency-key': 'a' })).status).toBe(200)
    }
    await expect.poll(() => harness.storedOf(id)).toBe(8)
  })

  test('in other bytes under the same key is the same', async () => {
    const id = await harness.register('phone-2')
    const lines = batch('phone-2', 4)
    expect(rewritten(lines)).not.toContain(lines.split('\n')[0])
    for (const body of [lines, rewritten(lines), lines]) {
      const answer = await post(body, { 'idempotency-key': '8e03978e-40d5-43dd-bc93-6894a57f9324' })
      expect(await answer.json()).toEqual({ stored: 4 })
    }
    // Stored last, so that all before is stored, too.
    expect((await post(batch('phone-2', 5).split('\n')[4]!)).status).toBe(200)
    await expect.poll(() => harness.storedOf(id)).toBe(5)
  })

  test('by a client that hung up before its answer is the same', async () => {
    const id = await harness.register('phone-3')
    const lines = batch('phone-3', 3)
    const key = 'idempotency-key: 3'
    const length = (body: string) => `content-length: ${Buffer.byteLength(body)}`
    const received = () => harness.metric('fleetflow_positions_received_total', { protocol: 'json-lines' })
    for (const body of [lines, rewritten(lines)]) {
      const before = await received()
      const { socket } = harness.device(port())
      socket.write(request(body, [key, length(body)]), () => socket.destroy())
      await once(socket, 'close')
      await expect.poll(received).toBe(before + 3)
    }
    // Half a batch is none.
    const half = harness.device(port()).socket
    const longer = batch('phone-3', 6)
    half.write(request(longer, [key, length(longer)]).slice(0, -40), () => half.destroy())
    await once(half, 'close')
    await expect
      .poll(() => harness.metric('fleetflow_frame_faults_total', { protocol: 'json-lines', code: 'cut' }))
      .toBe(1)
    expect(await (await post(lines, { 'idempotency-key': '3' })).json()).toEqual({ stored: 3 })
    expect((await post(batch('phone-3', 7).split('\n')[6]!)).status).toBe(200)
    await expect.poll(() => harness.storedOf(id)).toBe(4)
  })
})

test('a device that sends more than it may is told when to send again, and its batch is not taken', async () => {
  const strict = await IngestHarness.start({ limits: { bytesPerSecondPerDeviceMax: 1_000 } })
  try {
    const id = await strict.register('phone-10')
    const answers = new Answers(strict.device(strict.portOf('json-lines', 'http')))
    answers.device.send(request(batch('phone-10', 80)) + request(batch('phone-10', 80)))
    expect(await answers.first(2)).toContain('retry-after: 1')
    expect(answers.statuses).toEqual([200, 429])
    await expect.poll(() => strict.storedOf(id)).toBe(80)
  } finally {
    await strict.stop()
  }
}, 60_000)

describe('an HTTP connection', () => {
  test('answers requests that come at once in their order', async () => {
    const id = await harness.register('phone-4')
    const answers = connect()
    answers.device.send(
      [request(batch('phone-4', 2)), request('{'), request(''), request(batch('phone-4', 3))].join(''),
    )
    const text = await answers.first(4)
    expect(answers.statuses).toEqual([200, 400, 200, 200])
    expect(text.match(/\{"stored":\d\}/g)).toEqual(['{"stored":2}', '{"stored":0}', '{"stored":3}'])
    await expect.poll(() => harness.storedOf(id)).toBe(3)
  })

  test('takes a body in chunks, however small', async () => {
    const id = await harness.register('phone-5')
    const answers = connect()
    answers.device.send(
      request(`${chunked(batch('phone-5', 9), 1)}0\r\n\r\n`, ['transfer-encoding: chunked']),
    )
    expect(await answers.first(1)).toContain('{"stored":9}')
    await expect.poll(() => harness.storedOf(id)).toBe(9)
  })

  test('invites a body that it would take, and refuses one that it would not before it comes', async () => {
    await harness.register('phone-6')
    const lines = batch('phone-6', 1)
    const answers = connect()
    const expecting = (length: number, ...more: string[]) =>
      request('', [`content-length: ${length}`, 'expect: 100-continue', ...more])
    answers.device.send(expecting(lines.length))
    await answers.first(1)
    answers.device.send(lines)
    expect(await answers.first(2)).toContain('{"stored":1}')
    expect(answers.statuses).toEqual([100, 200])
    for (const [status, head] of [
      [413, expecting(BODY_BYTES_MAX + 1)],
      [415, expecting(10, 'content-encoding: gzip')],
    ] as const) {
      const refused = connect()
      refused.device.send(head)
      await refused.device.closed()
      expect(refused.statuses).toEqual([status])
    }
  })

  test('goes on after a body that is too long', async () => {
    await harness.register('phone-7')
    const answers = connect()
    const long = 'x'.repeat(3 * BODY_BYTES_MAX)
    answers.device.send(request(long))
    answers.device.send(
      request(`${chunked(long, 100_000)}0\r\n\r\n`, ['transfer-encoding: chunked']) +
        request(batch('phone-7', 1)),
    )
    expect(await answers.first(3)).toContain('too-large: a body has 1048576 bytes at most')
    expect(answers.statuses).toEqual([413, 413, 200])
  })

  test('ends without a second answer when a body that was refused does not end', async () => {
    const answers = connect()
    answers.device.send(
      request(chunked('x'.repeat(2 * BODY_BYTES_MAX), 100_000), ['transfer-encoding: chunked']),
    )
    await answers.first(1)
    const drip = setInterval(() => answers.device.send('1\r\nx\r\n'), 200)
    await answers.device.closed()
    clearInterval(drip)
    expect(answers.statuses).toEqual([413])
  })

  test('tells a body that is not complete in time from one that is', async () => {
    const answers = connect()
    answers.device.send(request('{"id"', ['content-length: 90']))
    await answers.device.closed()
    expect(answers.statuses).toEqual([408])
  })

  test('refuses what it can not read, and says what to do', async () => {
    const lines = batch('phone-8', 1)
    const gzip = await post(Uint8Array.from(gzipSync(lines)), { 'content-encoding': 'gzip' })
    expect(gzip.status).toBe(415)
    expect(gzip.headers.get('accept-encoding')).toBe('identity')
    expect(await gzip.text()).toContain('not compressed')
    expect((await post(lines, { 'content-type': 'text/plain' })).status).toBe(400)
    expect((await post(lines, { 'idempotency-key': '' })).status).toBe(400)
    expect((await post(lines, { 'idempotency-key': 'two words' })).status).toBe(400)
    const answers = connect()
    const length = `content-length: ${lines.length}`
    answers.device.send(request(lines, [length, 'idempotency-key: a', 'idempotency-key: b']))
    expect(await answers.first(1)).toContain('malformed: Idempotency-Key must be')
  })
})

test('bodies that are on their way take no more memory than they may', async () => {
  const small = await IngestHarness.start({ limits: { heldBytesMax: 100_000 } })
  try {
    await small.register('phone-9')
    const url = `http://127.0.0.1:${small.portOf('json-lines', 'http')}/`
    const send = (body: string) =>
      fetch(url, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body })
    const answer = await send(batch('phone-9', 2_000))
    expect(answer.status).toBe(503)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await answer.text()).toContain('send it again')
    expect(await small.metric('fleetflow_limits_total', { limit: 'heldBytesMax' })).toBe(1)
    expect((await send(batch('phone-9', 900))).status).toBe(200)
    expect((await send(batch('phone-9', 900))).status).toBe(200)
  } finally {
    await small.stop()
  }
}, 60_000)
