/** An adapter that throws what it may not: its frame and its connection are lost, nothing else. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { defineAdapter } from '../device-adapters/adapter.ts'
import { delimitedBy } from '../device-adapters/framing.ts'
import { IngestHarness } from './ingest-harness.ts'

const lines = delimitedBy('\n')

/** A line is `ID WORD`, the word names the function that fails; each is a position, and is answered `ok`. */
const brittle = defineAdapter({
  id: 'brittle',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1, udp: 1, http: 1 },
  maxFrameBytes: 1024,
  frame(bytes) {
    if (bytes.includes(' framing')) throw new TypeError('a bug of the framing')
    return lines(bytes)
  },
  decode(frame, session, out) {
    const [id = '', word] = frame.toString().trim().split('\n').at(-1)!.split(' ')
    session.identify(id)
    out.set(out.add(session.receivedMs, 1, 2), 'word', word)
    if (word === 'decode') throw new TypeError('a bug of the decoder')
  },
  ack(frame) {
    if (frame.includes(' ack')) throw new RangeError('a bug of the answer')
    return 'ok\n'
  },
})

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({ adapters: [brittle], ackAfter: 'database' })
}, 30_000)
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

const OK = Buffer.from('ok\n').toString('hex')
const bugs = () =>
  harness.metric('fleetflow_frame_faults_total', { protocol: 'brittle', code: 'adapter-bug' })

test.each(['framing', 'decode', 'ack'])(
  'a bug in %s closes its connection, is counted and quarantined, and the others go on',
  async (word) => {
    const id = await harness.register(`truck-${word}`)
    const bystander = harness.device(harness.portOf('brittle'))
    bystander.send(`truck-${word} fine\n`)
    expect(await bystander.reply(3)).toBe(OK)
    const before = await bugs()
    const device = harness.device(harness.portOf('brittle'))
    device.send(`truck-${word} fine\n`)
    expect(await device.reply(3)).toBe(OK)
    device.send(`truck-${word} ${word}\n`)
    await device.closed()
    expect(device.silent).toBe(true)
    expect(await bugs()).toBe(before + 1)
    await expect
      .poll(() => harness.quarantined(`truck-${word}`))
      .toMatchObject([{ reason: 'adapter-bug', last_frame: Buffer.from(`truck-${word} ${word}\n`) }])
    bystander.send(`truck-${word} fine\n`)
    expect(await bystander.reply(3)).toBe(OK)
    // The row of the failed frame is taken back.
    expect(await harness.storedOf(id)).toBe(3)
  },
)

test('a request is answered 500, a datagram is not answered', async () => {
  const id = await harness.register('van')
  const url = `http://127.0.0.1:${harness.portOf('brittle', 'http')}/`
  for (const word of ['decode', 'ack']) {
    expect((await fetch(url, { method: 'POST', body: `van ${word}` })).status).toBe(500)
  }
  expect((await fetch(url, { method: 'POST', body: 'van fine' })).status).toBe(200)
  const udp = createSocket('udp4')
  const port = harness.portOf('brittle', 'udp')
  for (const word of ['framing', 'decode', 'ack']) udp.send(`van ${word}\n`, port, '127.0.0.1')
  udp.send('van last\n', port, '127.0.0.1')
  const [answer] = await once(udp, 'message')
  expect(String(answer)).toBe('ok\n')
  udp.close()
  expect(await harness.storedOf(id)).toBe(2)
})

test('a bug met while a device is registered closes its connection too', async () => {
  const open = await harness.startRegistering()
  try {
    const device = harness.device(harness.portOf('brittle', 'tcp', open))
    device.send('newcomer ack\n')
    await device.closed()
    expect(await harness.count("SELECT count(*) FROM devices WHERE unique_id = 'newcomer'")).toBe(1)
  } finally {
    await open.close()
  }
})
