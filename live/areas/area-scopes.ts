/**
 * Subscriptions to areas: finds those that want a row by the cell of its place, and those that its device leaves by the
 * cell of the place before. So a row costs a look-up for each resolution in use, however many subscriptions there are,
 * and nothing to those of other organisations.
 *
 * A device is in an area while its newest place is. A late row is sent where its place is inside, and changes nothing of
 * that.
 *
 * An event is of an area where its place lies inside; one without a place, which a timer made, where its device is. All
 * events of a geofence are of the area of that geofence, so that `exit` is seen, whose place lies outside.
 *
 * Topics of uWebSockets, one a cell, were measured instead: 1,000 sockets with 50 cells each, each row encoded once and
 * published to its cells of the three resolutions in use. A second of 10,000 / 30,000 / 100,000 rows takes 180 / 450 / 1,350
 * ms of processor time; found by this index and gathered into one message a socket and tick 110 / 190 / 370 ms. And
 * topics would send what is in the cell and not in the area, could not say which subscription a row is for, and lose
 * what a slow socket can not take without a word.
 */
import type { GeofenceEvent } from '../../schemas/geofence-event.ts'
import type { LogSegment } from '../log/segment.ts'
import type { Dispatcher, ScopeFilter, ScopeSink } from '../subscriptions/scope-filter.ts'
import type { Area } from './area.ts'
import { placeKey } from './area-cells.ts'
import { AreaIndex } from './area-index.ts'
import { NO_PLACE, PlaceIndex } from './place-index.ts'

/** What is known of devices, by slot. */
export interface Devices {
  /** Organisation that sees the device; 0 or less = none. */
  ownerIn(slot: number): number
  /** Whether the item of the log is the last position of the device. */
  isNewest(slot: number, item: number): boolean
  /** Of all last positions, degrees. */
  places(): Iterable<readonly [slot: number, latitudeDeg: number, longitudeDeg: number]>
}

export class AreaFilter implements ScopeFilter {
  readonly byPlace = true
  readonly deviceCount = 0
  /** Of the user; null = all. */
  readonly organizationId: number | null
  /** Id, if the area is that of a geofence; else 0. */
  readonly geofence: number
  private readonly scopes: AreaScopes
  private area: Area
  private sink: ScopeSink | undefined

  constructor(scopes: AreaScopes, area: Area, organizationId: number | null, geofence: number) {
    this.scopes = scopes
    this.area = area
    this.organizationId = organizationId
    this.geofence = geofence
  }

  /** Looked for when they are gone through. */
  slots(): Iterable<number> {
    return { [Symbol.iterator]: () => this.scopes.places.within(this.area)[Symbol.iterator]() }
  }

  contains(latitudeDeg: number, longitudeDeg: number): boolean {
    return this.area.contains(latitudeDeg, longitudeDeg)
  }

  has(segment: LogSegment, index: number): boolean {
    const { area } = this
    const held = segment.eventAt(index)
    if (held === undefined) {
      return area.contains(segment.batch.latitudeDeg[index]!, segment.batch.longitudeDeg[index]!)
    }
    const { geofence, latitude, longitude } = held.event
    if (geofence === this.geofence) return true
    return latitude === null || longitude === null
      ? this.includes(segment.slots[index]!)
      : area.contains(latitude, longitude)
  }

  includes(slot: number): boolean {
    return this.scopes.places.isWithin(slot, this.area)
  }

  open(sink: ScopeSink): void {
    this.sink = sink
    this.scopes.add(this, this.area)
  }

  close(): void {
    if (this.sink === undefined) return
    this.sink = undefined
    this.scopes.remove(this, this.area)
  }

  /** Puts another area in the place of this one, and tells the sink of the devices that come in by this, or go out. */
  replace(area: Area): void {
    const { places } = this.scopes
    const before = this.area
    this.area = area
    if (this.sink === undefined) return
    this.scopes.remove(this, before)
    this.scopes.add(this, area)
    for (const slot of places.within(before)) if (!places.isWithin(slot, area)) this.sink.left(slot)
    for (const slot of places.within(area)) if (!places.isWithin(slot, before)) this.sink.show(slot)
  }

  /** The geofence is gone. */
  lose(): void {
    this.sink?.fail('unknown-geofence', `geofence ${this.geofence} is gone: the subscription has ended`)
  }

  /** A row or event of the log is in the area. */
  take(item: number): void {
    this.sink?.take(item)
  }

  /** The device in the slot, which was inside, has moved. */
  leaveIfOutside(slot: number): void {
    if (!this.includes(slot)) this.sink?.left(slot)
  }
}

export class AreaScopes implements Dispatcher {
  readonly places = new PlaceIndex()
  private readonly devices: Devices
  /** Open filters by the organisation of their users; null = of those who see every one. */
  private readonly indexes = new Map<number | null, AreaIndex<AreaFilter>>()
  /** By id of a geofence: open filters whose area is that of it. */
  private readonly ofGeofences = new Map<number, Set<AreaFilter>>()

