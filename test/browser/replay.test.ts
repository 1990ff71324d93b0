/** The replay page in a real browser on the whole engine: the past of a fleet on one clock. */
import { readFile } from 'node:fs/promises'
import type { Page, WebSocketRoute } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestEngine, type TestEngine } from '../engine.ts'
import { browserPath, findColour, keepPicture, openBrowser, type TestBrowser } from './browser.ts'
import { Administrator, PASSWORD, report } from './fleet.ts'

const VIEWER = 'viewer@replay.test'
const DESKTOP = { width: 1440, height: 900 }
const PHONE = { width: 390, height: 844 }
const MOVING = '#35d39a'
const TRACK = '#58a6ff'
const BUSES = 8
/** Width that the card covers of the map on a desktop, see dashboard/src/style/map.css. */
const COVERED_PX = 364
const MINUTE_MS = 60_000
/** A fix every 30 s. */
const STEP_MS = 30_000

/** A full minute, so that all times of the test are round. */
const END_MS = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 5 * MINUTE_MS
const START_MS = END_MS - 60 * MINUTE_MS

const iso = (timeMs: number) => `${new Date(timeMs).toISOString().slice(0, 19)}Z`

/** Bus n drives east on a street of its own; bus 8 says nothing after half an hour. */
function fixOf(bus: number, timeMs: number) {
  const minutes = (timeMs - START_MS) / MINUTE_MS
  return {
    latitude: 30.2 + bus * 0.01,
    longitude: -97.8 + minutes * 0.002,
    timeMs,
    speedKmh: 12 + 5 * bus + 10 * Math.sin(minutes / 4),
    courseDeg: 90,
  }
}

