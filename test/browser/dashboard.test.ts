/** The dashboard in a real browser on the whole engine: what a dispatcher sees, and what the page never does. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Page, WebSocketRoute } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestEngine, type TestEngine } from '../engine.ts'
import {
  browserPath,
  type ColourSpot,
  findColour,
  keepPicture,
  openBrowser,
  type TestBrowser,
} from './browser.ts'
import { Administrator, PASSWORD, report } from './fleet.ts'

const DISPATCHER = 'dispatcher@austin.test'
const NEWCOMER = 'newcomer@empty.test'
const DESKTOP = { width: 1440, height: 900 }
const PHONE = { width: 390, height: 844 }
/** Colours of the dark map, see dashboard/src/ui/theme.ts. */
const MOVING = '#35d39a'
const TRACK = '#58a6ff'
/** Width that the details cover of the map on a desktop, see dashboard/src/style/map.css. */
const COVERED_PX = 364

const OVERLAY = {
  type: 'FeatureCollection',
  features: [
    {
      type: 'Feature',
      properties: { kind: 'route', name: '1 Congress' },
      geometry: {
        type: 'LineString',
        coordinates: [
          [-97.75, 30.2],
          [-97.74, 30.3],
        ],
      },
    },
    {
      type: 'Feature',
      properties: { kind: 'stop', name: '200 Trinity' },
      geometry: { type: 'Point', coordinates: [-97.74, 30.264] },
    },
  ],
}

const path = browserPath()
if (path === undefined) {
  const word = 'No browser: install chromium, or say where it is with CHROMIUM_PATH.'
  if (process.env.CI !== 'true') process.stderr.write(`${word} The browser tests are skipped.\n`)
  else {
    test('there is a browser', () => {
      expect.fail(word)
    })
  }
}

