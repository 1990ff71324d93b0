/** Keeps the names of the fleet up to date: who came, went or was renamed. */
import type { Fleet, Vehicle } from '../fleet/fleet.ts'
import { readDevices } from '../wire/directory.ts'
import { RequestError, type Session } from '../wire/session.ts'

/** After a device that the directory does not name, it is read again at most this often. */
const EVERY_MS = 10_000

export interface DirectoryListener {
  /** Devices have got their names. */
  onNames(): void
  /** Vehicles that the directory does not have any more. */
  onGone(isGone: (vehicle: Vehicle) => boolean): void
  /** It was read to its end. */
  onComplete(): void
  /** `detail` is fit to be shown. */
  onFailure(detail: string): void
}

export class DirectoryReader {
  readonly #session: Session
  readonly #fleet: Fleet
  readonly #listener: DirectoryListener
  #readMs = Number.NEGATIVE_INFINITY
  #timer: ReturnType<typeof setTimeout> | undefined
  #stopped = false

  constructor(session: Session, fleet: Fleet, listener: DirectoryListener) {
    this.#session = session
    this.#fleet = fleet
    this.#listener = listener
  }

  /** Reads the directory, at once or as soon as the last reading is long enough ago. */
  read(): void {
    const waitMs = this.#readMs + EVERY_MS - performance.now()
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined
        this.#readMs = performance.now()
        this.#readNow().catch((error: unknown) => this.#onFailure(error))
      },
      Math.max(0, waitMs),
    )
  }

  /** Reads it at once, whenever it was read last. */
  retry(): void {
    this.#readMs = Number.NEGATIVE_INFINITY
    this.read()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  async #readNow(): Promise<void> {
    const before = new Set(this.#fleet.vehicles)
    const named = new Set<number>()
    const all = await readDevices(this.#session, (devices) => {
      if (this.#stopped) return
      this.#fleet.describe(devices)
      for (const { id, disabled } of devices) if (!disabled) named.add(id)
      this.#listener.onNames()
    })
    if (this.#stopped) return
    if (all) this.#listener.onGone((vehicle) => before.has(vehicle) && !named.has(vehicle.id))
    this.#listener.onComplete()
  }

  #onFailure(error: unknown): void {
    if (this.#stopped || !this.#session.signedIn) return
    this.#listener.onFailure(error instanceof RequestError ? error.message : 'Load the page again.')
  }
}
