import type { KnownDevice } from '../../adapter.ts'

/** State of a connection. */
export interface Gt06State {
  /** The photo that the device is sending; one at a time. */
  photo: Photo | undefined
  /** Family of {@link familyOf}; undefined until it is asked for. */
  family: Family | undefined
  familyOf: KnownDevice | undefined
}

/** Devices that read or fill messages alike, see models.ts. */
export type Family = 'standard' | 'nt' | 'lw' | 'vl' | 'seeworld' | 'r11' | 'qh302r'

/** A photo under way. Only its progress is kept: there is no place for pictures in a position. */
export interface Photo {
  readonly id: number
  readonly bytes: number
  received: number
}
