/** The geofences that the person may see: read from the API, changed through it. */
import type { Geofence, GeofenceCreate } from '../../../schemas/geofence.ts'
import type { Role } from '../../../schemas/roles.ts'
import { readPages } from '../wire/directory.ts'
import { RequestError, type Session } from '../wire/session.ts'

/** Who may draw; the server has the last word. */
const EDITORS: readonly Role[] = ['super-admin', 'admin', 'manager', 'dispatcher']
const PAGE_GEOFENCES = 100
/** 2,000 geofences: more on one map tell nothing. */
const PAGES_MAX = 20
/** After a geofence that is not known, the list is read again at most this often. */
const EVERY_MS = 10_000

/** What a person fills in. */
export type GeofenceInput = Pick<GeofenceCreate, 'name' | 'shape' | 'timeZone' | 'rules' | 'disabled'>

export type GeofenceState =
  | { readonly kind: 'loading' }
  /** `detail` is fit to be shown. */
  | { readonly kind: 'failed'; readonly detail: string }
  /** `complete`: these are all that there are. */
  | { readonly kind: 'loaded'; readonly complete: boolean }

export class GeofenceStore {
  /** Called when geofences have come, gone or changed, and when the state has. */
  onChange: () => void = () => {}
  readonly #session: Session
  readonly #byId = new Map<number, Geofence>()
  #state: GeofenceState = { kind: 'loading' }
  #readMs = Number.NEGATIVE_INFINITY
  #stopped = false

  constructor(session: Session) {
    this.#session = session
  }

  /** By name. */
  get geofences(): readonly Geofence[] {
    return [...this.#byId.values()].sort((a, b) =>
      a.name.localeCompare(b.name, 'en', { numeric: true, sensitivity: 'base' }),
    )
  }

  get state(): GeofenceState {
    return this.#state
  }

  /** Whether the person may make, change and delete geofences. */
  get editable(): boolean {
    return this.#session.hasRole(EDITORS)
  }

  get(id: number): Geofence | undefined {
    return this.#byId.get(id)
  }

  /** Name of a geofence, which may be deleted by now or be new. */
  nameOf(id: number): string {
    const geofence = this.#byId.get(id)
    if (geofence !== undefined) return geofence.name
    if (this.#state.kind === 'loaded' && performance.now() > this.#readMs + EVERY_MS) this.load()
    return `Geofence ${id}`
  }

  /** Reads them all. */
  load(): void {
    this.#readMs = performance.now()
    this.#load().then(
      () => this.#changed(),
      (error: unknown) => {
        const detail = error instanceof RequestError ? error.message : 'Load the page again.'
        this.#state = { kind: 'failed', detail }
        this.#changed()
      },
    )
  }

  /** No further call of {@link onChange}. */
  stop(): void {
    this.#stopped = true
  }

  /**
   * Makes one.
   * @param organizationId What a super admin makes it for; null = one's own.
   * @throws RequestError
   */
  async create(input: GeofenceInput, organizationId: number | null): Promise<Geofence> {
    const body = organizationId === null ? input : { ...input, organizationId }
    return this.#keep(await this.#session.post<Geofence>('/api/v1/geofences', body))
  }

  /** @throws RequestError */
  async update(id: number, input: Partial<GeofenceInput>): Promise<Geofence> {
    return this.#keep(await this.#session.patch<Geofence>(`/api/v1/geofences/${id}`, input))
  }

  /** @throws RequestError */
  async delete(id: number): Promise<void> {
    await this.#session.delete(`/api/v1/geofences/${id}`)
    this.#byId.delete(id)
    this.#changed()
  }

  async #load(): Promise<void> {
    const found = new Map<number, Geofence>()
    const query = { limit: PAGE_GEOFENCES }
    const complete = await readPages<Geofence>(
      this.#session,
      '/api/v1/geofences',
      query,
      PAGES_MAX,
      (page) => {
        for (const geofence of page) found.set(geofence.id, geofence)
      },
    )
    this.#byId.clear()
    for (const [id, geofence] of found) this.#byId.set(id, geofence)
    this.#state = { kind: 'loaded', complete }
  }

  #keep(geofence: Geofence): Geofence {
    this.#byId.set(geofence.id, geofence)
    this.#changed()
    return geofence
  }

  #changed(): void {
    if (!this.#stopped) this.onChange()
  }
}
