/**
 * Areas of geofences, which follow these: what the database says of a geofence when somebody subscribes to it, and again
 * whenever it is told that it has changed.
 */
import { compileShape, ShapeError } from '../../geofence/shapes/shape.ts'
import { type Area, areaOf } from './area.ts'
import type { AreaFilter, AreaScopes } from './area-scopes.ts'
import type { AreaReader, StoredGeofence } from './area-storage.ts'

/** Payload of a notification that names no geofences, since they are too many. */
export const ALL_GEOFENCES = '*'
/** Geofences that are read at once: a page of the largest is some ten megabytes. */
const PAGE_MAX = 100
const RETRY_MS = 1_000

export interface GeofenceAreasOptions {
  readonly scopes: AreaScopes
  readonly reader: AreaReader
  /** Watched geofences have changed. */
  onChanged(): void
  /** Changed geofences could not be read; it is tried again. */
  onUnread(error: Error): void
}

/** Somebody reads a geofence to subscribe to it. */
interface Reading {
  readers: number
  /** Times that it was told of meanwhile. */
  changes: number
}

export class GeofenceAreas {
  private readonly options: GeofenceAreasOptions
  private readonly readings = new Map<number, Reading>()
  /** Watched ones, which are to be read again. */
  private readonly stale = new Set<number>()
  private refreshing = false
  private retry: NodeJS.Timeout | undefined
  private closed = false

  constructor(options: GeofenceAreasOptions) {
    this.options = options
  }

  /**
   * The filter has to be opened in the turn in which this resolves, or a change might not be heard.
   * @param organizationId Of the user; null = all.
   * @returns undefined if there is no such geofence that the user may see.
   * @throws Error if the database can not be read.
   */
  async filter(id: number, organizationId: number | null): Promise<AreaFilter | undefined> {
    const reading = this.readings.get(id) ?? { readers: 0, changes: 0 }
    this.readings.set(id, reading)
    reading.readers++
    try {
      for (;;) {
        const { changes } = reading
        const [geofence] = await this.options.reader.geofences([id])
        if (reading.changes !== changes) continue
        if (geofence === undefined) return undefined
        if (organizationId !== null && geofence.organizationId !== organizationId) return undefined
        const area = areaOfGeofence(geofence)
        return area && this.options.scopes.filter(area, organizationId, id)
      }
    } finally {
      if (--reading.readers === 0) this.readings.delete(id)
    }
  }

  /** @param payload Of the notification: ids with commas between, or {@link ALL_GEOFENCES}. */
  told(payload: string): void {
    const named = payload === ALL_GEOFENCES ? undefined : new Set(payload.split(',').map(Number))
    for (const [id, reading] of this.readings) if (named?.has(id) ?? true) reading.changes++
    for (const id of this.options.scopes.geofences()) if (named?.has(id) ?? true) this.stale.add(id)
    void this.refresh()
  }

  close(): void {
    this.closed = true
    clearTimeout(this.retry)
  }

  /** One query at a time. */
  private async refresh(): Promise<void> {
    if (this.refreshing || this.closed) return
    this.refreshing = true
    clearTimeout(this.retry)
    try {
      while (this.stale.size > 0) await this.refreshPage([...this.stale].slice(0, PAGE_MAX))
    } catch (error) {
      if (this.closed) return
      this.options.onUnread(error as Error)
      this.retry = setTimeout(() => void this.refresh(), RETRY_MS)
    } finally {
      this.refreshing = false
    }
  }

  private async refreshPage(ids: readonly number[]): Promise<void> {
    for (const id of ids) this.stale.delete(id)
    let geofences: readonly StoredGeofence[]
    try {
      geofences = await this.options.reader.geofences(ids)
    } catch (error) {
      for (const id of ids) this.stale.add(id)
      throw error
    }
    if (this.closed) return
    const found = new Map(geofences.map((geofence) => [geofence.id, geofence]))
    for (const id of ids) {
      const geofence = found.get(id)
      const area = geofence && areaOfGeofence(geofence)
      for (const filter of this.options.scopes.filtersOf(id)) {
        if (area === undefined) filter.lose()
        else filter.replace(area)
      }
    }
    this.options.onChanged()
  }
}

/** Undefined where the table, which others may write as well, has what is no shape. */
function areaOfGeofence({ shape }: StoredGeofence): Area | undefined {
  try {
    return areaOf(compileShape(shape))
  } catch (error) {
    if (error instanceof ShapeError) return undefined
    throw error
  }
}