describe.skipIf(path === undefined)('dashboard', () => {
  let engine: TestEngine
  let administrator: Administrator
  let folder: string
  let browser: TestBrowser
  let page: Page
  const devices = new Map<string, number>()
  const sockets: WebSocketRoute[] = []

  const app = () => page.locator('.app')
  const details = () => page.locator('.details')
  const rowNamed = (name: string) => page.locator('.row').filter({ hasText: name })

  async function open(options: Parameters<typeof openBrowser>[0]): Promise<void> {
    browser = await openBrowser(options)
    page = browser.page
    await page.routeWebSocket(/./, (socket) => {
      // What the page and the server say goes through; the test can cut it.
      socket.connectToServer()
      sockets.push(socket)
    })
  }

  /** Looks for a colour on what is free of the map; the places are those of the map. */
  async function find(colour: string): Promise<ColourSpot> {
    const map = (await page.locator('.map').boundingBox())!
    const covered = (await details().isVisible()) ? COVERED_PX : 0
    return findColour(page, { ...map, width: map.width - covered }, colour)
  }

  async function signIn(email: string, password: string): Promise<void> {
    await page.getByLabel('Email').fill(email)
    await page.getByLabel('Password').fill(password)
    await page.getByRole('button', { name: 'Sign in' }).click()
  }

  /** Bus 1 drives east along a street, a position a minute, until now. */
  async function driveTheLastHalfHour(): Promise<void> {
    const now = Date.now()
    for (let minute = 30; minute >= 0; minute--) {
      await report(engine, 'bus-1', {
        latitude: 30.26,
        longitude: -97.74 - minute * 0.004,
        timeMs: now - minute * 60_000,
        speedKmh: 23,
        courseDeg: 90,
        attributes: { batt: '87', rpm: '1800', ignition: 'true', odometer: '123456' },
      })
    }
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleetflow-overlay-'))
    const overlay = pathToFileURL(join(folder, 'overlay.geojson'))
    await writeFile(overlay, JSON.stringify(OVERLAY))
    engine = await startTestEngine({}, overlay)
    administrator = new Administrator(engine)
    await administrator.logIn()
    const austin = await administrator.addOrganization('Austin buses', DISPATCHER)
    await administrator.addOrganization('Nothing yet', NEWCOMER)
    for (let bus = 1; bus <= 24; bus++) {
      const uniqueId = `bus-${bus}`
      devices.set(uniqueId, await administrator.addDevice(austin, uniqueId, `Bus ${bus}`))
    }
    await driveTheLastHalfHour()
    // Bus 2 to 23 stand in rows north of it; bus 24 has never been heard of.
    for (let bus = 2; bus <= 23; bus++) {
      await report(engine, `bus-${bus}`, {
        latitude: 30.27 + (bus % 5) * 0.02,
        longitude: -97.78 + Math.floor(bus / 5) * 0.02,
        timeMs: Date.now(),
        speedKmh: 0,
        courseDeg: 0,
      })
    }
    await open({ viewport: DESKTOP, colorScheme: 'dark' })
  })

  afterAll(async () => {
    await browser?.close()
    await engine?.stop()
    if (folder !== undefined) await rm(folder, { recursive: true })
  })

  test('a wrong password is told, and what to do', async () => {
    await page.goto(engine.apiUrl)
    await signIn(DISPATCHER, 'a wrong password')
    await expect.poll(() => page.getByRole('alert').textContent()).toMatch(/password is wrong\. Check both/)
    expect(browser.complaints.join('\n')).toMatch(/401/)
    browser.complaints.length = 0
  })

  test('the right password shows the fleet, live, on the map and in the list', async () => {
    await signIn(DISPATCHER, PASSWORD)
    await page.locator('[data-status=live]').waitFor()
    await page.locator('.app[data-vehicle-count="23"]').waitFor()
    // All of them in view: the map has fitted itself to the fleet.
    await page.locator('.map[data-drawn-count="23"]').waitFor()
    const counts = await page.locator('.chip .count').allTextContents()
    expect(counts).toEqual(['24', '1', '22', '1'])
    expect(await rowNamed('bus-1').first().textContent()).toMatch(/Bus 1bus-123 km\/h\d+ s ago/)
    expect(await rowNamed('Bus 24').count()).toBe(0)
    await expect.poll(async () => (await find(MOVING)).pixels).toBeGreaterThan(20)
    await keepPicture(page, 'test-desktop-dark-fleet')
  })

  test('search and states narrow the list, and say so when nothing is left', async () => {
    const search = page.getByRole('searchbox')
    await search.fill('bus 1')
    await expect.poll(() => page.locator('.chip .count').first().textContent()).toBe('11')
    await search.fill('BUS-24')
    await expect
      .poll(() => page.locator('.row:visible').allTextContents())
      .toEqual(['Bus 24bus-24No position yet'])
    await search.fill('tram')
    expect(await page.locator('.list-empty').textContent()).toMatch(/no vehicle with “tram”/)
    await page.getByRole('button', { name: 'Show all vehicles' }).click()
    await page.getByRole('button', { name: /Moving/ }).click()
    await expect.poll(() => page.locator('.row:visible').count()).toBe(1)
    await page.getByRole('button', { name: /All/ }).click()
    await expect.poll(() => page.locator('.row:visible').count()).toBeGreaterThan(10)
  })

  test('a chosen vehicle shows its last values with units, and the track of its last hour', async () => {
    const before = await find(TRACK)
    await rowNamed('bus-1').first().click()
    await page.locator('.details[data-track="31"]').waitFor()
    expect(await details().locator('h2').textContent()).toBe('Bus 1')
    expect(await details().locator('header').textContent()).toContain('bus-1 · Phone')
    expect(await details().locator('[data-value=speed]').textContent()).toBe('23 km/h')
    expect(await details().locator('[data-value=course]').textContent()).toBe('90° E')
    expect(await details().locator('[data-value=age]').textContent()).toMatch(/^\d+ (s|min) ago$/)
    expect(await details().textContent()).toMatch(/Place30\.26000° N, 97\.74000° W.*Altitude165 m/)
    const attributes = await details().locator('[data-value=attributes] > div').allTextContents()
    expect(attributes).toContain('Battery level87 %')
    expect(attributes).toContain('Engine speed1,800 rpm')
    expect(attributes).toContain('Odometer123.5 km')
    expect(await details().locator('.summary').textContent()).toMatch(/^11\.5 km driven.*31 positions$/)
    await expect.poll(async () => (await find(TRACK)).pixels).toBeGreaterThan(before.pixels + 100)
    await keepPicture(page, 'test-desktop-dark-details')
  })

  test('a vehicle glides on the map when its device reports', async () => {
    await page.getByRole('button', { name: 'Go to' }).click()
    const middle = { x: (DESKTOP.width - 328 - COVERED_PX) / 2, y: (DESKTOP.height - 56) / 2 }
    await expect
      .poll(async () => {
        const { x, y } = await find(MOVING)
        return Math.hypot(x - middle.x, y - middle.y)
      })
      .toBeLessThan(12)
    const from = await find(MOVING)
    await report(engine, 'bus-1', {
      latitude: 30.26,
      longitude: -97.738,
      timeMs: Date.now(),
      speedKmh: 41,
      courseDeg: 90,
    })
    await expect.poll(() => details().locator('[data-value=speed]').textContent()).toBe('41 km/h')
    await expect.poll(async () => (await find(MOVING)).x - from.x).toBeGreaterThan(60)
    const { y } = await find(MOVING)
    expect(Math.abs(y - from.y)).toBeLessThan(6)
    await page.locator('.details[data-track="32"]').waitFor()
    await keepPicture(page, 'test-desktop-dark-street')
  })

  test('a click on the map chooses the vehicle there, a click beside it none', async () => {
    await page.keyboard.press('Escape')
    await details().waitFor({ state: 'hidden' })
    const { x, y } = await find(MOVING)
    await page.locator('.maplibregl-canvas').click({ position: { x, y } })
    await details().waitFor()
    expect(await details().getAttribute('data-device')).toBe(String(devices.get('bus-1')))
    await page.locator('.maplibregl-canvas').click({ position: { x: x - 200, y: y + 200 } })
    await details().waitFor({ state: 'hidden' })
  })

  test('following keeps a vehicle in the middle until the map is dragged', async () => {
    await rowNamed('bus-1').first().click()
    const follow = page.getByRole('button', { name: 'Follow' })
    await follow.click()
    const middleX = (DESKTOP.width - 328 - COVERED_PX) / 2
    await report(engine, 'bus-1', {
      latitude: 30.26,
      longitude: -97.732,
      timeMs: Date.now(),
      speedKmh: 42,
      courseDeg: 90,
    })
    await expect.poll(() => details().locator('[data-value=speed]').textContent()).toBe('42 km/h')
    await expect.poll(async () => Math.abs((await find(MOVING)).x - middleX)).toBeLessThan(12)
    expect(await follow.getAttribute('aria-pressed')).toBe('true')
    await page.mouse.move(600, 700)
    await page.mouse.down()
    await page.mouse.move(700, 600, { steps: 5 })
    await page.mouse.up()
    await expect.poll(() => follow.getAttribute('aria-pressed')).toBe('false')
    await page.keyboard.press('Escape')
  })

  test('the keyboard reaches the list, chooses, and comes back', async () => {
    await page.getByRole('button', { name: 'Show the whole fleet' }).click()
    await page.getByRole('listbox', { name: 'Vehicles' }).focus()
    await page.keyboard.press('Home')
    await page.keyboard.press('ArrowDown')
    const active = await page.getByRole('listbox').getAttribute('aria-activedescendant')
    expect(active).toBe(`vehicle-${devices.get('bus-2')}`)
    await page.keyboard.press('Enter')
    await expect.poll(() => details().locator('h2').textContent()).toBe('Bus 2')
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('details-name')
    await page.keyboard.press('Escape')
    await details().waitFor({ state: 'hidden' })
    expect(await page.evaluate(() => document.activeElement?.getAttribute('role'))).toBe('listbox')
  })

  test('a vehicle without a position says what to check', async () => {
    await page.getByRole('searchbox').fill('bus-24')
    await rowNamed('bus-24').click()
    await expect.poll(() => details().textContent()).toMatch(/No position yet.*calls itself bus-24/)
    await page.keyboard.press('Escape')
    await page.getByRole('searchbox').fill('')
  })

  test('a device that is deleted leaves the page', async () => {
    await administrator.removeDevice(devices.get('bus-23')!)
    await page.locator('.app[data-vehicle-count="22"]').waitFor()
    await expect.poll(() => page.locator('.chip .count').first().textContent()).toBe('23')
  })

  test('a lost stream is told, and comes back by itself with what was missed', async () => {
    const known = sockets.length
    await sockets.at(-1)!.close({ code: 1001, reason: 'the test cuts it' })
    await page.locator('[data-status=lost]').waitFor()
    await report(engine, 'bus-2', { latitude: 30.311, longitude: -97.78, timeMs: Date.now(), speedKmh: 55 })
    await page.locator('[data-status=live]').waitFor()
    expect(sockets.length).toBeGreaterThan(known)
    await expect.poll(() => rowNamed('bus-2').first().textContent()).toMatch(/55 km\/h/)
  })

  test('dark and light follow the system until the person chooses', async () => {
    const theme = () => page.locator('html').getAttribute('data-theme')
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    expect([await theme(), await background()]).toEqual(['dark', 'rgb(10, 16, 22)'])
    await page.emulateMedia({ colorScheme: 'light' })
    await expect.poll(theme).toBe('light')
    expect(await background()).toBe('rgb(233, 237, 240)')
    await keepPicture(page, 'test-desktop-light-fleet')
    await page.getByRole('button', { name: 'Change between light and dark' }).click()
    await expect.poll(theme).toBe('dark')
    await page.reload()
    await page.locator('.app[data-vehicle-count="22"]').waitFor()
    expect(await theme()).toBe('dark')
  })

  test('on a phone the map is above the list, and nothing runs off the side', async () => {
    await page.setViewportSize(PHONE)
    await page.locator('[data-status=live]').waitFor()
    const width = () => page.evaluate(() => document.documentElement.scrollWidth)
    expect(await width()).toBe(PHONE.width)
    const [map, list] = [
      await page.locator('.map').boundingBox(),
      await page.locator('.list:visible').boundingBox(),
    ]
    expect(map!.height).toBeGreaterThan(250)
    expect(list!.y).toBeGreaterThanOrEqual(map!.y + map!.height)
    await keepPicture(page, 'test-phone-dark-fleet')
    await rowNamed('bus-1').first().click()
    await details().locator('.summary').waitFor()
    expect((await details().boundingBox())!.y).toBeGreaterThanOrEqual(map!.y + map!.height)
    expect(await width()).toBe(PHONE.width)
    await keepPicture(page, 'test-phone-dark-details')
    await page.getByRole('button', { name: 'Close the vehicle' }).click()
    await page.setViewportSize(DESKTOP)
  })

  test('signing out forgets the tokens', async () => {
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: 'Sign in' }).waitFor()
    expect(await page.evaluate(() => JSON.stringify({ ...sessionStorage }))).toBe('{}')
    expect(await page.evaluate(() => Object.keys(localStorage))).toEqual(['fleetflow.theme'])
  })

  test('an organisation without vehicles is shown how to bring one here', async () => {
    await signIn(NEWCOMER, PASSWORD)
    await page.getByRole('heading', { name: 'No vehicles yet' }).waitFor()
    expect(await app().getAttribute('data-vehicle-count')).toBe('0')
    expect(await page.locator('.hint').textContent()).toMatch(/POST \/api\/v1\/devices.*5055.*curl/)
    await keepPicture(page, 'test-desktop-dark-empty')
  })

  test('nothing was asked of another machine, and nothing but tickets was in an address', async () => {
    const own = [engine.apiUrl, engine.streamUrl]
    const foreign = browser.asked.filter(
      (url) => !/^(blob|data):/.test(url) && !own.includes(new URL(url).origin),
    )
    expect(foreign).toEqual([])
    expect(browser.asked.some((url) => url.includes('/basemap/overlay.geojson'))).toBe(true)
    const queries = new Set(browser.asked.flatMap((url) => [...new URL(url).searchParams.keys()]))
    expect(
      [...queries].filter((key) => !['limit', 'cursor', 'from', 'to', 'history', 'ticket'].includes(key)),
    ).toEqual([])
  })

  test('the page complained about nothing', () => {
    expect(browser.complaints).toEqual([])
  })
})
