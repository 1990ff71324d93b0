import { expect, test } from 'vitest'
import { inWindows, nextInstant } from './schedule.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/Sao_Paulo',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
  'Africa/Casablanca',
  'Pacific/Apia',
  'Asia/Tehran',
  'America/St_Johns',
  'Pacific/Chatham',
  'Africa/Cairo',
]
const EVERY_DAY = [1, 2, 3, 4, 5, 6, 7]

/** The same numbers in each run. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** What clocks show, by Intl alone. */
function clocks(timeZone: string): (timeMs: number) => number {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' })
  return (timeMs) => Date.parse(`${format.format(timeMs).replace(' ', 'T')}Z`)
}

const weekday = (shownMs: number) => new Date(shownMs).getUTCDay() || 7
const ofTime = (time: string) => Date.parse(`1970-01-01T${time}:00Z`)

/** Looks at every minute from two days before. */
function slowNextInstant(time: string, days: number[], timeZone: string, afterMs: number): number {
  const shown = clocks(timeZone)
  let timeMs = Math.floor(afterMs / MINUTE_MS) * MINUTE_MS - 2 * DAY_MS
  let highest = shown(timeMs)
  for (;;) {
    timeMs += MINUTE_MS
    const now = shown(timeMs)
    if (timeMs > afterMs) {
      for (let day = Math.floor(highest / DAY_MS); day * DAY_MS <= now; day++) {
        const wanted = day * DAY_MS + ofTime(time)
        if (wanted > highest && wanted <= now && days.includes(weekday(wanted))) return timeMs
      }
    }
    highest = Math.max(highest, now)
  }
}

/** Some of the moments at which a zone changes its offset. */
function changes(timeZone: string, year: number): number[] {
  const shown = clocks(timeZone)
  const found: number[] = []
  for (let timeMs = Date.UTC(year, 0, 1); timeMs < Date.UTC(year + 1, 0, 1); timeMs += DAY_MS) {
    const next = timeMs + DAY_MS
    if (shown(timeMs) - timeMs !== shown(next) - next) found.push(timeMs)
  }
  return found
}

test('the next moment is the one that looking at every minute finds', () => {
  const below = numbers(7)
  let nearChanges = 0
  for (let round = 0; round < 120; round++) {
    const timeZone = ZONES[round % ZONES.length]!
    const year = 1980 + below(50)
    const near = changes(timeZone, year)
    const startMs = near.length > 0 ? near[below(near.length)]! : Date.UTC(year, below(12), 1 + below(28))
    if (near.length > 0) nearChanges++
    const afterMs = startMs + below(2 * DAY_MS) - DAY_MS
    // The hours at which zones change mostly.
    const hour = below(2) === 0 ? below(4) : below(24)
    const time = `${String(hour).padStart(2, '0')}:${String(below(4) * 15).padStart(2, '0')}`
    const days = below(3) === 0 ? [1 + below(7)] : EVERY_DAY
    const said = `${time} ${days} in ${timeZone} after ${new Date(afterMs).toISOString()}`
    expect(`${said}: ${new Date(nextInstant({ time, days }, timeZone, afterMs)).toISOString()}`).toBe(
      `${said}: ${new Date(slowNextInstant(time, days, timeZone, afterMs)).toISOString()}`,
    )
  }
  expect(nearChanges).toBeGreaterThan(40)
})

test('a time that clocks leap over is due when they leap', () => {
  const spring = Date.UTC(2026, 2, 28, 12)
  expect(nextInstant({ time: '02:30', days: EVERY_DAY }, 'Europe/Berlin', spring)).toBe(
    Date.UTC(2026, 2, 29, 1),
  )
  expect(nextInstant({ time: '02:30', days: EVERY_DAY }, 'Europe/Berlin', Date.UTC(2026, 2, 29, 1))).toBe(
    Date.UTC(2026, 2, 30, 0, 30),
  )
})

test('a time that clocks show twice is due once, the first time', () => {
  const first = Date.UTC(2026, 9, 25, 0, 30)
  expect(nextInstant({ time: '02:30', days: EVERY_DAY }, 'Europe/Berlin', first - 1)).toBe(first)
  expect(nextInstant({ time: '02:30', days: EVERY_DAY }, 'Europe/Berlin', first)).toBe(
    Date.UTC(2026, 9, 26, 1, 30),
  )
})

test('moments of one rule follow each other without end and without a stop', () => {
  for (const timeZone of ZONES) {
    let timeMs = Date.UTC(2011, 0, 1)
    for (let day = 0; day < 800; day++) {
      const next = nextInstant({ time: '08:00', days: EVERY_DAY }, timeZone, timeMs)
      expect(next - timeMs).toBeGreaterThan(0)
      expect(next - timeMs).toBeLessThanOrEqual(2 * DAY_MS)
      timeMs = next
    }
  }
})

test('windows are judged by what clocks show', () => {
  const below = numbers(3)
  let within = 0
  for (let round = 0; round < 20_000; round++) {
    const timeZone = ZONES[round % ZONES.length]!
    const timeMs = Date.UTC(1980 + below(50), below(12), 1 + below(28)) + below(DAY_MS)
    const time = () => `${String(below(24)).padStart(2, '0')}:${String(below(60)).padStart(2, '0')}`
    const from = time()
    const to = below(10) === 0 ? from : time()
    const days = [1 + below(7), 1 + below(7)]
    const shown = clockOf(timeZone)(timeMs)
    // Both the window that begins on the day and the one that began the day before, as spans.
    const expected = [0, 1].some((daysAgo) => {
      const midnight = Math.floor(shown / DAY_MS) * DAY_MS - daysAgo * DAY_MS
      const start = midnight + ofTime(from)
      const end = midnight + ofTime(to) + (ofTime(to) <= ofTime(from) ? DAY_MS : 0)
      return days.includes(weekday(midnight)) && shown >= start && shown < end
    })
    if (expected) within++
    expect(inWindows(timeMs, timeZone, [{ days, from, to }])).toBe(expected)
  }
  expect(within).toBeGreaterThan(1000)
  expect(inWindows(Date.UTC(2026, 1, 1), 'UTC', [])).toBe(true)
})

const known = new Map<string, (timeMs: number) => number>()
function clockOf(timeZone: string): (timeMs: number) => number {
  let clock = known.get(timeZone)
  if (clock === undefined) {
    clock = clocks(timeZone)
    known.set(timeZone, clock)
  }
  // Intl shows whole seconds.
  return (timeMs) => clock(timeMs) + (timeMs % 1000)
}
