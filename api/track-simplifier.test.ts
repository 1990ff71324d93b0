import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TrackSimplifier } from './track-simplifier.ts'

const RADIUS_M = 6_371_008.8
const RADIANS = Math.PI / 180

interface Place {
  readonly latitudeDeg: number
  readonly longitudeDeg: number
}

function simplified(track: readonly Place[], toleranceM: number): number[] {
  const simplifier = new TrackSimplifier<Place>(toleranceM)
  const kept = track.flatMap((fix) => simplifier.push(fix) ?? [])
  kept.push(...[simplifier.end() ?? []].flat())
  return kept.map((fix) => track.indexOf(fix))
}

type Vector = readonly [number, number, number]

function vector({ latitudeDeg, longitudeDeg }: Place): Vector {
  const cos = Math.cos(latitudeDeg * RADIANS)
  return [
    cos * Math.cos(longitudeDeg * RADIANS),
    cos * Math.sin(longitudeDeg * RADIANS),
    Math.sin(latitudeDeg * RADIANS),
  ]
}
const cross = (a: Vector, b: Vector): Vector => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
]
const dot = (a: Vector, b: Vector) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
const minus = (a: Vector, b: Vector): Vector => [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
const norm = (a: Vector) => Math.hypot(...a)
const angle = (a: Vector, b: Vector) => 2 * Math.asin(Math.min(1, norm(minus(a, b)) / 2))

/** From a place to the segment of a great circle, m, by vectors and not by angles as the code under test. */
function distanceM(place: Place, from: Place, to: Place): number {
  const [p, a, b] = [vector(place), vector(from), vector(to)]
  const ends = Math.min(angle(p, a), angle(p, b))
  // In differences, since the product of two near unit vectors has lost most of its digits.
  const normal = cross(a, minus(b, a))
  if (norm(normal) === 0) return ends * RADIUS_M
  const beside = dot(cross(normal, a), minus(p, a)) >= 0 && dot(cross(normal, b), minus(p, b)) <= 0
  const across = Math.abs(Math.asin(dot(normal, minus(p, a)) / norm(normal)))
  return RADIUS_M * (beside ? Math.min(across, ends) : ends)
}

/** Furthest that a fix is from the segment between the kept ones around it, m. */
function errorM(track: readonly Place[], kept: readonly number[]): number {
  let worst = 0
  for (let k = 1; k < kept.length; k++) {
    for (let i = kept[k - 1]! + 1; i < kept[k]!; i++) {
      worst = Math.max(worst, distanceM(track[i]!, track[kept[k - 1]!]!, track[kept[k]!]!))
    }
  }
  return worst
}

/** Seeded, so that a fault comes back. */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Drives, stands, turns back, jumps: `count` fixes with steps around `stepM`. */
function drive(seed: number, count: number, start: Place, stepM: number): Place[] {
  const random = randomNumbers(seed)
  const track: Place[] = []
  let { latitudeDeg, longitudeDeg } = start
  let course = random() * 360
  let standing = 0
  for (let i = 0; i < count; i++) {
    if (standing > 0) standing--
    else if (random() < 0.03) standing = Math.floor(random() * 30)
    course += (random() - 0.5) * (random() < 0.05 ? 360 : 10)
    const stepDeg =
      ((standing > 0 ? random() * 3 : stepM * 2 * random()) / RADIUS_M / RADIANS) *
      (random() < 0.002 ? 500 : 1)
    latitudeDeg = Math.max(-90, Math.min(90, latitudeDeg + stepDeg * Math.cos(course * RADIANS)))
    longitudeDeg += (stepDeg * Math.sin(course * RADIANS)) / Math.max(0.01, Math.cos(latitudeDeg * RADIANS))
    longitudeDeg = ((((longitudeDeg + 180) % 360) + 360) % 360) - 180
    track.push({ latitudeDeg, longitudeDeg })
  }
  return track
}

describe('a simplified track', () => {
  it('has no fix further than the tolerance from the segment that stands for it', () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.integer({ min: 1, max: 2 ** 31 }),
          latitudeDeg: fc.double({ min: -89.9, max: 89.9, noNaN: true }),
          longitudeDeg: fc.double({ min: -180, max: 180, noNaN: true }),
          stepM: fc.double({ min: 0.5, max: 50_000, noNaN: true }),
          toleranceM: fc.double({ min: 0.1, max: 10_000, noNaN: true }),
        }),
        ({ seed, latitudeDeg, longitudeDeg, stepM, toleranceM }) => {
          const track = drive(seed, 300, { latitudeDeg, longitudeDeg }, stepM)
          const kept = simplified(track, toleranceM)
          expect(kept[0]).toBe(0)
          expect(kept.at(-1)).toBe(track.length - 1)
          expect(kept).toEqual([...kept].sort((a, b) => a - b))
          // Rounding of the measure itself, which is of metres on a globe, is far below a micrometre.
          expect(errorM(track, kept)).toBeLessThanOrEqual(toleranceM + 1e-6)
        },
      ),
      { numRuns: 1_000 },
    )
  }, 60_000)

  it('has no fix further than that where places are anywhere on the globe', () => {
    const place = fc.record({
      latitudeDeg: fc.double({ min: -90, max: 90, noNaN: true }),
      longitudeDeg: fc.double({ min: -180, max: 180, noNaN: true }),
    })
    fc.assert(
      fc.property(
        fc.uniqueArray(place, { minLength: 1, maxLength: 30 }),
        fc.double({ min: 1, max: 10_000, noNaN: true }),
        (track, toleranceM) => {
          expect(errorM(track, simplified(track, toleranceM))).toBeLessThanOrEqual(toleranceM + 1e-6)
        },
      ),
    )
  })

  it('of a straight road is its ends, of a stand one place', () => {
    const road = Array.from({ length: 1_000 }, (_, i) => ({ latitudeDeg: 50, longitudeDeg: 10 + i * 1e-4 }))
    // A parallel bends away from the great circle by 15 m over these 7 km.
    expect(simplified(road, 20)).toEqual([0, 999])
    const stand = Array.from({ length: 1_000 }, (_, i) => ({
      latitudeDeg: 50 + ((i * 7) % 10) * 1e-6,
      longitudeDeg: 10,
    }))
    expect(simplified(stand, 5)).toEqual([0, 999])
  })

  it('of a drive has far fewer fixes', () => {
    const track = drive(7, 20_000, { latitudeDeg: 48, longitudeDeg: 11 }, 15)
    expect(simplified(track, 10).length).toBeLessThan(track.length / 5)
  })

  it('of one fix is that fix', () => {
    expect(simplified([{ latitudeDeg: 1, longitudeDeg: 2 }], 10)).toEqual([0])
  })
})
