/** Geofences and their rules in words. */
import type { GeofenceRule, GeofenceShape } from '../../../schemas/geofence.ts'
import { formatCount, formatDistance, formatDuration, formatSpeed } from '../ui/format.ts'
import { RequestError } from '../wire/session.ts'
import { distanceM } from './outline.ts'

/** What someone who draws can do about a refusal; the API counts rings and vertices, which nobody sees here. */
const REFUSALS: Readonly<Record<string, string>> = {
  'shape-self-crossing': 'The edges of the area cross each other. Move its corners until none do.',
  'shape-zero-area': 'The area is empty: its corners lie on one line. Move one of them away.',
  'shape-line-short': 'The corridor has no length. Give it two different places.',
  'shape-too-wide': 'The shape reaches around half the world. Draw a smaller one.',
}

const DAYS = ['Mo', 'Tu', 'We', 'Th', 'Fr', 'Sa', 'Su']

/** `Circle, 120 m`, `Area, 8 corners`, `Corridor, 200 m wide, 12.3 km`. */
export function shapeWords(shape: GeofenceShape): string {
  if (shape.type === 'Circle') return `Circle, ${formatDistance(shape.radiusM)}`
  if (shape.type === 'Corridor') {
    const lengthM = shape.coordinates
      .slice(1)
      .reduce((sum, place, index) => sum + distanceM(shape.coordinates[index]!, place), 0)
    return `Corridor, ${formatDistance(2 * shape.halfWidthM)} wide, ${formatDistance(lengthM)}`
  }
  const parts = shape.type === 'Polygon' ? [shape.coordinates] : shape.coordinates
  const corners = parts.flat().reduce((sum, ring) => sum + ring.length - 1, 0)
  const words = `${formatCount(corners)} corners`
  return parts.length === 1 ? `Area, ${words}` : `${parts.length} areas, ${words}`
}

/** What makes events, in few words: `enter, leave, 5 min inside`. */
export function ruleWords(rule: GeofenceRule): string {
  const { dwellS, absenceS, speedLimitKmh, insideBy } = rule
  const parts = [
    ...(rule.enter ? ['enter'] : []),
    ...(rule.exit ? ['leave'] : []),
    ...(dwellS === null ? [] : [`${formatDuration(dwellS)} inside`]),
    ...(absenceS === null ? [] : [`${formatDuration(absenceS)} away`]),
    ...(speedLimitKmh === null ? [] : [`over ${formatSpeed(speedLimitKmh)}`]),
    ...(insideBy === null ? [] : [`inside by ${insideBy.time} ${dayWords(insideBy.days)}`]),
  ]
  const times = rule.windows.map(({ days, from, to }) => `${dayWords(days)} ${from}–${to}`).join(', ')
  const what = parts.length === 0 ? 'no events' : parts.join(', ')
  return times === '' ? what : `${what}; only ${times}`
}

/** Why something was not saved, in words for who drew it. */
export function refusalWords(error: unknown): string {
  if (!(error instanceof RequestError)) return 'The page failed. Load it again.'
  return REFUSALS[error.code] ?? error.message
}

/** `Mo–Fr`, `Sa Su`, `every day`. */
export function dayWords(days: readonly number[]): string {
  const sorted = [...new Set(days)].sort()
  if (sorted.length === 7) return 'every day'
  const [first, last] = [sorted[0]!, sorted.at(-1)!]
  if (sorted.length > 2 && last - first === sorted.length - 1) return `${DAYS[first - 1]}–${DAYS[last - 1]}`
  return sorted.map((day) => DAYS[day - 1]).join(' ')
}
