/** A shape while it is drawn: corners of an area, the middle of a circle, or the line of a corridor. */
import type { Position } from 'geojson'
import type { GeofenceShape } from '../../../schemas/geofence.ts'

export type DraftKind = 'Polygon' | 'Circle' | 'Corridor'

export interface Draft {
  readonly kind: DraftKind
  /** Longitude and latitude, degrees, of each corner, in order; of a circle only its middle. */
  readonly places: readonly Position[]
  /** Of a circle. */
  readonly radiusM: number
  /** Of a corridor. */
  readonly halfWidthM: number
}

/** Places that each kind needs. */
export const PLACES_MIN: Readonly<Record<DraftKind, number>> = { Polygon: 3, Circle: 1, Corridor: 2 }
/** A shape of more places is not edited corner by corner. */
export const PLACES_MAX = 200
/** A tenth of a metre. */
const DECIMALS = 6

export function emptyDraft(kind: DraftKind): Draft {
  return { kind, places: [], radiusM: 250, halfWidthM: 100 }
}

/** Draft of a stored shape; null where it has holes, parts or too many corners to be edited one by one. */
export function draftOf(shape: GeofenceShape): Draft | null {
  if (shape.type === 'Circle') {
    return { ...emptyDraft('Circle'), places: [rounded(shape.center)], radiusM: shape.radiusM }
  }
  if (shape.type === 'Corridor') {
    if (shape.coordinates.length > PLACES_MAX) return null
    const places = shape.coordinates.map(rounded)
    return { ...emptyDraft('Corridor'), places, halfWidthM: shape.halfWidthM }
  }
  const rings = shape.type === 'Polygon' ? [shape.coordinates] : shape.coordinates
  if (rings.length !== 1 || rings[0]!.length !== 1 || rings[0]![0]!.length > PLACES_MAX + 1) return null
  // The last place of a ring is the first one again.
  return { ...emptyDraft('Polygon'), places: rings[0]![0]!.slice(0, -1).map(rounded) }
}

/** The shape that a draft stands for; null while it has too few places. */
export function shapeOf({ kind, places, radiusM, halfWidthM }: Draft): GeofenceShape | null {
  if (places.length < PLACES_MIN[kind]) return null
  const coordinates = places.map((place) => [...place])
  if (kind === 'Circle') return { type: 'Circle', center: coordinates[0]!, radiusM }
  if (kind === 'Corridor') return { type: 'Corridor', coordinates, halfWidthM }
  return { type: 'Polygon', coordinates: [[...coordinates, [...coordinates[0]!]]] }
}

/** With a further place at `index`, or at the end; a circle moves there. */
export function withPlace(draft: Draft, place: Position, index = draft.places.length): Draft {
  if (draft.kind === 'Circle') return { ...draft, places: [rounded(place)] }
  if (draft.places.length >= PLACES_MAX) return draft
  return { ...draft, places: draft.places.toSpliced(index, 0, rounded(place)) }
}

/** With the place at `index` elsewhere. */
export function withMovedPlace(draft: Draft, index: number, place: Position): Draft {
  return { ...draft, places: draft.places.with(index, rounded(place)) }
}

/** Without the place at `index`. */
export function withoutPlace(draft: Draft, index: number): Draft {
  return { ...draft, places: draft.places.toSpliced(index, 1) }
}

function rounded([longitude, latitude]: Position): Position {
  const scale = 10 ** DECIMALS
  // The map goes on beyond the antimeridian.
  const turned = ((((longitude! + 180) % 360) + 360) % 360) - 180
  return [
    Math.round((Math.abs(longitude!) === 180 ? longitude! : turned) * scale) / scale,
    Math.round(Math.max(-90, Math.min(90, latitude!)) * scale) / scale,
  ]
}
