/** Commands to devices, and answers of devices, that are not as they should be. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { DecodeError, defineAdapter } from '../device-adapters/adapter.ts'
import { delimitedBy } from '../device-adapters/framing.ts'
import { commandRow, queue } from './command-fixture.ts'
import { type Device, IngestHarness } from './ingest-harness.ts'

/** Less than `unsentReplyBytesMax`; several hundred are more than the kernel holds for a socket. */
const BULKY_BYTES = 32 * 1024
const BULKY_COMMANDS = 500

/**
 * Lines: `ID` names the device; `ID SERIAL TEXT` answers a command, `-` for one without number, `\0` in it is U+0000.
 * A command is its text and a line end.
 */
const teller = defineAdapter({
  id: 'teller',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1 },
  maxFrameBytes: 100_000,
  frame: delimitedBy('\n'),
  decode(frame, session) {
    const [id = '', serial, ...text] = frame.toString().trim().split(' ')
    session.identify(id)
    if (serial === undefined) return
    if (serial === 'broken') {
      session.answer({ ok: true, text: 'of a broken frame' })
      throw new DecodeError('malformed', 'broken')
    }
    const answer = { ok: true, text: text.join(' ').replaceAll('\\0', '\0') }
    session.answer(serial === '-' ? answer : { ...answer, serial: Number(serial) })
  },
  ack: (frame) => (frame.includes(' ') ? undefined : 'hi\n'),
  commands: {
    custom: ({ data }) => `${data}\n`,
    configuration: ({ data }) => Buffer.concat([Buffer.alloc(BULKY_BYTES), Buffer.from(`${data}\n`)]),
    rebootDevice: () => {
      throw new TypeError('a bug of the encoder')
    },
  },
})

let harness: IngestHarness

beforeAll(async () => {
  harness = await IngestHarness.start({ adapters: [teller], limits: { closingTimeoutMs: 500 } })
}, 30_000)
afterEach(() => harness.hangUp())
afterAll(() => harness.stop())

const limitMet = (limit: string) => harness.metric('fleetflow_limits_total', { limit })
const count = (device: number, state: string) =>
  harness.count('SELECT count(*) FROM commands WHERE device_id = $1 AND state = $2', [device, state])

async function connected(name: string): Promise<Device> {
  const device = harness.device(harness.portOf('teller'))
  device.send(`${name}\n`)
  expect(Buffer.from(await device.reply(3), 'hex').toString()).toBe('hi\n')
  return device
}

const line = async (device: Device, bytes: number) => Buffer.from(await device.reply(bytes), 'hex').toString()

async function queueMany(device: number, type: string, commands: number): Promise<void> {
  await harness.pool.query(
    `INSERT INTO commands (organization_id, device_id, type, attributes, created_by, expires_at)
     SELECT $1, $2, $3, jsonb_build_object('data', to_char(i, 'FM00000')), 1, now() + interval '1 hour'
     FROM generate_series(1, $4::integer) i`,
    [harness.organizationId, device, type, commands],
  )
}

test('ten thousand queued commands go in their order, and keep nobody else waiting', async () => {
  const many = await harness.register('many')
  const one = await harness.register('one')
  await queueMany(many, 'custom', 10_000)
  const [first, second] = [await connected('many'), await connected('one')]
  const ping = await queue(harness, one, 'custom', { data: 'ping' })
  expect(await line(second, 5)).toBe('ping\n')
  expect((await commandRow(harness.pool, ping)).state).toBe('sent')
  expect(await count(many, 'queued')).toBeGreaterThan(0)
  const lines = (await line(first, 60_000)).trim().split('\n')
  expect(lines).toEqual(Array.from({ length: 10_000 }, (_, i) => String(i + 1).padStart(5, '0')))
  expect(await count(many, 'queued')).toBe(0)
}, 60_000)

test('a device that does not read loses its connection, and no command that was not written', async () => {
  const id = await harness.register('deaf')
  const deaf = await connected('deaf')
  deaf.socket.pause()
  const met = await limitMet('unsentReplyBytesMax')
  const written = () => harness.metric('fleetflow_commands_total', { state: 'sent' })
  const writtenBefore = await written()
  await queueMany(id, 'configuration', BULKY_COMMANDS)
  await expect.poll(() => limitMet('unsentReplyBytesMax')).toBe(met + 1)
  await expect.poll(() => harness.metric('fleetflow_connections', { protocol: 'teller' })).toBe(0)
  await expect.poll(() => count(id, 'queued')).toBeGreaterThan(10)
  const sent = await count(id, 'sent')
  expect(sent).toBe((await written()) - writtenBefore)
  expect((await count(id, 'queued')) + sent).toBe(BULKY_COMMANDS)

  // Those that were written come first, and the others in their order when it listens again.
  const listening = await connected('deaf')
  const left = BULKY_COMMANDS - sent
  const bytes = Buffer.from(await listening.reply(left * (BULKY_BYTES + 6)), 'hex')
  const texts = Array.from({ length: left }, (_, i) => {
    const end = (i + 1) * (BULKY_BYTES + 6)
    return bytes.toString('latin1', end - 6, end - 1)
  })
  expect(texts).toEqual(Array.from({ length: left }, (_, i) => String(sent + i + 1).padStart(5, '0')))
}, 60_000)

