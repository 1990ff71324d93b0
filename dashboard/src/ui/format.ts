/** Numbers, times and attributes as a person reads them, always with their unit. */

const LOCALE = 'en-GB'
const integer = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 })
const tenths = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 1 })
const fine = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 3 })
const dateTime = new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeStyle: 'medium' })
const clock = new Intl.DateTimeFormat(LOCALE, { hour: '2-digit', minute: '2-digit' })
const day = new Intl.DateTimeFormat(LOCALE, {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
})
const COMPASS = ['N', 'NE', 'E', 'SE', 'S', 'SW', 'W', 'NW'] as const
const NONE = '–'

export function formatCount(count: number): string {
  return integer.format(count)
}

export function formatSpeed(speedKmh: number | null): string {
  return speedKmh === null ? NONE : `${integer.format(speedKmh)} km/h`
}

/** `312° NW`. */
export function formatCourse(courseDeg: number | null): string {
  if (courseDeg === null || Number.isNaN(courseDeg)) return NONE
  const degrees = Math.round(((courseDeg % 360) + 360) % 360) % 360
  return `${degrees}° ${COMPASS[Math.round(degrees / 45) % 8]}`
}

/** `30.26720° N, 97.74310° W`. */
export function formatPlace(latitudeDeg: number, longitudeDeg: number): string {
  const latitude = `${Math.abs(latitudeDeg).toFixed(5)}° ${latitudeDeg < 0 ? 'S' : 'N'}`
  return `${latitude}, ${Math.abs(longitudeDeg).toFixed(5)}° ${longitudeDeg < 0 ? 'W' : 'E'}`
}

export function formatAltitude(altitudeM: number | null): string {
  return altitudeM === null ? NONE : `${integer.format(altitudeM)} m`
}

export function formatDistance(lengthM: number): string {
  return lengthM < 1_000 ? `${integer.format(lengthM)} m` : `${tenths.format(lengthM / 1000)} km`
}

