/** Share links in a real browser on the whole engine: made by a dispatcher, opened by a stranger. */
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestEngine, type TestEngine } from '../engine.ts'
import { browserPath, keepPicture, openBrowser, type TestBrowser } from './browser.ts'
import { Administrator, PASSWORD, report } from './fleet.ts'

const DISPATCHER = 'dispatcher@share.test'
const DESKTOP = { width: 1440, height: 900 }
const PHONE = { width: 390, height: 844 }
const MINUTE_MS = 60_000

describe.skipIf(browserPath() === undefined)('share links', () => {
  let engine: TestEngine
  let dispatcher: TestBrowser
  let stranger: TestBrowser
  let group: number
  const devices: number[] = []
  let url = ''

  const dialog = () => dispatcher.page.getByRole('dialog')
  const shared = (page: Page) => page.locator('.share-vehicle')

  /** Makes a link in the open dialog. @returns Its address. */
  async function makeLink(delay: string): Promise<string> {
    await dialog().getByLabel('Delay').selectOption(delay)
    await dialog().getByRole('button', { name: 'Make a link' }).click()
    return dialog().getByLabel('The new link').inputValue()
  }

  async function drive(bus: number, minutesAgo: number, speedKmh = 30): Promise<void> {
    await report(engine, `bus-${bus}`, {
      latitude: 30.2 + bus * 0.01,
      longitude: -97.74 - minutesAgo * 0.002,
      timeMs: Date.now() - minutesAgo * MINUTE_MS,
      speedKmh,
      courseDeg: 90,
    })
  }

  beforeAll(async () => {
    engine = await startTestEngine({})
    const administrator = new Administrator(engine)
    await administrator.logIn()
    const organization = await administrator.addOrganization('Share', 'viewer@share.test')
    const user = { organizationId: organization, role: 'dispatcher', password: PASSWORD }
    await administrator.post('/users', { ...user, email: DISPATCHER, name: 'Dispatcher' })
    for (let bus = 1; bus <= 3; bus++) {
      devices.push(await administrator.addDevice(organization, `bus-${bus}`, `Bus ${bus}`))
    }
    const made = await administrator.post<{ id: number }>('/device-groups', {
      organizationId: organization,
      name: 'Night shift',
    })
    group = made.id
    for (const device of devices.slice(1))
      await administrator.put(`/device-groups/${group}/devices/${device}`)
    for (let minutesAgo = 12; minutesAgo >= 0; minutesAgo--) {
      for (const bus of [1, 2, 3]) await drive(bus, minutesAgo)
    }
    dispatcher = await openBrowser({ viewport: DESKTOP, colorScheme: 'dark' })
    stranger = await openBrowser({ viewport: DESKTOP, colorScheme: 'dark' })
    const { page } = dispatcher
    await page.goto(`${engine.apiUrl}/#replay?devices=${devices[0]}`)
    await page.getByLabel('Email').fill(DISPATCHER)
    await page.getByLabel('Password').fill(PASSWORD)
    await page.getByRole('button', { name: 'Sign in' }).click()
  })

  afterAll(async () => {
    await dispatcher?.close()
    await stranger?.close()
    await engine?.stop()
  })

  test('a dispatcher makes a link to a vehicle, and is told it once', async () => {
    const { page } = dispatcher
    await page.locator('.details').getByRole('button', { name: 'Share' }).click()
    expect(await dialog().getByRole('heading').first().textContent()).toBe('Share Bus 1')
    await expect.poll(() => dialog().locator('.share-links').textContent()).toBe('None yet.')
    url = await makeLink('0')
    expect(url).toMatch(new RegExp(`^${engine.apiUrl}/share/[A-Za-z0-9_-]{20,}$`))
    await expect
      .poll(() => dialog().locator('.share-row').allTextContents())
      .toEqual([expect.stringMatching(/^Bus 1until .*, live/)])
    await keepPicture(page, 'test-share-dark-dialog')
    await page.keyboard.press('Escape')
    await dialog().waitFor({ state: 'detached' })
    expect(await page.locator('.details h2').textContent()).toBe('Bus 1')
  })

  test('whoever has the link sees that vehicle live, and nothing else', async () => {
    const { page } = stranger
    await page.goto(url)
    await page.locator('.stream-pill[data-status=live]').waitFor()
    await page.locator('.map[data-drawn-count="1"]').waitFor()
    await expect
      .poll(() => shared(page).allTextContents())
      .toEqual([expect.stringMatching(/^Bus 1Moving, 30 km\/h, \d+ s ago$/)])
    expect(await page.locator('.share-side').textContent()).toMatch(
      /Positions are live\. This link works until .*, for 4 hours more\./,
    )
    await drive(1, 0, 55)
    await expect.poll(() => shared(page).first().textContent()).toMatch(/55 km\/h/)
    expect(await page.locator('nav, input').count()).toBe(0)
    const asked = stranger.asked
      .filter((address) => address.includes('/api/'))
      .map((address) => new URL(address).pathname)
    expect(asked.filter((path) => !path.startsWith('/api/v1/share/') && path !== '/api/v1/stream')).toEqual(
      [],
    )
    await keepPicture(page, 'test-share-dark-page')
  })

  test('a link to a group shows its vehicles, on a phone, too', async () => {
    await dispatcher.page.getByRole('button', { name: 'Group' }).click()
    await dispatcher.page.locator('.who-group').getByRole('button', { name: 'Share' }).click()
    expect(await dialog().getByLabel('The new link').count()).toBe(0)
    const groupUrl = await makeLink('0')
    expect(groupUrl).not.toBe(url)
    await dispatcher.page.keyboard.press('Escape')
    const { page } = stranger
    await page.setViewportSize(PHONE)
    await page.emulateMedia({ colorScheme: 'light' })
    await page.goto(groupUrl)
    await page.locator('.map[data-drawn-count="2"]').waitFor()
    await expect
      .poll(() => shared(page).allTextContents())
      .toEqual([expect.stringContaining('Bus 2'), expect.stringContaining('Bus 3')])
    expect(await page.locator('.top h1').textContent()).toBe('Night shift')
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(PHONE.width)
    await keepPicture(page, 'test-share-light-phone')
    await page.setViewportSize(DESKTOP)
  })

  test('a link with a delay shows what was then, and says so', async () => {
    await dispatcher.page.locator('.who-group').getByRole('button', { name: 'Share' }).click()
    const lateUrl = await makeLink('300')
    await dispatcher.page.keyboard.press('Escape')
    const { page } = stranger
    await page.goto(lateUrl)
    await page.locator('.map[data-drawn-count="2"]').waitFor()
    await expect
      .poll(() => shared(page).first().textContent())
      .toMatch(/^Bus 2Moving, 30 km\/h, [5-6] min ago$/)
    expect(await page.locator('.share-side').textContent()).toContain('Positions are shown 5 minutes late.')
  })

  test('a link that is taken back shows nothing any more', async () => {
    const { page } = stranger
    await page.goto(url)
    await page.locator('.map[data-drawn-count="1"]').waitFor()
    stranger.complaints.length = 0
    await dispatcher.page.goto(`${engine.apiUrl}/#replay?devices=${devices[0]}`)
    await dispatcher.page.locator('.details').getByRole('button', { name: 'Share' }).click()
    await dialog().getByRole('button', { name: 'Take back the link Bus 1' }).click()
    await expect.poll(() => dialog().locator('.share-links').textContent()).toBe('None yet.')
    await page.getByRole('heading', { name: 'This link does not work any more' }).waitFor()
    expect(await page.locator('.map').count()).toBe(0)
    await keepPicture(page, 'test-share-light-over')
    await page.reload()
    await page.getByRole('heading', { name: 'This link does not work any more' }).waitFor()
    // The browser says itself that the link is not there.
    expect(stranger.complaints.filter((words) => !words.includes('404'))).toEqual([])
  })

  test('the pages complained about nothing else', () => {
    expect(dispatcher.complaints).toEqual([])
  })
})
