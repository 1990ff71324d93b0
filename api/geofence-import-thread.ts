/** A thread that reads files of geofences: that takes seconds, in which the process has other things to do. */
import {
  type ImportDefaults,
  ImportError,
  type ImportFormat,
  importGeofences,
} from '../geofence/shapes/import.ts'
import { compileShape } from '../geofence/shapes/shape.ts'
import type { NewGeofence } from '../storage/geofences/geofences.ts'

export interface ImportTask {
  readonly format: ImportFormat
  readonly text: string
  readonly defaults: ImportDefaults
}

/** Why a file or a feature is not taken. */
export interface ImportFault {
  readonly code: string
  readonly detail: string
}

export type ReadFeature = NewGeofence | { readonly name: string; readonly error: ImportFault }

/** Features in the order of the file, with shapes as text: objects would be cloned between the threads one by one. */
export type ReadFile =
  | { readonly features: readonly ReadFeature[] }
  /** The file as a whole cannot be read. */
  | { readonly error: ImportFault }

export function readFile({ format, text, defaults }: ImportTask): ReadFile {
  try {
    const features = importGeofences(format, text, defaults).map((feature): ReadFeature => {
      const { name } = feature
      if ('error' in feature) {
        return { name, error: { code: feature.error.code, detail: feature.error.message } }
      }
      return { name, shape: JSON.stringify(feature.shape), bounds: compileShape(feature.shape).bounds }
    })
    return { features }
  } catch (error) {
    if (!(error instanceof ImportError)) throw error
    return { error: { code: error.code, detail: error.message } }
  }
}
