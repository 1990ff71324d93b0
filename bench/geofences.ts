/** Geofences: in which of them each position is, how long an index takes to build, and a change to be in force. */
import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { booleanPointInPolygon, distance, point, polygon } from '@turf/turf'
import Flatbush from 'flatbush'
import { Piscina } from 'piscina'
import { fenceIds } from '../geofence/index/fence-ids.ts'
import { FenceIndex, type FenceIndexData } from '../geofence/index/fence-index.ts'
import { beltsLength } from '../geofence/index/fence-index-belts.ts'
import { FenceMap } from '../geofence/index/fence-map.ts'
import { containsAt, KIND } from '../geofence/shapes/geometry.ts'
import { ORGANIZATION, positions } from './geofence-fences.ts'
import type { BuildTask, Built } from './geofences-thread.ts'
import { figure, percentile, type Summary, spread, times, unitsPerProcessorSecond } from './measure.ts'
import type { Question, Row } from './question.ts'

/** A thousand a town, and at last as many in few towns. */
const MIXES = [
  { count: 1000, towns: 1 },
  { count: 10_000, towns: 10 },
  { count: 100_000, towns: 100 },
  { count: 1_000_000, towns: 1000 },
  { count: 1_000_000, towns: 40 },
]
const COUNT_MAX = 1_000_000
const SIMPLE_COUNT = 100_000
/** A loop over more would not come to an end. */
const LOOP_COUNT = 10_000
const WORKER = new URL('./geofences-thread.js', import.meta.url)
/** Positions between two looks at the clock. */
const SLICE = 500
const LOOP_SLICE = 4
const CHANGE_EVERY_MS = 100

export const geofences: Question = {
  name: 'geofences',
  title: 'In which geofences is a position, and what do a million of them cost?',
  method:
    'One thread looks positions up in the geofences of one organisation. A town has 1,000 of them: 300 circles of 60 m round ' +
    'stops of Austin’s buses and 100 zones of Washington (4 to 250 vertices), each any of the real ones and, but for the first town, turned ' +
    'and scaled by a tenth with all others of the town; 120 circles of 30 to 150 m; 474 parcels and yards of 15 to 200 m (5 to 12 vertices) and six ' +
    'districts of 1.2 to 4.8 km (100 to 200 vertices), made at random. There are as many towns as thousands of geofences, so that a ' +
    'position lies in about as many with any number of them; the last row has 40 towns for a million. Positions are 200,000: ' +
    'packets of five fixes half a minute apart, of any of Austin’s buses at any time of 25 November 2016, in any town. ' +
    'Seconds are those of processor time. Yardsticks over the same geofences, whose answers have to be the same: a flatbush of their ' +
    'bounds searched for the position with our exact test and the organisation as its filter, and a loop with turf over all of them. ' +
    'Indexes are built by a thread, shapes made and checked as well; bytes are all ' +
    'that an index has. While the largest is built another thread builds what replaces one changed geofence, over and over.',
  measure: async (bench) => {
    const pool = new Piscina({ filename: WORKER.href, name: 'run', minThreads: 2, maxThreads: 2 })
    bench.defer(() => pool.destroy())
    const rows: Row[] = []
    let ofFirst = 0
    let changes: Float64Array | undefined
    for (const { count, towns } of MIXES) {
      bench.progress(`geofences: building ${count} in ${towns} towns`)
      const places = positions(towns)
      const task: BuildTask = { type: 'towns', count, towns }
      const building = pool.run(task) as Promise<Built>
      if (count === COUNT_MAX) changes ??= await changeWhile(building, pool, places)
      const built = await building
      bench.progress(`geofences: looking up in ${count} in ${towns} towns`)
      const measured = measureLookUps(built, count, towns, places)
      ofFirst ||= measured.perSecond.mean
      rows.push(rowOf(measured, ofFirst))
    }
    rows.push(changeRow(changes!))
    const simple = (await pool.run({ type: 'simple', count: SIMPLE_COUNT } satisfies BuildTask)) as Built
    rows.push(simpleRow(bytesOf(simple.data) / SIMPLE_COUNT))
    return rows
  },
}

