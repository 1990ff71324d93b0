/** What the figures were taken on. */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { type Bench, query } from './bench.ts'
import { figure, percentile } from './measure.ts'

const SYNCS = 100
const SYNC_BYTES = 4096

/** One line each, `name: value`. */
export async function describeMachine(bench: Bench): Promise<string[]> {
  const { rows } = await query(
    await bench.database(),
    `SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS commit, current_setting('shared_preload_libraries') AS libraries`,
  )
  const { version, fsync, commit, libraries } = rows[0]
  const server = process.env.BENCH_DATABASE_URL === undefined ? 'embedded' : 'of BENCH_DATABASE_URL'
  const gibibytes = totalmem() / 2 ** 30
  return [
    `processor: ${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores`,
    `memory: ${figure(gibibytes)} GiB`,
    `system: ${type()} ${release()}, load average ${figure(loadavg()[0]!)} at the start of the run (1 minute)`,
    `disk: ${figure(syncMs(bench.folder))} ms for a write of 4 KiB with fdatasync (median), in the folder of the database`,
    `Node: ${process.version}`,
    `PostgreSQL: ${version} (${server}), fsync ${fsync}, synchronous_commit ${commit}${libraries === '' ? '' : `, ${libraries}`}`,
  ]
}

function syncMs(folder: string): number {
  const file = openSync(join(folder, 'sync'), 'w')
  const bytes = Buffer.alloc(SYNC_BYTES)
  const samples = Float64Array.from({ length: SYNCS }, () => {
    const startMs = performance.now()
    writeSync(file, bytes)
    fdatasyncSync(file)
    return performance.now() - startMs
  })
  closeSync(file)
  return percentile(samples, 0.5)
}
