/** Figures: seeded randomness, repeated timing, means and percentiles, and how they are written. */

/** Seed of all that is random in the benchmarks. */
export const SEED = 20_161_125

export interface Summary {
  readonly mean: number
  /** Standard deviation of the samples. */
  readonly deviation: number
  readonly min: number
  readonly max: number
}

export function summarise(samples: readonly number[]): Summary {
  const mean = samples.reduce((sum, sample) => sum + sample, 0) / samples.length
  const variance =
    samples.length < 2
      ? 0
      : samples.reduce((sum, sample) => sum + (sample - mean) ** 2, 0) / (samples.length - 1)
  return { mean, deviation: Math.sqrt(variance), min: Math.min(...samples), max: Math.max(...samples) }
}

/** @param share 0..1; 1 = the greatest. */
export function percentile(samples: Float64Array, share: number): number {
  const sorted = samples.toSorted()
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
}

const SAMPLES = 5
const SAMPLE_MS = 200
const WARM_UP_MS = 300

/** Clocks: ms of the wall, and ms of processor time of this process, which other processes do not lengthen. */
const wallMs = () => performance.now()
const processorMs = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/**
 * Runs `work` on this thread over and over, after a warm-up, and takes several samples of it.
 * @param work Returns how many units it has done.
 * @returns Units a second of processor time.
 */
export function unitsPerProcessorSecond(work: () => number): Summary {
  const sample = (lengthMs: number) => {
    const startMs = processorMs()
    let units = 0
    let elapsedMs = 0
    while (elapsedMs < lengthMs) {
      // Many times between two looks at the clock, which is a system call.
      const nextMs = wallMs() + 1
      while (wallMs() < nextMs) units += work()
      elapsedMs = processorMs() - startMs
    }
    return (units * 1000) / elapsedMs
  }
  sample(WARM_UP_MS)
  return summarise(Array.from({ length: SAMPLES }, () => sample(SAMPLE_MS)))
}

/** See {@link sampleUnits}. */
export interface Sample {
  /** Units a second. */
  readonly perSecond: number
  /** Processor time of this process a unit, all threads, µs. */
  readonly cpuMicros: number
}

/**
 * One sample of what waits for other threads.
 * @param work Does something and tells how many units it was.
 */
export async function sampleUnits(work: () => Promise<number>, lengthMs: number): Promise<Sample> {
  const startMs = wallMs()
  const startProcessorMs = processorMs()
  let units = 0
  let elapsedMs = 0
  while (elapsedMs < lengthMs) {
    units += await work()
    elapsedMs = wallMs() - startMs
  }
  return {
    perSecond: (units * 1000) / elapsedMs,
    cpuMicros: ((processorMs() - startProcessorMs) * 1000) / units,
  }
}

/** Three significant digits, with thousands set apart: `1,230,000`, `12.3`, `0.0123`. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (value === 0) return '0'
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return Number(value.toPrecision(3)).toLocaleString('en-US', {
    minimumFractionDigits: Math.min(digits, 4),
    maximumFractionDigits: Math.min(digits, 4),
  })
}

/** Mean and standard deviation: `123,000 ± 4 %`. */
export function spread({ mean, deviation }: Summary): string {
  return `${figure(mean)} ± ${Math.round((deviation / Math.abs(mean)) * 100)} %`
}

/** How many times one is the other: `1.23 ×`. */
export function times(ratio: number): string {
  return `${figure(ratio)} ×`
}