describe.skipIf(browserPath() === undefined)('replay', () => {
  let engine: TestEngine
  let browser: TestBrowser
  let page: Page
  const devices: number[] = []
  const sockets: WebSocketRoute[] = []

  const replay = () => page.locator('.replay')
  const card = () => page.locator('.replay .details')
  const slider = () => page.getByRole('slider', { name: 'Time of the replay' })
  const clockMs = async () => Number(await slider().getAttribute('aria-valuenow')) * 1000
  const open = (query: string) => page.goto(`${engine.apiUrl}/#replay?${query}`)
  const range = `from=${iso(START_MS)}&to=${iso(END_MS)}`

  beforeAll(async () => {
    engine = await startTestEngine({})
    const administrator = new Administrator(engine)
    await administrator.logIn()
    const organization = await administrator.addOrganization('Replay', VIEWER)
    for (let bus = 1; bus <= BUSES; bus++) {
      devices.push(await administrator.addDevice(organization, `bus-${bus}`, `Bus ${bus}`))
    }
    await administrator.post('/geofences', {
      organizationId: organization,
      name: 'Depot',
      shape: { type: 'Circle', center: [-97.75, 30.21], radiusM: 600 },
    })
    for (let timeMs = START_MS; timeMs <= END_MS; timeMs += STEP_MS) {
      for (let bus = 1; bus <= BUSES; bus++) {
        if (bus < BUSES || timeMs < START_MS + 30 * MINUTE_MS)
          await report(engine, `bus-${bus}`, fixOf(bus, timeMs))
      }
    }
    browser = await openBrowser({ viewport: DESKTOP, colorScheme: 'dark' })
    page = browser.page
    await page.routeWebSocket(/./, (socket) => {
      // What the page and the server say goes through; the test can cut it.
      socket.connectToServer()
      sockets.push(socket)
    })
    await page.goto(engine.apiUrl)
    await page.getByLabel('Email').fill(VIEWER)
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('link', { name: 'Replay' }).click()
    await replay().waitFor()
  })

  afterAll(async () => {
    await browser?.close()
    await engine?.stop()
  })

  /** What is drawn of the map left of the card. */
  async function find(colour: string) {
    const map = (await page.locator('.map').boundingBox())!
    const covered = (await card().isVisible()) ? COVERED_PX : 0
    return findColour(page, { ...map, width: map.width - covered }, colour)
  }

  test('shows where everyone was at the time of the address, with trails', async () => {
    await open(`${range}&time=${iso(START_MS + 20 * MINUTE_MS)}&trail=15`)
    await page.locator('.replay[data-vehicle-count="8"]').waitFor()
    await page.locator('.map[data-drawn-count="8"]').waitFor()
    expect(await clockMs()).toBe(START_MS + 20 * MINUTE_MS)
    await expect.poll(async () => (await find(MOVING)).pixels).toBeGreaterThan(100)
    expect(await page.locator('.segments [aria-pressed=true]').first().textContent()).toBe('Fleet')
    await keepPicture(page, 'test-replay-dark-fleet')
  })

  test('plays: the clock runs at its speed, and the vehicles with it', async () => {
    const before = await find(MOVING)
    await page.getByLabel('Speed').selectOption('120')
    await page.getByRole('button', { name: 'Play' }).click()
    await expect.poll(clockMs).toBeGreaterThan(START_MS + 24 * MINUTE_MS)
    await page.getByRole('button', { name: 'Pause' }).click()
    const stoodMs = await clockMs()
    await expect.poll(async () => (await find(MOVING)).x).toBeGreaterThan(before.x + 40)
    expect(await clockMs()).toBe(stoodMs)
  })

  test('the timeline is moved by a click and by keys, and says its time', async () => {
    const box = (await slider().boundingBox())!
    await page.mouse.click(box.x + box.width / 2, box.y + box.height - 16)
    await expect
      .poll(async () => Math.abs((await clockMs()) - (START_MS + 30 * MINUTE_MS)))
      .toBeLessThan(10_000)
    await slider().focus()
    await page.keyboard.press('Home')
    expect(await clockMs()).toBe(START_MS)
    for (const key of ['ArrowRight', 'ArrowUp', 'PageUp', 'ArrowLeft']) await page.keyboard.press(key)
    expect(await clockMs()).toBe(START_MS + 13 * STEP_MS)
    const words = await page.evaluate(
      (timeMs) =>
        new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' }).format(timeMs),
      START_MS + 13 * STEP_MS,
    )
    expect(await slider().getAttribute('aria-valuetext')).toBe(words)
    await page.keyboard.press('End')
    expect(await clockMs()).toBe(END_MS)
  })

  test('dragging moves the vehicles, and the clock stays where it is let go', async () => {
    const box = (await slider().boundingBox())!
    const y = box.y + box.height - 16
    await page.mouse.move(box.x + box.width - 1, y)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width * 0.25, y, { steps: 8 })
    await expect
      .poll(async () => Math.abs((await clockMs()) - (START_MS + 15 * MINUTE_MS)))
      .toBeLessThan(10_000)
    await page.mouse.up()
    await expect.poll(() => page.url()).toContain(`time=${encodeURIComponent(iso(await clockMs()))}`)
  })

  test('an event of the list leads to its time, place and vehicle', async () => {
    await expect
      .poll(() => page.locator('.event-row').allTextContents())
      .toEqual([expect.stringMatching(/Bus 1 entered Depot$/), expect.stringMatching(/Bus 1 left Depot$/)])
    await page.locator('.event-row').first().click()
    await expect.poll(() => card().locator('h2').textContent()).toBe('Bus 1')
    expect(await page.locator('.event-row[aria-current]').textContent()).toMatch(/entered/)
    expect(await card().locator('[data-value=age]').textContent()).toBe('0 s ago')
    await page.locator('.replay .details[data-track="120"]').waitFor()
    await keepPicture(page, 'test-replay-dark-event')
  })

  test('a single vehicle has its whole track, its speeds over the timeline, and its files', async () => {
    await open(`devices=${devices[2]}&${range}&time=${iso(START_MS + 40 * MINUTE_MS)}`)
    await page.locator('.replay .details[data-track="120"]').waitFor()
    expect(await card().locator('h2').textContent()).toBe('Bus 3')
    expect(await card().locator('.summary').textContent()).toMatch(/^11\.4 km driven.*120 positions$/)
    expect(await page.locator('.timeline-strip .chart-line').count()).toBe(1)
    await page.locator('.replay[data-vehicle-count="1"]').waitFor()
    await expect.poll(async () => (await find(TRACK)).pixels).toBeGreaterThan(500)
    await keepPicture(page, 'test-replay-dark-vehicle')
    for (const [name, start] of [
      ['GPX', '<?xml'],
      ['KML', '<?xml'],
      ['GeoJSON', '{'],
      ['CSV', 'fix_time_utc,'],
    ] as const) {
      const coming = page.waitForEvent('download')
      await page.getByRole('button', { name: `Download as ${name}` }).click()
      const download = await coming
      expect(download.suggestedFilename()).toBe(`Bus 3.${name.toLowerCase()}`)
      expect((await readFile(await download.path(), 'utf8')).slice(0, 40)).toContain(start)
    }
  })

  test('a vehicle that has said nothing for long is silent', async () => {
    await open(`vehicle=${devices[7]}&${range}&time=${iso(START_MS + 50 * MINUTE_MS)}`)
    await expect.poll(() => card().locator('.state-words').textContent()).toBe('Silent')
    expect(await card().locator('[data-value=age]').textContent()).toBe('20 min ago')
    await page.keyboard.press('Escape')
    await card().waitFor({ state: 'hidden' })
  })

  test('loading again shows the same', async () => {
    await open(
      `devices=${devices[0]},${devices[4]}&${range}&time=${iso(START_MS + 7 * MINUTE_MS)}&speed=120&trail=0`,
    )
    await page.locator('.replay[data-vehicle-count="2"]').waitFor()
    await page.reload()
    await page.locator('.replay[data-vehicle-count="2"]').waitFor()
    expect(await clockMs()).toBe(START_MS + 7 * MINUTE_MS)
    expect(await page.getByLabel('Speed').inputValue()).toBe('120')
    expect(await page.getByLabel('Trail').inputValue()).toBe('0')
    expect(await page.locator('.found-row input:checked').count()).toBe(2)
  })

  test('the space bar plays and pauses', async () => {
    await slider().focus()
    await page.keyboard.press('Space')
    await page.getByRole('button', { name: 'Pause' }).waitFor()
    await page.keyboard.press('Space')
    await page.getByRole('button', { name: 'Play' }).waitFor()
  })

  test('a lost connection comes back, and the replay goes on', async () => {
    const known = sockets.length
    await sockets.at(-1)!.close({ code: 1001, reason: 'the test cuts it' })
    await page.locator('.stream-pill[data-status=lost]').waitFor()
    await page.locator('.stream-pill[data-status=live]').waitFor()
    expect(sockets.length).toBeGreaterThan(known)
    await open(`${range}&time=${iso(START_MS + 20 * MINUTE_MS)}`)
    await page.locator('.replay[data-vehicle-count="8"]').waitFor()
  })

  test('a range that cannot be is told, and one without positions says so', async () => {
    await page.getByLabel('From', { exact: true }).fill('2020-01-01T00:00:00')
    await page.getByRole('button', { name: 'Show', exact: true }).click()
    await expect.poll(() => page.locator('.picker .fault').textContent()).toMatch(/At most 31 days/)
    await page.getByLabel('To', { exact: true }).fill('2020-01-02T00:00:00')
    await page.getByRole('button', { name: 'Show', exact: true }).click()
    await expect.poll(() => page.locator('.notice').textContent()).toMatch(/No vehicle has a position/)
    await expect.poll(() => page.locator('.replay-events').textContent()).toMatch(/No vehicle entered/)
    await keepPicture(page, 'test-replay-dark-empty')
    await page.getByRole('button', { name: 'Last hour' }).click()
    await page.locator('.replay[data-vehicle-count="8"]').waitFor()
    expect(await page.locator('.notice').count()).toBe(0)
  })

  test('light, and on a phone, nothing runs off the side', async () => {
    await page.emulateMedia({ colorScheme: 'light' })
    await open(`${range}&time=${iso(START_MS + 30 * MINUTE_MS)}&trail=15`)
    await page.locator('.map[data-drawn-count="8"]').waitFor()
    await keepPicture(page, 'test-replay-light-fleet')
    await page.setViewportSize(PHONE)
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(PHONE.width)
    const [map, bar] = [
      await page.locator('.map').boundingBox(),
      await page.locator('.replay-bar').boundingBox(),
    ]
    expect(map!.height).toBeGreaterThan(250)
    expect(bar!.y).toBeGreaterThanOrEqual(map!.y + map!.height)
    await keepPicture(page, 'test-replay-light-phone')
    await open(`devices=${devices[2]}&${range}&time=${iso(START_MS + 40 * MINUTE_MS)}`)
    await page.locator('.replay .details[data-track="120"]').waitFor()
    await keepPicture(page, 'test-replay-light-phone-vehicle')
    await page.setViewportSize(DESKTOP)
  })

  test('the page complained about nothing', () => {
    expect(browser.complaints).toEqual([])
  })
})
