/** The thread of geofences.ts: builds indexes. */
import { buildFenceIndex, type FenceIndexData, type FenceSource } from '../geofence/index/fence-index.ts'
import { changedFence, fences, simpleFences } from './geofence-fences.ts'

export type BuildTask =
  | { readonly type: 'towns'; readonly count: number; readonly towns: number }
  | { readonly type: 'simple'; readonly count: number }
  | {
      readonly type: 'changed'
      readonly id: number
      readonly latitudeDeg: number
      readonly longitudeDeg: number
    }

export interface Built {
  readonly data: FenceIndexData
  readonly seconds: number
  /** Processor time of the whole process meanwhile, without the system's. */
  readonly userSeconds: number
}

/** What piscina calls. */
export function run(task: BuildTask): Built {
  const startMs = performance.now()
  const before = process.cpuUsage()
  const data = buildFenceIndex(sourcesOf(task))
  return {
    data,
    seconds: (performance.now() - startMs) / 1000,
    userSeconds: process.cpuUsage(before).user / 1_000_000,
  }
}

function sourcesOf(task: BuildTask): Iterable<FenceSource> {
  if (task.type === 'towns') return fences(task.count, task.towns)
  if (task.type === 'simple') return simpleFences(task.count)
  return [changedFence(task.id, task.latitudeDeg, task.longitudeDeg)]
}
