/**
 * What of the log a subscription gets. Everything of an organisation is one filter for all who ask for it, and has no
 * state. Whoever asks for less has a filter of its own that is _told_ of new items by a {@link Dispatcher}, which finds
 * the subscriptions that want a row by its device or its place: a row costs nothing to those that do not.
 *
 * What is said here of a device is said of its slot in `LastPositions`; a slot means one device for ever. Whether the
 * organisation may see the device is judged by the feed, not here.
 */
import type { StreamErrorCode } from '../../schemas/stream.ts'
import type { LogSegment } from '../log/segment.ts'

/** Where a filter tells its feed what it wants. Of use between `open` and `close`; nothing is sent before the next tick. */
export interface ScopeSink {
  /** The item of that number, which is the newest of the log, is in the scope. */
  take(item: number): void
  /** The device has come into the scope by something else than a row: its last position is sent, if it has one. */
  show(slot: number): void
  /** The device is in the scope no more, and is to be taken off the map. */
  left(slot: number): void
  /** There is no such scope any more: the subscription ends with an error. */
  fail(code: StreamErrorCode, detail: string): void
}

export interface ScopeFilter {
  /** Slots of the devices that are in the scope now, in any order; null = of every device. For snapshots, and to conflate. */
  slots(): Iterable<number> | null
  /** Of an area: whether the place lies in it, degrees. */
  contains?(latitudeDeg: number, longitudeDeg: number): boolean
  /** Whether an item is in the scope, for what is read again: from memory or storage, behind a cursor. */
  has(segment: LogSegment, index: number): boolean
  /** Whether the device is in the scope now. */
  includes(slot: number): boolean
  /** Whether devices come and go by where they are, so that who has heard nothing for a while may show some that left. */
  readonly byPlace: boolean
  /** Begins to tell the sink. What is in {@link slots} at this moment it is not told of. */
  open(sink: ScopeSink): void
  /** Tells no more, and frees what it holds. */
  close(): void
  /** Devices that it names, for the limit of the socket. */
  readonly deviceCount: number
}

/** Finds the filters that want an item, and tells their sinks: in order, before the tick in which they are sent. */
export interface Dispatcher {
  /** Called once for every new item of the log. */
  dispatch(segment: LogSegment, index: number, item: number): void
  /** Last positions have been read anew, in the place of items. */
  restarted?(): void
}

/** Every device that the organisation sees. */
export const EVERYTHING: ScopeFilter = {
  slots: () => null,
  has: () => true,
  includes: () => true,
  byPlace: false,
  open: () => undefined,
  close: () => undefined,
  deviceCount: 0,
}
