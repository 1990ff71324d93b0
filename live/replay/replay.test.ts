import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ServerMessage } from '../../schemas/stream.ts'
import { itemsOf, KeptOutlet, ReplayHarness } from '../../test/replay-harness.ts'
import { readReplayCursor, writeReplayCursor } from './replay-cursor.ts'

const T0 = Date.UTC(2026, 10, 20, 23, 58)
const DAY_MS = 86_400_000
const COUNT = 240

let harness: ReplayHarness
/** Four that report each second over midnight, and one of another organisation. */
let devices: number[]
/** All items in order. */
let all: { readonly item: string; readonly second: number; readonly device: number }[]

beforeAll(async () => {
  harness = await ReplayHarness.create()
  await harness.owner.query("SELECT ensure_position_day('2026-11-20'), ensure_position_day('2026-11-21')")
  devices = await harness.devices(4)
  const { rows } = await harness.owner.query<{ id: number }>(
    "INSERT INTO organizations (name) VALUES ('others') RETURNING id",
  )
  await harness.rows([...devices, ...(await harness.devices(30, rows[0]!.id))], T0, COUNT, 1_000)
  // Alone after a gap.
  await harness.rows([devices[0]!], T0 + 30 * DAY_MS, 1, 1_000)
  all = []
  for (let second = 0; second < COUNT; second++) {
    for (const device of devices) all.push({ item: `${device}@${second}`, second, device })
    if (second % 50 !== 20) continue
    const device = devices[second % 4]!
    await harness.event(device, T0 + second * 1_000, 'enter')
    all.push({ item: `enter:${device}@${second}`, second, device })
  }
  // Of a timer, where nobody reports.
  await harness.event(devices[3]!, T0 + 10 * DAY_MS, 'absence')
  all.push({ item: `absence:${devices[3]}@${10 * 86_400}`, second: 10 * 86_400, device: devices[3]! })
  all.push({ item: `${devices[0]}@${30 * 86_400}`, second: 30 * 86_400, device: devices[0]! })
})
afterAll(() => harness.close())

const at = (second: number) => ({ beforeUs: (T0 + second * 1_000) * 1_000 })
const between = (from: number, to: number, of: readonly number[] = devices) =>
  all
    .filter(({ second, device }) => second >= from && second < to && of.includes(device))
    .map(({ item }) => item)
const outlet = () => new KeptOutlet(harness.tenant.organizationId)
const items = ({ messages }: KeptOutlet) => itemsOf(messages, T0)
const clocks = (messages: readonly ServerMessage[]) =>
  messages.flatMap((message) =>
    message.type === 'clock'
      ? [[(Date.parse(message.time) - T0) / 1_000, message.speed, message.paused] as const]
      : [],
  )
const hasEnded = ({ messages }: KeptOutlet) => messages.at(-1)?.type === 'end'

describe('as fast as it is taken', () => {
  test('a replay sends exactly the rows and events of its time, in order, and ends', async () => {
    for (const [from, to] of [
      [0, COUNT],
      [57, 183],
      [100.5, 101],
      [200, 31 * 86_400],
      [500, 600],
    ] as const) {
      const out = outlet()
      const feed = harness.start(out, { from: at(from), toMs: T0 + to * 1_000 })
      await harness.until(() => hasEnded(out))
      expect(items(out)).toEqual(between(from, to))
      expect(out.messages[0]).toMatchObject({ type: 'clock', speed: 0, paused: false })
      feed.close()
    }
  })

  test('devices, an area, and rows alone are scopes of it', async () => {
    const toMs = T0 + COUNT * 1_000
    const two = outlet()
    harness.start(two, { from: at(0), toMs, devices: () => devices.slice(1, 3) })
    const noEvents = outlet()
    harness.start(noEvents, { from: at(0), toMs, events: false })
    const none = outlet()
    harness.start(none, { from: at(0), toMs, devices: () => [] })
    // Latitudes count the seconds.
    const area = outlet()
    harness.start(area, {
      from: at(0),
      toMs,
      area: { contains: (latitudeDeg) => latitudeDeg >= 30 && latitudeDeg < 60 },
    })
    const outlets = [two, noEvents, none, area]
    await harness.until(() => outlets.every(hasEnded))
    expect(items(two)).toEqual(between(0, COUNT, devices.slice(1, 3)))
    expect(items(noEvents)).toEqual(between(0, COUNT).filter((item) => !item.includes(':')))
    expect(items(none)).toEqual([])
    expect(items(area)).toEqual(between(30, 60))
    expect(area.messages.filter(({ type }) => type === 'left')).toEqual([{ type: 'left', id: 7, devices }])
    harness.tick()
    expect(outlets.every(hasEnded)).toBe(true)
  })

  test('it goes on behind each cursor that it gave, with no gap and nothing twice', async () => {
    const toMs = T0 + 60_000
    const full = outlet()
    harness.start(full, { from: at(15), toMs })
    await harness.until(() => hasEnded(full))
    const cursors = full.messages.flatMap((message) => ('cursor' in message ? [message.cursor] : []))
    expect(cursors.length).toBeGreaterThan(3)
    let sent = 0
    for (const cursor of cursors) {
      const message = full.messages.find((candidate) => 'cursor' in candidate && candidate.cursor === cursor)!
      sent += itemsOf([message], T0).length
      const rest = outlet()
      harness.start(rest, { from: readReplayCursor(cursor)!, toMs, socket: {} }).tick()
      await harness.until(() => hasEnded(rest))
      expect(items(rest)).toEqual(between(15, 60).slice(sent))
    }
  })
})