test('a device that comes and goes all the time gets no command twice, and all in their order', async () => {
  const id = await harness.register('restless')
  await queueMany(id, 'custom', 500)
  const received: string[] = []
  const CONNECTIONS = 41
  for (let i = 1; i <= CONNECTIONS; i++) {
    const device = harness.device(harness.portOf('teller'))
    const names = 1 + (i % 5)
    let text = ''
    let greeted = () => {}
    device.socket.on('data', (bytes) => {
      text += bytes
      // Every name is greeted: the more of them, the more commands come between.
      if (text.split('hi\n').length > names) greeted()
    })
    const done = new Promise<void>((resolve) => {
      greeted = resolve
    })
    for (let name = 0; name < names; name++) device.send('restless\n')
    await done
    // The last one stays.
    if (i === CONNECTIONS) await expect.poll(() => count(id, 'queued')).toBe(0)
    device.socket.destroy()
    // What is behind the last end of a line is a piece of one.
    received.push(
      ...text
        .split('\n')
        .slice(0, -1)
        .filter((command) => command !== 'hi'),
    )
  }
  expect(received.length).toBeGreaterThan(0)
  expect(received).toEqual([...new Set(received)].sort())
  expect(await count(id, 'sent')).toBe(500)
})

test('a bug of an encoder fails its command, and no other', async () => {
  const id = await harness.register('brittle')
  const device = await connected('brittle')
  const broken = await queue(harness, id, 'rebootDevice')
  await queue(harness, id, 'custom', { data: 'fine' })
  expect(await line(device, 5)).toBe('fine\n')
  await expect
    .poll(() => commandRow(harness.pool, broken))
    .toMatchObject({ state: 'failed', failure: 'adapter-bug: the adapter failed on this command' })
})

test('a reason that the database does not take at once is kept until it does', async () => {
  const id = await harness.register('late')
  await connected('late')
  await harness.pool.query(`
    CREATE FUNCTION refuse_failures() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'not now'; END $$;
    CREATE TRIGGER refuse_failures BEFORE UPDATE ON commands
      FOR EACH ROW WHEN (NEW.failure IS NOT NULL) EXECUTE FUNCTION refuse_failures()`)
  const command = await queue(harness, id, 'rebootDevice')
  await expect.poll(async () => (await commandRow(harness.pool, command)).state).toBe('sent')
  await harness.pool.query('DROP TRIGGER refuse_failures ON commands')
  await expect
    .poll(() => commandRow(harness.pool, command))
    .toMatchObject({ state: 'failed', sent_at: null, failure: expect.stringContaining('adapter-bug: ') })
})

test('a type that is a name of every object is no command', async () => {
  const id = await harness.register('objects')
  await connected('objects')
  const odd = await queue(harness, id, 'constructor')
  await expect.poll(async () => (await commandRow(harness.pool, odd)).failure).toMatch(/^unsupported: /)
})

test('an answer is kept without U+0000, and no longer than its limit', async () => {
  const id = await harness.register('talker')
  const device = await connected('talker')
  const asked = await queue(harness, id, 'custom', { data: 'tell' })
  await line(device, 5)
  device.send(`talker 0 a\\0b${'é'.repeat(4_000)}\n`)
  await expect.poll(async () => (await commandRow(harness.pool, asked)).state).toBe('acknowledged')
  expect((await commandRow(harness.pool, asked)).answer).toBe(`ab${'é'.repeat(2_047)}`)
  expect(await limitMet('commandAnswerBytesMax')).toBe(1)
})

test('an answer in a frame that breaks its protocol is none', async () => {
  const id = await harness.register('stutterer')
  const device = await connected('stutterer')
  const asked = await queue(harness, id, 'custom', { data: 'tell' })
  await line(device, 5)
  device.send('stutterer broken\nstutterer\nstutterer 0 whole\n')
  await expect.poll(async () => (await commandRow(harness.pool, asked)).state).toBe('acknowledged')
  expect((await commandRow(harness.pool, asked)).answer).toBe('whole')
})

test.each(['99', '4294967295', '1e300', 'NaN', '-1', '0.5'])(
  'an answer with the number %s, which no command has, hinders no other',
  async (serial) => {
    const name = `stray${serial}`
    const id = await harness.register(name)
    const device = await connected(name)
    const asked = await queue(harness, id, 'custom', { data: 'tell' })
    await line(device, 5)
    device.send(`${name} ${serial} stray\n${name} 0 mine\n`)
    await expect.poll(async () => (await commandRow(harness.pool, asked)).answer).toBe('mine')
  },
)

test('a flood of answers is dropped, and does not push out those of others', async () => {
  await harness.register('flooder')
  const id = await harness.register('quiet')
  const [flooder, quiet] = [await connected('flooder'), await connected('quiet')]
  const asked = await queue(harness, id, 'custom', { data: 'tell' })
  await line(quiet, 5)
  flooder.send('flooder - x\n'.repeat(20_000))
  quiet.send('quiet - mine\n')
  await expect.poll(async () => (await commandRow(harness.pool, asked)).answer).toBe('mine')
  await expect.poll(() => limitMet('commandAnswersPerDeviceMax')).toBeGreaterThan(0)
  expect(await limitMet('commandAnswersMax')).toBe(0)
})

test("an answer changes no other device's command", async () => {
  const id = await harness.register('victim')
  await harness.register('attacker')
  const [victim, attacker] = [await connected('victim'), await connected('attacker')]
  const asked = await queue(harness, id, 'custom', { data: 'tell' })
  await line(victim, 5)
  attacker.send('attacker 0 forged\nattacker - forged\n')
  const own = await queue(harness, await harness.register('witness'), 'custom', { data: 'tell' })
  const witness = await connected('witness')
  await line(witness, 5)
  // Answers are written in their order: when this one is, those before are.
  witness.send('witness 0 seen\n')
  await expect.poll(async () => (await commandRow(harness.pool, own)).answer).toBe('seen')
  expect(await commandRow(harness.pool, asked)).toMatchObject({ state: 'sent', answer: null })
})
