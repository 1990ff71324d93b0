/**
 * Makes the demo's data out of a folder with the recording of Austin's buses: `npm run -s build &&
 * node dist/demo/make-slice.js FOLDER`. SOURCES.md says what the folder holds. Not needed to run the demo.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { beside, leftOfM, Path, type Place, shareAlong, simplify } from '../simulate/geometry.ts'
import { matchToRoute } from '../simulate/route-match.ts'
import { type Fix, parseTracks, routeKey, type VehicleFixes } from '../simulate/tracks.ts'
import { demoFile } from './files.ts'

const DAYS = ['austin-buses-2016-11-25.csv.gz', 'austin-buses-2016-11-24.csv.gz'] as const

/** Local times of the slice of the first day: from, to. */
const SLICE = ['2016-11-25T07:00', '2016-11-25T19:00'] as const

/** Buses are taken for their route's this far from the straight line between two stops, when its bends are sought. */
const BEND_REACH_M = 250

/** One bend at most is drawn for this many metres of route. */
const BEND_STEP_M = 60

/** Fixes that make a bend, and how far apart from one another their middle half may lie. */
const BEND_FIXES_MIN = 2
const BEND_SPREAD_MAX_M = 40

/** What a route's line may be off for simplicity. */
const LINE_TOLERANCE_M = 6

interface Stop extends Place {
  readonly id: string
  readonly name: string
}

interface Table {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

async function main(folder: string | undefined): Promise<void> {
  if (folder === undefined) throw new Error('usage: node dist/demo/make-slice.js FOLDER')
  const text = async (name: string) => gunzipSync(await readFile(join(folder, name))).toString('utf8')

  const days = await Promise.all(DAYS.map(text))
  const slice = sliceOf(days[0]!)
  await writeFile(demoFile('tracks.csv.gz'), gzipSync(slice, { level: 9 }))

  const stops = stopsOf(tableOf(await text('austin-stops-2016.csv.gz')))
  const patterns = patternsOf(tableOf(slice), tableOf(await text('austin-schedule-2016.csv.gz')), stops)
  const recording = days.flatMap(parseTracks)
  const features = [...patterns].map(([key, pattern]) =>
    feature({ kind: 'route', name: nameOf(key), route: key }, 'LineString', lineOf(key, pattern, recording)),
  )
  const served = new Set([...patterns.values()].flat())
  for (const stop of [...served].sort((a, b) => Number(a.id) - Number(b.id))) {
    features.push(feature({ kind: 'stop', name: stop.name }, 'Point', coordinates(stop)))
  }
  const overlay = `{"type":"FeatureCollection","features":[\n${features.join(',\n')}\n]}\n`
  await writeFile(demoFile('overlay.geojson.gz'), gzipSync(overlay, { level: 9 }))
}

/** Rows of the slice with all their columns, sorted by vehicle and time, with a metre's precision, which packs well. */
function sliceOf(csv: string): string {
  const { columns, rows } = tableOf(csv)
  const at = (name: string) => columns.indexOf(name)
  const [vehicle, time, speed] = [at('vehicle_id'), at('timestamp'), at('speed')]
  const [latitude, longitude] = [at('latitude'), at('longitude')]
  const lines = rows
    .filter((row) => row[time]! >= SLICE[0] && row[time]! < SLICE[1])
    .sort((a, b) => Number(a[vehicle]) - Number(b[vehicle]) || Date.parse(a[time]!) - Date.parse(b[time]!))
    .map((row) =>
      row
        .map((field, i) => {
          if (i === speed) return String(Number(Number(field).toFixed(1)))
          return i === latitude || i === longitude ? String(Number(Number(field).toFixed(5))) : field
        })
        .join(','),
    )
  return `${columns.join(',')}\n${lines.join('\n')}\n`
}

/**
 * Stops of each route and direction of the slice, in order: of the stop sequences that its trips have, the longest
 * of those that carry at least a quarter as many rows as the busiest.
 */
function patternsOf(slice: Table, schedule: Table, stops: ReadonlyMap<string, Stop>): Map<string, Stop[]> {
  const [tripAt, stopAt] = [schedule.columns.indexOf('trip_id'), schedule.columns.indexOf('stop_id')]
  const sequences = new Map<string, string[]>()
  for (const row of schedule.rows) {
    const sequence = sequences.get(row[tripAt]!)
    if (sequence === undefined) sequences.set(row[tripAt]!, [row[stopAt]!])
    else sequence.push(row[stopAt]!)
  }
  const at = (name: string) => slice.columns.indexOf(name)
  const rowsOf = new Map<string, Map<string, number>>()
  for (const row of slice.rows) {
    const sequence = sequences.get(row[at('trip_id')]!)?.join(',')
    if (sequence === undefined) continue
    const key = routeKey(row[at('route_id')]!, row[at('trip_headsign')]!)
    const counts = rowsOf.get(key) ?? new Map<string, number>()
    rowsOf.set(key, counts.set(sequence, (counts.get(sequence) ?? 0) + 1))
  }
  const patterns = new Map<string, Stop[]>()
  for (const [key, counts] of [...rowsOf].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))) {
    const busiest = Math.max(...counts.values())
    const candidates = [...counts].filter(([, rows]) => rows >= busiest / 4).map(([ids]) => ids.split(','))
    const longest = candidates.reduce((a, b) => (b.length > a.length ? b : a))
    patterns.set(
      key,
      longest.flatMap((id) => stops.get(id) ?? []),
    )
  }
  return patterns
}

