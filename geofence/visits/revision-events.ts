/**
 * How recorded events become those that are found: what is the same stays, and every other recorded one is replaced by
 * one of the same geofence and type, or retracted.
 */
import type { NewEvent } from './changes.ts'
import { compareEvents, type EventSource, firstEvent } from './events.ts'
import type { RecordedEvent } from './revision.ts'

/** Revisions of events that are stored, which are never used again. */
export class Revisions {
  private readonly highest = new Map<string, number>()

  constructor(stored: readonly RecordedEvent[]) {
    for (const event of stored) {
      const key = keyOf(event)
      this.highest.set(key, Math.max(event.revision, this.highest.get(key) ?? 0))
    }
  }

  /** Whether there is, or was, such an event. */
  has(event: Pick<RecordedEvent, 'geofence' | 'type' | 'timeMs'>): boolean {
    return this.highest.has(keyOf(event))
  }

  /** @param least Of the event that it corrects, plus one. */
  next(event: Pick<RecordedEvent, 'geofence' | 'type' | 'timeMs'>, least: number): number {
    const key = keyOf(event)
    const revision = Math.max(least, (this.highest.get(key) ?? -1) + 1)
    this.highest.set(key, revision)
    return revision
  }
}

function keyOf({ geofence, type, timeMs }: Pick<RecordedEvent, 'geofence' | 'type' | 'timeMs'>): string {
  return `${geofence} ${type} ${timeMs}`
}

/**
 * @param recorded Current ones of one geofence, of the span of time that is corrected.
 * @param found All of the geofence that there are to be in that span.
 * @param corrections Where the difference is added.
 */
export function changeEvents(
  source: EventSource,
  recorded: readonly RecordedEvent[],
  found: readonly NewEvent[],
  revisions: Revisions,
  corrections: NewEvent[],
): void {
  const types = new Set([...recorded, ...found].map(({ type }) => type))
  for (const type of types) {
    const old = recorded.filter((event) => event.type === type).sort(compareEvents)
    const anew = found.filter((event) => event.type === type).sort(compareEvents)
    for (const [a, b] of pairs(old, anew)) {
      if (a !== undefined && b !== undefined && isSame(a, b)) continue
      const event = b ?? firstEvent(source, type, a!.timeMs, a!)
      corrections.push({
        ...event,
        revision: revisions.next(event, a === undefined ? 0 : a.revision + 1),
        replaces: a?.id ?? null,
        replacesTimeMs: a?.timeMs ?? Number.NaN,
        retracted: b === undefined,
      })
    }
  }
}

/** Pairs of the same time first, then in the order of time; what is left over is alone. */
function pairs(
  recorded: readonly RecordedEvent[],
  found: readonly NewEvent[],
): [RecordedEvent | undefined, NewEvent | undefined][] {
  const atTime = new Map(found.map((event) => [event.timeMs, event]))
  const together: [RecordedEvent | undefined, NewEvent | undefined][] = []
  const old: RecordedEvent[] = []
  for (const event of recorded) {
    const same = atTime.get(event.timeMs)
    if (same === undefined) old.push(event)
    else together.push([event, same])
    atTime.delete(event.timeMs)
  }
  const anew = [...atTime.values()]
  // A moment by which a device has to be inside is not another one.
  const isMoment = recorded[0]?.type === 'missing'
  for (let i = 0; i < old.length || i < anew.length; i++) {
    if (!isMoment) together.push([old[i], anew[i]])
    else {
      if (i < old.length) together.push([old[i], undefined])
      if (i < anew.length) together.push([undefined, anew[i]])
    }
  }
  return together
}

function isSame(a: RecordedEvent, b: NewEvent): boolean {
  return (
    a.timeMs === b.timeMs &&
    a.crossing === b.crossing &&
    isEqual(a.fixTimeMs, b.fixTimeMs) &&
    isEqual(a.latitudeDeg, b.latitudeDeg) &&
    isEqual(a.longitudeDeg, b.longitudeDeg) &&
    isEqual(a.speedKmh, b.speedKmh)
  )
}

/** NaN = none; the database keeps no sign of 0. */
function isEqual(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b))
}