  constructor(devices: Devices) {
    this.devices = devices
  }

  /**
   * @param organizationId Of the user; null = all.
   * @param geofence Id, if the area is that of a geofence.
   */
  filter(area: Area, organizationId: number | null, geofence = 0): AreaFilter {
    return new AreaFilter(this, area, organizationId, geofence)
  }

  /** Ids of the geofences whose areas are watched. */
  geofences(): Iterable<number> {
    return this.ofGeofences.keys()
  }

  /** Those who watch the area of a geofence. */
  filtersOf(geofence: number): AreaFilter[] {
    return [...(this.ofGeofences.get(geofence) ?? [])]
  }

  dispatch(segment: LogSegment, index: number, item: number): void {
    const slot = segment.slots[index]!
    const held = segment.eventAt(index)
    if (held !== undefined) this.dispatchEvent(held.event, item, slot)
    else if (this.devices.isNewest(slot, item)) this.dispatchLast(segment, index, item, slot)
    else this.dispatchLate(segment, index, item, slot)
  }

  restarted(): void {
    for (const [slot, latitudeDeg, longitudeDeg] of this.devices.places()) {
      this.place(slot, latitudeDeg, longitudeDeg)
    }
  }

  /** The last position of a device is here. */
  private place(slot: number, latitudeDeg: number, longitudeDeg: number): void {
    const { places } = this
    const before = places.keyOf(slot)
    const latitudeBefore = places.latitudeDeg(slot)
    const longitudeBefore = places.longitudeDeg(slot)
    places.set(slot, latitudeDeg, longitudeDeg)
    if (before === NO_PLACE) return
    this.each(slot, before, latitudeBefore, longitudeBefore, (filter) => filter.leaveIfOutside(slot))
  }

  add(filter: AreaFilter, area: Area): void {
    const { organizationId, geofence } = filter
    let index = this.indexes.get(organizationId)
    if (index === undefined) {
      index = new AreaIndex()
      this.indexes.set(organizationId, index)
    }
    index.add(filter, area)
    if (geofence === 0) return
    const filters = this.ofGeofences.get(geofence)
    if (filters === undefined) this.ofGeofences.set(geofence, new Set([filter]))
    else filters.add(filter)
  }

  remove(filter: AreaFilter, area: Area): void {
    const { organizationId, geofence } = filter
    const index = this.indexes.get(organizationId)
    index?.remove(filter, area)
    if (index?.empty) this.indexes.delete(organizationId)
    const filters = this.ofGeofences.get(geofence)
    if (filters?.delete(filter) && filters.size === 0) this.ofGeofences.delete(geofence)
  }

  private dispatchLast({ batch }: LogSegment, index: number, item: number, slot: number): void {
    const latitudeDeg = batch.latitudeDeg[index]!
    const longitudeDeg = batch.longitudeDeg[index]!
    this.place(slot, latitudeDeg, longitudeDeg)
    const key = this.places.keyOf(slot)
    this.each(slot, key, latitudeDeg, longitudeDeg, (filter) => filter.take(item))
  }

  private dispatchLate({ batch }: LogSegment, index: number, item: number, slot: number): void {
    if (this.indexes.size === 0) return
    const latitudeDeg = batch.latitudeDeg[index]!
    const longitudeDeg = batch.longitudeDeg[index]!
    const key = placeKey(latitudeDeg, longitudeDeg)
    this.each(slot, key, latitudeDeg, longitudeDeg, (filter) => filter.take(item))
  }

  private dispatchEvent({ geofence, latitude, longitude }: GeofenceEvent, item: number, slot: number): void {
    if (this.indexes.size === 0) return
    for (const filter of this.ofGeofences.get(geofence) ?? []) filter.take(item)
    const visit = (filter: AreaFilter) => {
      if (filter.geofence !== geofence) filter.take(item)
    }
    if (latitude !== null && longitude !== null) {
      this.each(slot, placeKey(latitude, longitude), latitude, longitude, visit)
      return
    }
    const { places } = this
    const key = places.keyOf(slot)
    if (key !== NO_PLACE) this.each(slot, key, places.latitudeDeg(slot), places.longitudeDeg(slot), visit)
  }

  /** Calls `visit` for those who may see the device in the slot and whose area has the place. */
  private each(
    slot: number,
    key: number,
    latitudeDeg: number,
    longitudeDeg: number,
    visit: (filter: AreaFilter) => void,
  ): void {
    const owner = this.devices.ownerIn(slot)
    if (owner <= 0) return
    this.indexes.get(owner)?.find(key, latitudeDeg, longitudeDeg, visit)
    this.indexes.get(null)?.find(key, latitudeDeg, longitudeDeg, visit)
  }
}