/**
 * Line of a route: from stop to stop, with the bends that its buses were seen to make in between. Fixes are put
 * beside the straight line between two stops, and the median of those of one step is a bend.
 */
function lineOf(key: string, pattern: readonly Stop[], recording: readonly VehicleFixes[]): number[][] {
  const straight = new Path(pattern)
  const seen: { readonly alongM: number; readonly fix: Fix }[] = []
  for (const { fixes } of recording) {
    for (const journey of journeysOf(fixes, key)) {
      matchToRoute(straight, journey, BEND_REACH_M).forEach((alongM, i) => {
        if (!Number.isNaN(alongM)) seen.push({ alongM, fix: journey[i]! })
      })
    }
  }
  const line: Place[] = [pattern[0]!]
  for (let i = 0; i + 1 < pattern.length; i++) {
    const [from, to] = [pattern[i]!, pattern[i + 1]!]
    const [startM, endM] = [straight.distancesM[i]!, straight.distancesM[i + 1]!]
    const steps = Math.floor((endM - startM) / BEND_STEP_M)
    for (let step = 0; step < steps; step++) {
      const [stepM, nextM] = [step, step + 1].map((n) => startM + (n / steps) * (endM - startM)) as [
        number,
        number,
      ]
      const here = seen.filter(({ alongM }) => alongM > stepM && alongM <= nextM).map(({ fix }) => fix)
      const lefts = here.map((fix) => leftOfM(from, to, fix)).sort((a, b) => a - b)
      const quarter = Math.floor(lefts.length / 4)
      if (lefts.length < BEND_FIXES_MIN) continue
      if (lefts[lefts.length - 1 - quarter]! - lefts[quarter]! > BEND_SPREAD_MAX_M) continue
      const shares = here.map((fix) => shareAlong(from, to, fix))
      line.push(beside(from, to, median(shares), median(lefts)))
    }
    line.push(to)
  }
  return simplify(line, LINE_TOLERANCE_M).map(coordinates)
}

function journeysOf(fixes: readonly Fix[], key: string): Fix[][] {
  const journeys = new Map<string, Fix[]>()
  for (const fix of fixes) {
    if (fix.route !== key) continue
    const journey = journeys.get(fix.trip)
    if (journey === undefined) journeys.set(fix.trip, [fix])
    else journey.push(fix)
  }
  return [...journeys.values()]
}

/** `7 7-Duval / Dove Springs-SB` is shown as `7 Duval / Dove Springs SB`. */
function nameOf(key: string): string {
  const [route, ...headsign] = key.split(' ')
  const direction = headsign.join(' ').replace(new RegExp(`^${route}[- ]\\s*`), '')
  return `${route} ${direction.replace(/-(NB|SB|EB|WB|IB|OB)$/, ' $1')}`.trim()
}

function stopsOf({ columns, rows }: Table): Map<string, Stop> {
  const at = (name: string) => columns.indexOf(name)
  return new Map(
    rows.map((row) => [
      row[at('stop_id')]!,
      {
        id: row[at('stop_id')]!,
        name: row[at('stop_name')]!,
        latitudeDeg: Number(row[at('stop_lat')]),
        longitudeDeg: Number(row[at('stop_lon')]),
      },
    ]),
  )
}

/** The recording's tables have no quoted fields. */
function tableOf(csv: string): Table {
  const [head, ...lines] = csv.trimEnd().split('\n')
  return { columns: head!.trimEnd().split(','), rows: lines.map((line) => line.trimEnd().split(',')) }
}

function feature(properties: object, type: string, position: unknown): string {
  return JSON.stringify({ type: 'Feature', properties, geometry: { type, coordinates: position } })
}

/** GeoJSON order, with a metre's precision. */
function coordinates({ longitudeDeg, latitudeDeg }: Place): [number, number] {
  return [Number(longitudeDeg.toFixed(5)), Number(latitudeDeg.toFixed(5))]
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2
}

await main(process.argv[2])