/** `12 s`, `4 min`, `2 h 10 min`, `3 days`. Negative ages count as none. */
export function formatAge(ageMs: number): string {
  const seconds = Math.max(0, Math.round(ageMs / 1000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return minutes % 60 === 0 || hours >= 10 ? `${hours} h` : `${hours} h ${minutes % 60} min`
  return `${integer.format(Math.floor(hours / 24))} days`
}

/** `3 hours`, `45 minutes`, `2 days`: about how long, in words. */
export function formatWait(durationMs: number): string {
  const words = (count: number, unit: string) => `${integer.format(count)} ${unit}${count === 1 ? '' : 's'}`
  const minutes = Math.max(1, Math.round(durationMs / 60_000))
  if (minutes < 60) return words(minutes, 'minute')
  const hours = Math.round(minutes / 60)
  return hours < 48 ? words(hours, 'hour') : words(Math.round(hours / 24), 'day')
}

/** A length of time: `45 s`, `1 min 30 s`, `2 h`, `1 h 30 min`. */
export function formatDuration(lengthS: number): string {
  const parts = [
    [Math.floor(lengthS / 3600), 'h'],
    [Math.floor(lengthS / 60) % 60, 'min'],
    [lengthS % 60, 's'],
  ] as const
  return parts.flatMap(([count, unit]) => (count === 0 ? [] : [`${integer.format(count)} ${unit}`])).join(' ')
}

/** Local date and time to the second. */
export function formatTime(timeMs: number): string {
  return dateTime.format(timeMs)
}

/** Local time to the minute. */
export function formatClock(timeMs: number): string {
  return clock.format(timeMs)
}

/** Local day and time to the minute, without the year. */
export function formatDayTime(timeMs: number): string {
  return day.format(timeMs)
}

interface AttributeForm {
  readonly label: string
  readonly unit?: string
  /** The value is divided by this for the unit shown. */
  readonly per?: number
  /** Words for true and false. */
  readonly words?: readonly [string, string]
}

const YES_NO = ['yes', 'no'] as const

/** Attributes by key, in the order in which they are shown; the keys' own units are those of the position schema. */
const FORMS: Readonly<Record<string, AttributeForm>> = {
  alarm: { label: 'Alarm' },
  ignition: { label: 'Ignition', words: ['on', 'off'] },
  motion: { label: 'Motion sensor', words: ['moving', 'at rest'] },
  door: { label: 'Door', words: ['open', 'closed'] },
  armed: { label: 'Armed', words: YES_NO },
  blocked: { label: 'Engine blocked', words: YES_NO },
  charge: { label: 'Charging', words: YES_NO },
  odometer: { label: 'Odometer', unit: 'km', per: 1000 },
  tripOdometer: { label: 'Trip odometer', unit: 'km', per: 1000 },
  totalDistance: { label: 'Total distance', unit: 'km', per: 1000 },
  distance: { label: 'Distance', unit: 'm' },
  hours: { label: 'Engine hours', unit: 'h', per: 3_600_000 },
  fuel: { label: 'Fuel', unit: 'L' },
  fuelLevel: { label: 'Fuel level', unit: '%' },
  fuelUsed: { label: 'Fuel used', unit: 'L' },
  fuelConsumption: { label: 'Fuel consumption', unit: 'L/h' },
  obdSpeed: { label: 'Speed by OBD', unit: 'km/h' },
  rpm: { label: 'Engine speed', unit: 'rpm' },
  coolantTemp: { label: 'Coolant', unit: '°C' },
  power: { label: 'Supply', unit: 'V' },
  battery: { label: 'Device battery', unit: 'V' },
  batteryLevel: { label: 'Battery level', unit: '%' },
  deviceTemp: { label: 'Device temperature', unit: '°C' },
  driverUniqueId: { label: 'Driver' },
  sat: { label: 'Satellites' },
  hdop: { label: 'HDOP' },
  pdop: { label: 'PDOP' },
  accuracy: { label: 'Accuracy', unit: 'm' },
  rssi: { label: 'Signal (raw)' },
  event: { label: 'Event number' },
}
const ORDER = new Map(Object.keys(FORMS).map((key, index) => [key, index]))
/** Cells and access points that a device heard, by the name of their list. */
const HEARD = [
  ['cellTowers', 'cell', 'cells'],
  ['wifi', 'Wi-Fi', 'Wi-Fi'],
] as const
const TEMPERATURE = /^temp(\d+)$/

/** One attribute as it is shown; `unit` is empty where the protocol's raw value is. */
export interface ShownAttribute {
  readonly key: string
  readonly label: string
  readonly value: string
  readonly unit: string
}

/** All attributes of a position: the known readings first, then the rest by key. */
export function formatAttributes(attributes: Readonly<Record<string, unknown>>): ShownAttribute[] {
  return Object.keys(attributes)
    .sort((a, b) => {
      const order = (ORDER.get(a) ?? ORDER.size) - (ORDER.get(b) ?? ORDER.size)
      return order !== 0 ? order : a.localeCompare(b, LOCALE, { numeric: true })
    })
    .map((key) => formatAttribute(key, attributes[key]))
}

function formatAttribute(key: string, value: unknown): ShownAttribute {
  const sensor = TEMPERATURE.exec(key)?.[1]
  const form: AttributeForm =
    FORMS[key] ?? (sensor === undefined ? { label: key } : { label: `Temperature ${sensor}`, unit: '°C' })
  const { label, unit = '', per = 1, words = YES_NO } = form
  if (typeof value === 'number') {
    const scaled = value / per
    return { key, label, value: (per === 1 ? fine : tenths).format(scaled), unit }
  }
  if (typeof value === 'boolean') return { key, label, value: value ? words[0] : words[1], unit: '' }
  if (key === 'network') return { key, label: 'Network', value: networkWords(value), unit: '' }
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return { key, label, value: text === '' ? NONE : text, unit: '' }
}

/** `1 cell, 3 Wi-Fi` of the cells and access points that a device heard. */
function networkWords(network: unknown): string {
  const lists = (network ?? {}) as Readonly<Record<string, unknown>>
  const words = HEARD.flatMap(([list, one, many]) => {
    const count = Array.isArray(lists[list]) ? lists[list].length : 0
    return count === 0 ? [] : [`${count} ${count === 1 ? one : many}`]
  })
  return words.length > 0 ? words.join(', ') : JSON.stringify(network)
}
