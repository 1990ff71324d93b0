/** The last hour of the chosen vehicle: read once from storage, then kept up from the stream. */
import { readLastHour } from '../wire/directory.ts'
import type { Fix } from '../wire/rows.ts'
import { RequestError, type Session } from '../wire/session.ts'
import type { Vehicle } from './fleet.ts'
import type { TrackPoint } from './track.ts'

const HOUR_MS = 3_600_000

/** What is known of the last hour. */
export type LastHour =
  | { readonly kind: 'loading' }
  /** `detail` is fit to be shown. */
  | { readonly kind: 'failed'; readonly detail: string }
  | { readonly kind: 'loaded'; readonly points: readonly TrackPoint[] }

export class LastHourTrack {
  readonly #session: Session
  readonly #onChange: (hour: LastHour) => void
  #points: TrackPoint[] = []
  /** What the stream said while storage was being read. */
  #early: TrackPoint[] = []
  #loaded = false
  /** Counts vehicles, so that a late answer for a former one is passed over. */
  #generation = 0

  constructor(session: Session, onChange: (hour: LastHour) => void) {
    this.#session = session
    this.#onChange = onChange
  }

  /** All but the newest position: the vehicle is drawn on its way from there to the newest. */
  get driven(): readonly TrackPoint[] {
    return this.#points.slice(0, -1)
  }

  /** Reads the last hour of a vehicle; null forgets the former one. */
  load(vehicle: Vehicle | null): void {
    const generation = ++this.#generation
    this.#points = []
    this.#early = []
    this.#loaded = false
    if (vehicle === null) return
    this.#onChange({ kind: 'loading' })
    readLastHour(this.#session, vehicle.id).then(
      (positions) => {
        if (generation !== this.#generation) return
        this.#points = positions.map((position) => ({
          timeMs: Date.parse(position.fixTime),
          latitude: position.latitude!,
          longitude: position.longitude!,
          speedKmh: position.speed,
        }))
        this.#loaded = true
        for (const point of this.#early) this.#append(point)
        this.#onChange({ kind: 'loaded', points: this.#points })
      },
      (error: unknown) => {
        if (generation !== this.#generation) return
        const detail = error instanceof RequestError ? error.message : 'Load the page again.'
        this.#onChange({ kind: 'failed', detail })
      },
    )
  }

  /** Takes a new position of the vehicle from the stream. */
  add(row: Fix): void {
    const point: TrackPoint = {
      timeMs: row.fixTimeMs,
      latitude: row.latitude,
      longitude: row.longitude,
      speedKmh: row.speed,
    }
    if (!this.#loaded) this.#early.push(point)
    else if (this.#append(point)) this.#onChange({ kind: 'loaded', points: this.#points })
  }

  #append(point: TrackPoint): boolean {
    const newest = this.#points.at(-1)
    if (newest !== undefined && point.timeMs <= newest.timeMs) return false
    this.#points.push(point)
    const first = this.#points.findIndex((other) => other.timeMs >= point.timeMs - HOUR_MS)
    this.#points.splice(0, first)
    return true
  }
}
