/** The whole track of the chosen vehicle in the range. */
import type { Vehicle } from '../fleet/fleet.ts'
import { type Session, wordsOf } from '../wire/session.ts'
import { readTrack, type TrackRead } from './history.ts'
import type { ReplayView } from './replay-view.ts'

export type TrackShown =
  | { readonly kind: 'loading' }
  /** `detail` is fit to be shown. */
  | { readonly kind: 'failed'; readonly detail: string }
  | ({ readonly kind: 'loaded' } & TrackRead)

export class TrackReader {
  readonly #session: Session
  readonly #onChange: (shown: TrackShown) => void
  /** Counts readings, so that a late answer to a former one is passed over. */
  #generation = 0

  constructor(session: Session, onChange: (shown: TrackShown) => void) {
    this.#session = session
    this.#onChange = onChange
  }

  /** Reads the track of a vehicle in the range of a view; null forgets the former one. */
  load(vehicle: Vehicle | null, view: ReplayView): void {
    const generation = ++this.#generation
    if (vehicle === null) {
      this.#onChange({ kind: 'loaded', track: [], exact: true })
      return
    }
    this.#onChange({ kind: 'loading' })
    readTrack(this.#session, vehicle.id, view).then(
      (read) => {
        if (generation === this.#generation) this.#onChange({ kind: 'loaded', ...read })
      },
      (error: unknown) => {
        if (generation === this.#generation) this.#onChange({ kind: 'failed', detail: wordsOf(error) })
      },
    )
  }
}
