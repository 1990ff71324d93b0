/** How a run of simulated devices goes, on a terminal or in a log. */
import { Presets, SingleBar } from 'cli-progress'
import type { DeviceCounts } from './devices.ts'

/** How often the progress is shown, ms: a bar on a terminal, a line elsewhere. */
const BAR_EVERY_MS = 250
const LINE_EVERY_MS = 5000

/**
 * Shows `counts` until the returned function is called.
 * @param seconds Length of the run; undefined if it has no end.
 */
export function showProgress(
  out: NodeJS.WriteStream,
  devices: number,
  counts: DeviceCounts,
  seconds: number | undefined,
): () => void {
  const startMs = performance.now()
  const elapsedS = () => (performance.now() - startMs) / 1000
  const line = () =>
    `${counts.connected}/${devices} connected, ${counts.positionsAcknowledged} of ${counts.positionsReported} positions ` +
    `acknowledged, ${counts.positionsDropped} dropped, ${errorsOf(counts)} errors`

  if (out.isTTY && seconds !== undefined) {
    const bar = new SingleBar({ format: '{bar} {value}/{total} s  {line}', stream: out }, Presets.legacy)
    bar.start(seconds, 0, { line: line() })
    const timer = setInterval(
      () => bar.update(Math.min(seconds, Math.floor(elapsedS())), { line: line() }),
      BAR_EVERY_MS,
    )
    return () => {
      clearInterval(timer)
      bar.update(Math.min(seconds, Math.round(elapsedS())), { line: line() })
      bar.stop()
    }
  }
  const write = () => out.write(`${elapsedS().toFixed(0)} s: ${line()}\n`)
  const timer = setInterval(write, LINE_EVERY_MS)
  return () => {
    clearInterval(timer)
    write()
  }
}

function errorsOf(counts: DeviceCounts): number {
  return [...counts.errors.values()].reduce((sum, count) => sum + count, 0)
}
