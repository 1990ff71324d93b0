/** The thread of geofences.ts: builds indexes. */
import { buildFenceIndex, type FenceIndexData } from '../geofence/fence-index.ts'
import { changedFence, fences } from './geofence-fences.ts'

export type BuildTask =
  | { readonly type: 'all'; readonly count: number }
  | {
      readonly type: 'changed'
      readonly id: number
      readonly latitudeDeg: number
      readonly longitudeDeg: number
    }

export interface Built {
  readonly data: FenceIndexData
  readonly seconds: number
}

/** What piscina calls. */
export function run(task: BuildTask): Built {
  const startMs = performance.now()
  const sources =
    task.type === 'all' ? fences(task.count) : [changedFence(task.id, [task.latitudeDeg, task.longitudeDeg])]
  const data = buildFenceIndex(sources)
  return { data, seconds: (performance.now() - startMs) / 1000 }
}
