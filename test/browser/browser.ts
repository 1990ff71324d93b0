/** A Chromium without a screen that cannot leave this machine, and what a test sees of its pages. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
  type PageScreenshotOptions,
} from 'playwright-core'

const SCREENSHOTS = new URL('../../test-results/', import.meta.url)

const ARGUMENTS = [
  // Tests run as root in containers.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // WebGL on the processor.
  '--use-angle=swiftshader',
  '--enable-unsafe-swiftshader',
  // What is asked for elsewhere must fail, and show up as asked for.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
]

/** Path of the browser: `CHROMIUM_PATH`, or where distributions put it; undefined if there is none. */
export function browserPath(): string | undefined {
  const given = process.env.CHROMIUM_PATH
  return [
    ...(given ? [given] : []),
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
  ].find(existsSync)
}

/** One browser with a profile of its own, and all that its pages asked for and complained about. */
export interface TestBrowser {
  readonly context: BrowserContext
  readonly page: Page
  /** URLs of all requests and WebSockets. */
  readonly asked: readonly string[]
  /** Errors and warnings of the console, and exceptions that no one caught. */
  readonly complaints: string[]
  close(): Promise<void>
}

export async function openBrowser(options: BrowserContextOptions): Promise<TestBrowser> {
  const profile = await mkdtemp(join(tmpdir(), 'fleetflow-browser-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: browserPath()!,
    headless: true,
    args: ARGUMENTS,
    ...options,
  })
  const asked: string[] = []
  const complaints: string[] = []
  const page = context.pages()[0]!
  context.on('request', (request) => asked.push(request.url()))
  page.on('websocket', (socket) => asked.push(socket.url()))
  page.on('console', (message) => {
    // Software graphics are slow to be read back for a screenshot, and say so.
    if (message.text().includes('GPU stall due to ReadPixels')) return
    if (message.type() === 'error' || message.type() === 'warning') {
      complaints.push(`${message.text()} (${message.location().url})`)
    }
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  return {
    context,
    page,
    asked,
    complaints,
    close: async () => {
      await context.close()
      await rm(profile, { recursive: true, force: true })
    },
  }
}

/** Keeps a picture of the page in test-results/ for people to look at. */
export async function keepPicture(page: Page, name: string): Promise<void> {
  await mkdir(SCREENSHOTS, { recursive: true })
  await page.screenshot({ path: new URL(`${name}.png`, SCREENSHOTS).pathname })
}

/** A rectangle, CSS px. */
export type Clip = NonNullable<PageScreenshotOptions['clip']>

/** Pixels of one colour on a part of the page. */
export interface ColourSpot {
  readonly pixels: number
  /** Middle of the pixels, CSS px from the left and the top of the part; NaN without any. */
  readonly x: number
  readonly y: number
}

/**
 * Looks for a colour (`#rrggbb`, a little tolerance) in what is really drawn.
 * @param clip Part of the page, CSS px.
 */
export async function findColour(page: Page, clip: Clip, colour: string): Promise<ColourSpot> {
  const picture = await page.screenshot({ clip })
  return page.evaluate(
    async ({ png, wanted }) => {
      const bytes = Uint8Array.from(atob(png), (character) => character.charCodeAt(0))
      const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }))
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d')!
      context.drawImage(bitmap, 0, 0)
      const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height)
      const rgb = [1, 3, 5].map((at) => Number.parseInt(wanted.slice(at, at + 2), 16))
      let [pixels, x, y] = [0, 0, 0]
      for (let at = 0; at < data.length; at += 4) {
        if (rgb.some((value, i) => Math.abs(data[at + i]! - value) > 6)) continue
        pixels++
        x += (at / 4) % bitmap.width
        y += Math.floor(at / 4 / bitmap.width)
      }
      const scale = devicePixelRatio
      return { pixels, x: x / pixels / scale, y: y / pixels / scale }
    },
    { png: picture.toString('base64'), wanted: colour },
  )
}