function measureLookUps(built: Built, count: number, towns: number, places: Float64Array): Measured {
  const { data } = built
  const lookUp = lookUpOf(data, places)
  const yardstick = flatbushOf(data, places)
  return {
    count,
    towns,
    built,
    found: sameFound(lookUp, yardstick, places),
    bytes: bytesOf(data) / count,
    perSecond: unitsPerProcessorSecond(() => lookUp.slice()),
    byFlatbush: unitsPerProcessorSecond(() => yardstick.slice()),
    byLoop: count === LOOP_COUNT ? unitsPerProcessorSecond(turfLoop(data, places)) : undefined,
  }
}

interface Measured {
  readonly count: number
  readonly towns: number
  readonly built: Built
  readonly perSecond: Summary
  readonly byFlatbush: Summary
  readonly byLoop: Summary | undefined
  readonly found: number
  readonly bytes: number
}

function rowOf(measured: Measured, ofFirst: number): Row {
  const { count, towns, built, perSecond, byFlatbush, byLoop, found, bytes } = measured
  const loop = byLoop === undefined ? '' : `, ${times(perSecond.mean / byLoop.mean)} a loop with turf`
  const where = towns === 1 ? 'a town' : `${towns.toLocaleString('en-US')} towns`
  return {
    name: `${count.toLocaleString('en-US')} in ${where}`,
    cells: {
      'positions/s': spread(perSecond),
      'of 1,000': times(perSecond.mean / ofFirst),
      'of flatbush': times(perSecond.mean / byFlatbush.mean),
      'of turf': byLoop === undefined ? '–' : times(perSecond.mean / byLoop.mean),
      'found a position': figure(found),
      'bytes a geofence': figure(bytes),
      'built in': `${figure(built.seconds)} s`,
      'user time': `${figure(built.userSeconds)} s`,
      'in force after': '–',
    },
    meaning:
      `One thread looks ${figure(perSecond.mean)} positions a second up in ${count.toLocaleString('en-US')} geofences of ${where}: ` +
      `${times(perSecond.mean / byFlatbush.mean)} flatbush${loop}. Load average ${figure(loadavg()[0]!)} (1 minute).`,
  }
}

function changeRow(changes: Float64Array): Row {
  return {
    name: 'a change meanwhile',
    cells: { 'in force after': `${figure(percentile(changes, 0.5))} ms` },
    meaning:
      `A changed geofence was built anew and in force after ${figure(percentile(changes, 0.5))} ms (median of ${changes.length}; ` +
      `longest ${figure(percentile(changes, 1))} ms) while another thread built ${COUNT_MAX.toLocaleString('en-US')}.`,
  }
}

function simpleRow(bytes: number): Row {
  return {
    name: 'simple ones',
    cells: { 'bytes a geofence': figure(bytes) },
    meaning: `A circle or a polygon of eight vertices takes ${figure(bytes)} bytes, half of ${SIMPLE_COUNT.toLocaleString('en-US')} being either.`,
  }
}

/** Looks positions up, one after the other. */
interface LookUp {
  /** @returns how many ids the position was found in. */
  at(position: number): number
  /** Goes on with the next SLICE positions. */
  slice(): number
}

function lookUpBy(places: Float64Array, find: (latitudeDeg: number, longitudeDeg: number) => number): LookUp {
  const count = places.length / 2
  let next = 0
  const at = (position: number) => find(places[2 * position]!, places[2 * position + 1]!)
  return {
    at,
    slice: () => {
      for (let i = 0; i < SLICE; i++) {
        at(next)
        next = next + 1 === count ? 0 : next + 1
      }
      return SLICE
    },
  }
}

function lookUpOf(data: FenceIndexData, places: Float64Array): LookUp {
  const index = new FenceIndex(data)
  const found = fenceIds()
  return lookUpBy(places, (latitudeDeg, longitudeDeg) => {
    found.length = 0
    index.inside(ORGANIZATION, latitudeDeg, longitudeDeg, found)
    return found.length
  })
}