test('a place is the same when it is read from its cursor, and other text is none', () => {
  for (const place of [
    { beforeUs: 1_795_000_000_123_456 },
    { event: { timeUs: 1_795_000_000_123_456, id: 9 } },
    { row: { fixTimeUs: 12, device: 2_147_483_647, digestHigh: 0xffff_ffff, digestLow: 0 } },
  ]) {
    expect(readReplayCursor(writeReplayCursor(place))).toEqual(place)
  }
  for (const text of [
    '',
    'bDE3',
    Buffer.from('r').toString('base64url'),
    Buffer.from('r1x').toString('base64url'),
  ]) {
    expect(readReplayCursor(text)).toBeUndefined()
  }
})

describe('on a clock', () => {
  test('what the clock has passed is sent, and no more, at any speed', async () => {
    for (const speed of [0.5, 1, 10, 3_600]) {
      const out = outlet()
      const feed = harness.start(out, { from: at(10), toMs: T0 + COUNT * 1_000, speed })
      for (let step = 1; step <= 4; step++) {
        await harness.advance(1_500)
        expect(items(out)).toEqual(between(10, Math.min(COUNT, 10.001 + step * 1.5 * speed)))
      }
      feed.close()
    }
  })

  test('pauses, goes on, changes its speed and says what time it is', async () => {
    const out = outlet()
    const feed = harness.start(out, { from: at(10), toMs: T0 + COUNT * 1_000, speed: 2 })
    await harness.advance(5_000)
    feed.control({ type: 'pause', id: 7 })
    await harness.advance(3_000)
    expect(items(out)).toEqual(between(10, 20.5))
    feed.control({ type: 'resume', id: 7 })
    feed.control({ type: 'speed', id: 7, speed: 10 })
    await harness.advance(1_000)
    expect(items(out)).toEqual(between(10, 30.5))
    expect(clocks(out.messages)).toEqual([
      [10, 2, false],
      [12, 2, false],
      [14, 2, false],
      [16, 2, false],
      [18, 2, false],
      [20, 2, false],
      [20, 2, true],
      [20, 2, false],
      [20, 10, false],
      [30, 10, false],
    ])
    feed.control({ type: 'speed', id: 7, speed: 0 })
    await harness.until(() => hasEnded(out))
    expect(items(out)).toEqual(between(10, COUNT))
    feed.close()
  })
})

test('after a seek it sends what follows the new time, whatever was under way', async () => {
  const out = outlet()
  const feed = harness.start(out, { from: at(0), toMs: T0 + COUNT * 1_000, speed: 0 })
  let seed = 1
  const random = () => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed / 2_147_483_647
  }
  for (let i = 0; i < 100; i++) {
    const turns = Math.floor(random() * 30)
    let turnsLeft = turns
    await harness.until(() => turnsLeft-- <= 0)
    const second = Math.floor(random() * (COUNT + 20)) - 10
    out.messages.length = 0
    feed.control({ type: 'seek', id: 7, to: new Date(T0 + second * 1_000).toISOString() })
    if (i % 10 === 9) await harness.until(() => hasEnded(out))
    const seen = items(out)
    expect(seen).toEqual(between(second, COUNT).slice(0, seen.length))
    if (i % 10 === 9) expect(seen).toEqual(between(second, COUNT))
  }
  feed.close()
})
