/** Geofences in a real browser on the whole engine: drawn, typed, refused, changed, and the events that they make. */
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Geofence } from '../../schemas/geofence.ts'
import { startTestEngine, type TestEngine } from '../engine.ts'
import { browserPath, keepPicture, openBrowser, type TestBrowser } from './browser.ts'
import { Administrator, PASSWORD, report } from './fleet.ts'

const DISPATCHER = 'dispatcher@austin.test'
const VIEWER = 'viewer@austin.test'
const DESKTOP = { width: 1280, height: 800 }
const PHONE = { width: 390, height: 844 }
const SECOND_MS = 1_000

describe.skipIf(browserPath() === undefined)('geofences', () => {
  let engine: TestEngine
  let administrator: Administrator
  let browser: TestBrowser
  let page: Page
  let organizationId: number

  const details = () => page.locator('.details')
  const fault = () => details().getByRole('alert').first()
  const names = () =>
    page.getByRole('listbox', { name: 'Geofences' }).locator('.row:visible .row-name').allTextContents()
  const field = (label: string) => details().locator('.field').filter({ hasText: label }).locator('input')
  const save = () => page.getByRole('button', { name: 'Save' }).click()
  const stored = async () =>
    (await administrator.get<{ items: Geofence[] }>(`/geofences?organizationId=${organizationId}`)).items

  async function signIn(email: string): Promise<void> {
    await page.getByLabel('Email').fill(email)
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in' }).click()
  }

  /** Where bus 1 is at a time. */
  async function drive(longitude: number, timeMs: number): Promise<void> {
    await report(engine, 'bus-1', { latitude: 30.265, longitude, timeMs, speedKmh: 30, courseDeg: 90 })
  }

  beforeAll(async () => {
    engine = await startTestEngine()
    administrator = new Administrator(engine)
    await administrator.logIn()
    organizationId = await administrator.addOrganization('Austin buses', DISPATCHER, 'dispatcher')
    await administrator.addUser(organizationId, VIEWER, 'viewer')
    await administrator.addDevice(organizationId, 'bus-1', 'Bus 1')
    await administrator.post('/geofences', {
      organizationId,
      name: 'Depot',
      shape: { type: 'Circle', center: [-97.74, 30.265], radiusM: 400 },
      rules: [{ dwellS: 90, speedLimitKmh: 48 }],
    })
    browser = await openBrowser({ viewport: DESKTOP, colorScheme: 'light' })
    page = browser.page
    await page.goto(`${engine.apiUrl}/#geofences`)
    await signIn(DISPATCHER)
  })

  afterAll(async () => {
    await browser?.close()
    await engine?.stop()
  })

  test('the page shows the geofences with their shapes and rules', async () => {
    await page.locator('.geofences-page[data-count="1"]').waitFor()
    expect(await page.locator('.row:visible').first().textContent()).toBe(
      'DepotCircle, 400 m · enter, leave, 1 min 30 s inside, over 48 km/h',
    )
    expect(await page.locator('.top-link[aria-current]').textContent()).toBe('Geofences')
  })

  test('an area is drawn by clicks, ended by a double click, and saved', async () => {
    await page.getByRole('button', { name: 'New', exact: true }).click()
    const map = (await page.locator('.map').boundingBox())!
    for (const [x, y] of [
      [150, 200],
      [350, 180],
      [360, 380],
    ] as const) {
      const corners = await page.locator('.draft-handle[data-kind=corner]').count()
      await page.mouse.click(map.x + x, map.y + y)
      await expect.poll(() => page.locator('.draft-handle[data-kind=corner]').count()).toBe(corners + 1)
    }
    await page.mouse.dblclick(map.x + 170, map.y + 420)
    await details().getByText('Drag the handles on the map, or type.').waitFor()
    expect(await page.locator('.draft-handle[data-kind=corner]').count()).toBe(4)
    await keepPicture(page, 'test-geofence-drawn')
    await field('Name').first().fill('Yard')
    await save()
    await expect.poll(names).toEqual(['Depot', 'Yard'])
    const yard = (await stored()).find(({ name }) => name === 'Yard')!
    expect(yard.shape).toMatchObject({ type: 'Polygon' })
    expect(yard.shape.type === 'Polygon' && yard.shape.coordinates[0]!.length).toBe(5)
  })

  test('a handle is dragged, and by its keys it moves and goes', async () => {
    await page.getByRole('option').filter({ hasText: 'Yard' }).click()
    await details().getByRole('group', { name: 'Places' }).waitFor()
    const latitude = details().getByLabel('Latitude of corner 1', { exact: true })
    const before = Number(await latitude.inputValue())
    // The map is still on its way to the geofence.
    await expect
      .poll(() => page.evaluate(() => document.querySelector('.draft-handle')!.getAnimations().length))
      .toBe(0)
    const handle = page.getByRole('button', { name: /^Corner 1:/ })
    await handle.focus()
    await page.keyboard.press('Shift+ArrowUp')
    await expect.poll(async () => Number(await latitude.inputValue())).toBeGreaterThan(before)
    expect(await handle.evaluate((element) => element === document.activeElement)).toBe(true)
    const between = page.getByRole('button', { name: /^Add a corner before corner 2/ })
    await between.focus()
    await page.keyboard.press('Enter')
    await expect.poll(() => page.locator('.draft-handle[data-kind=corner]').count()).toBe(5)
    await page.keyboard.press('Delete')
    await expect.poll(() => page.locator('.draft-handle[data-kind=corner]').count()).toBe(4)
  })

  test('a shape that crosses itself is refused in words, and nothing is lost', async () => {
    const places = details().locator('.place')
    for (const [index, latitude, longitude] of [
      [0, '30.30', '-97.80'],
      [1, '30.31', '-97.79'],
      [2, '30.31', '-97.80'],
      [3, '30.30', '-97.79'],
    ] as const) {
      await places.nth(index).getByLabel('Latitude').fill(latitude)
      await places.nth(index).getByLabel('Longitude').fill(longitude)
    }
    await save()
    await expect.poll(() => fault().textContent()).toMatch(/cross/)
    await keepPicture(page, 'test-geofence-refused')
    expect(Number(await places.first().getByLabel('Latitude').inputValue())).toBe(30.3)
    await page.keyboard.press('Escape')
    await details().waitFor({ state: 'detached' })
  })

  test('a circle is made with the keyboard alone', async () => {
    await page.getByRole('searchbox').focus()
    await page.keyboard.press('Tab')
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('New')
    await page.keyboard.press('Enter')
    await page.keyboard.type('Round')
    const press = async (name: string) => {
      await details().getByRole('button', { name }).focus()
      await page.keyboard.press('Enter')
    }
    await press('Circle')
    await press('Add middle')
    await field('Radius').focus()
    await page.keyboard.press('Control+A')
    await page.keyboard.type('750')
    await page.keyboard.press('Enter')
    await expect.poll(names).toEqual(['Depot', 'Round', 'Yard'])
    expect((await stored()).find(({ name }) => name === 'Round')!.shape).toMatchObject({ radiusM: 750 })
  })

  test('rules are changed, and what the form does not show stays', async () => {
    await page.getByRole('option').filter({ hasText: 'Round' }).click()
    await details().getByLabel('Leaving').uncheck()
    await field('Staying for').fill('2.5')
    await details().locator('.more summary').first().click()
    await details().getByRole('button', { name: 'Only at certain times' }).click()
    await keepPicture(page, 'test-geofence-rules')
    await save()
    await expect
      .poll(() => page.getByRole('option').filter({ hasText: 'Round' }).textContent())
      .toMatch(/enter, 2 min 30 s inside; only Mo–Fr 08:00–18:00/)
    const { rules } = (await stored()).find(({ name }) => name === 'Round')!
    expect(rules).toMatchObject([{ enter: true, exit: false, dwellS: 150, debounceFixes: 1 }])
  })

  test('a geofence is deleted by two presses', async () => {
    await page.getByRole('option').filter({ hasText: 'Round' }).click()
    await page.getByRole('button', { name: 'Delete', exact: true }).click()
    await page.getByRole('button', { name: 'Press again to delete' }).click()
    await expect.poll(names).toEqual(['Depot', 'Yard'])
  })

  test('events come live, with their names, and corrections are shown as such', async () => {
    await page.getByRole('link', { name: 'Live' }).click()
    await page.locator('[data-status=live]').waitFor()
    await page.getByRole('tab', { name: 'Events' }).click()
    await page.getByText(/^No events in the last 31 days/).waitFor()
    // The geofence watches from when it was made.
    const startMs = Date.now() - 4 * SECOND_MS
    await drive(-97.746, startMs)
    await drive(-97.7402, startMs + 2 * SECOND_MS)
    const rows = page.getByRole('listbox', { name: 'Events' }).locator('.row:visible')
    await expect
      .poll(() => rows.allTextContents())
      .toEqual([expect.stringMatching(/^Bus 1entered Depot\d+ s ago$/)])
    // What came late says that it was inside earlier.
    await drive(-97.7404, startMs + SECOND_MS)
    await expect
      .poll(() => rows.allTextContents())
      .toEqual([
        expect.stringMatching(/^Bus 1entered Depot\d+ s agoReplaced by a correction$/),
        expect.stringMatching(/^Bus 1entered Depot\d+ s agoCorrected$/),
      ])
    await drive(-97.745, startMs + 3 * SECOND_MS)
    await expect.poll(() => rows.first().textContent()).toMatch(/^Bus 1left Depot/)
    await keepPicture(page, 'test-events')
  })

  test('events are filtered by type, come back from storage, and lead to their place', async () => {
    const rows = page.getByRole('listbox', { name: 'Events' }).locator('.row:visible')
    await page.reload()
    await page.getByRole('tab', { name: 'Events' }).click()
    await expect.poll(() => rows.count()).toBe(3)
    await page.getByLabel('Show events of').selectOption({ label: 'Left' })
    await expect.poll(() => rows.count()).toBe(1)
    await page.getByLabel('Show events of').selectOption({ label: 'Too fast' })
    await page.getByText(/^No event of this kind/).waitFor()
    await page.getByLabel('Show events of').selectOption({ label: 'All events' })
    await rows.first().click()
    expect(await rows.first().getAttribute('aria-selected')).toBe('true')
    await expect
      .poll(() => page.locator('.maplibregl-ctrl-scale').textContent())
      .toMatch(/^(100|200|300)\sm$/)
    await keepPicture(page, 'test-event-place')
  })

  test('on a phone the form is below the map, and nothing runs off the side', async () => {
    await page.setViewportSize(PHONE)
    await page.getByRole('link', { name: 'Geofences' }).click()
    await page.getByRole('option').filter({ hasText: 'Depot' }).click()
    await field('Radius').waitFor()
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(PHONE.width)
    await keepPicture(page, 'test-phone-geofence')
    await page.getByRole('button', { name: 'Close the geofence' }).click()
    await page.setViewportSize(DESKTOP)
  })

  test('a viewer sees geofences and no way to change them', async () => {
    await page.getByRole('button', { name: 'Sign out' }).click()
    await signIn(VIEWER)
    await expect.poll(names).toEqual(['Depot', 'Yard'])
    expect(await page.getByRole('button', { name: 'New', exact: true }).isVisible()).toBe(false)
    await page.getByRole('option').filter({ hasText: 'Depot' }).click()
    await expect
      .poll(() => details().textContent())
      .toMatch(/Circle, 400 m.*Every vehicle.*1 min 30 s inside/)
    expect(await details().locator('input').count()).toBe(0)
  })

  test('the page complained about nothing but the shape that was refused', () => {
    expect(browser.complaints.filter((words) => !/422/.test(words))).toEqual([])
  })
})