function flatbushOf({ numbers, count }: FenceIndexData, places: Float64Array): LookUp {
  const tree = new Flatbush(count)
  const starts = Int32Array.from(regionStarts(numbers))
  const organizations = new Int32Array(count).fill(ORGANIZATION)
  for (const start of starts) {
    tree.add(numbers[start + 2]!, numbers[start + 3]!, numbers[start + 4]!, numbers[start + 5]!)
  }
  tree.finish()
  let [x, y] = [0, 0]
  const contains = (item: number) =>
    organizations[item] === ORGANIZATION && containsAt(numbers, starts[item]!, y, x)
  return lookUpBy(places, (latitudeDeg, longitudeDeg) => {
    x = longitudeDeg
    y = latitudeDeg
    return tree.search(x, y, x, y, contains).length
  })
}

/** Where the regions begin: each comes after the id, and has its length as its second number; then its belts. */
function regionStarts(numbers: Float64Array): number[] {
  const starts: number[] = []
  for (let at = 1; at < numbers.length; at += numbers[at + 1]! + beltsLength(numbers, at) + 1) starts.push(at)
  return starts
}

/** A loop over all geofences; polygons here have one polygon. */
function turfLoop({ numbers }: FenceIndexData, places: Float64Array): () => number {
  const tests = regionStarts(numbers).map((start) => {
    const body = start + 6
    if (numbers[start] === KIND.circle) {
      const center = point([numbers[body + 1]!, numbers[body]!])
      const radiusM = numbers[body + 2]!
      return (place: GeoJSON.Feature<GeoJSON.Point>) =>
        distance(center, place, { units: 'meters' }) <= radiusM
    }
    const rings: number[][][] = []
    let at = body + 7
    for (let ring = 0; ring < numbers[body + 6]!; ring++) {
      const positionCount = numbers[at]!
      rings.push(
        Array.from({ length: positionCount }, (_, i) => [numbers[at + 1 + 2 * i]!, numbers[at + 2 + 2 * i]!]),
      )
      at += 1 + 2 * positionCount
    }
    const shape = polygon(rings)
    return (place: GeoJSON.Feature<GeoJSON.Point>) => booleanPointInPolygon(place, shape)
  })
  let next = 0
  return () => {
    for (let i = 0; i < LOOP_SLICE; i++) {
      const place = point([places[2 * next + 1]!, places[2 * next]!])
      for (const contains of tests) contains(place)
      // Some way on: the few that are tested shall be of many towns.
      next = (next + 997) % (places.length / 2)
    }
    return LOOP_SLICE
  }
}

/** @returns geofences that were found a position. @throws Error if two ways differ. */
function sameFound(one: LookUp, other: LookUp, places: Float64Array): number {
  let sum = 0
  for (let position = 0; position < places.length / 2; position++) {
    const found = one.at(position)
    if (found !== other.at(position)) throw new Error(`position ${position} was found in ${found} geofences`)
    sum += found
  }
  return sum / (places.length / 2)
}

/** ms from a change to the first look-up that finds it, again and again until the large index is there. */
async function changeWhile(
  building: Promise<Built>,
  pool: Piscina,
  places: Float64Array,
): Promise<Float64Array<ArrayBuffer>> {
  const map = new FenceMap()
  const found = fenceIds()
  const tookMs: number[] = []
  let built = false
  void building.then(() => {
    built = true
  })
  for (let position = 0; !built; position++) {
    const [latitudeDeg, longitudeDeg] = [places[2 * position]!, places[2 * position + 1]!]
    const id = position + 1
    const startMs = performance.now()
    const task: BuildTask = { type: 'changed', id, latitudeDeg, longitudeDeg }
    const { data } = (await pool.run(task)) as Built
    map.apply({ delta: data, gone: Int32Array.of(id), termsFrom: 0, terms: [] })
    map.inside(ORGANIZATION, latitudeDeg, longitudeDeg, found)
    tookMs.push(performance.now() - startMs)
    if (found.ids[0] !== id) throw new Error('a changed geofence was not found where it is now')
    await sleep(CHANGE_EVERY_MS)
  }
  return Float64Array.from(tookMs)
}

function bytesOf(data: FenceIndexData): number {
  return Object.values(data).reduce<number>(
    (sum, part) => sum + (typeof part === 'number' ? 0 : part.byteLength),
    0,
  )
}
