/**
 * A full disk under the journal, while the database is away and cannot relieve it: devices get no replies and are not
 * read, and it goes on by itself as soon as there is room. The disk is a tmpfs, which only root can mount.
 */
import { execFileSync } from 'node:child_process'
import { appendFileSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { EngineProcess } from './engine-process.ts'
import { fleetOf } from './fleet.ts'
import { FleetProcess } from './fleet-process.ts'
import { FLOOD_RECORDS, Flood } from './flood.ts'
import { drained } from './kills.ts'
import { Lab, type LabOptions } from './lab.ts'
import { StoppableDatabase } from './stoppable-database.ts'
import { until } from './until.ts'
import { complaintsOfVerdict, type Verdict, verify } from './verify.ts'

export interface DiskFullResult {
  readonly verdict: Verdict
  /**
   * Records acknowledged and taken while the disk was full and what waits for it was full too; whether devices that
   * send without end were no longer read, and the bytes that waited.
   */
  readonly whileFull: {
    readonly acknowledged: number
    readonly taken: number
    readonly stalled: boolean
    readonly pendingBytes: number
  }
  /** `/ready` and the metric of the full disk meanwhile. */
  readonly readiness: { readonly status: number; readonly body: string }
  readonly fullMetric: number
  /** From the removal of what filled the disk to the next reply, ms. */
  readonly resumeMs: number
  /** The same with the engine killed on the full disk, which its supervisor starts again and again. */
  readonly resumeAfterKillMs: number
  /** Ends of a running engine that nobody asked for. */
  readonly deaths: readonly string[]
  readonly stop: string
}

export const CAN_MOUNT = process.platform === 'linux' && process.getuid?.() === 0

const DEVICES = 40
const RECORDS_PER_SECOND = 3000
const MEBIBYTE = 1024 * 1024
/** The least that a segment may have, so that the disk is full soon. */
const SEGMENT_BYTES = 8 * MEBIBYTE
const DISK_BYTES = 24 * MEBIBYTE
const START_TIMEOUT_MS = 60_000
const FULL_TIMEOUT_MS = 120_000
/** Without replies for so long, the disk is full. */
const SILENCE_MS = 3000
const WATCHED_MS = 4000
/** Each sends more than the journal holds in memory for a connection. */
const FLOODING_DEVICES = 6
const STALL_TIMEOUT_MS = 60_000
const PENDING_BYTES_MAX = 16 * MEBIBYTE
const RESUME_TIMEOUT_MS = 60_000
const FINISH_TIMEOUT_MS = 180_000
const FULL_MS_MAX = 30_000

/** @throws Error where something does not come in time; the lab's folder stays then, and where something is wrong. */
export function runDiskFull(options: LabOptions): Promise<DiskFullResult> {
  return Lab.run(options, (lab) => diskFull(lab, options), complaintsOfDiskFull)
}

async function diskFull(lab: Lab, { seed, onProgress }: LabOptions): Promise<DiskFullResult> {
  const nowMs = Date.now()
  const specs = fleetOf({ devices: DEVICES, nowMs })
  const dataDir = join(lab.folder, 'disk')
  await mkdir(dataDir)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', dataDir])
  lab.defer(() => execFileSync('umount', ['--lazy', dataDir]))
  const ballast = join(dataDir, 'ballast')

  const ports = await Lab.ports()
  const database = await StoppableDatabase.start(lab)
  const engine = new EngineProcess(lab, {
    ports,
    dataDir,
    databaseUrl: database.url,
    environment: { JOURNAL_SEGMENT_BYTES: String(SEGMENT_BYTES), JWT_SECRET: 'j'.repeat(32) },
  })
  engine.start()
  await until(
    () => engine.isReady,
    START_TIMEOUT_MS,
    () => 'the engine does not start',
  )
  const fleet = new FleetProcess({
    devices: DEVICES,
    nowMs,
    seed,
    ports: ports.protocols,
    recordsPerSecond: RECORDS_PER_SECOND,
  })
  lab.defer(() => fleet.end())
  await fleet.acknowledges(2 * DEVICES * FLOOD_RECORDS, START_TIMEOUT_MS)

  const fill = async () => {
    fillDisk(ballast)
    lab.event('what was left of the disk is filled')
    await silence(fleet)
    lab.event('no more replies')
  }
  const free = async () => {
    rmSync(ballast)
    lab.event('there is room on the disk')
    const startMs = performance.now()
    await fleet.acknowledges(1, RESUME_TIMEOUT_MS)
    return performance.now() - startMs
  }

  await database.stop()
  await fill()
  onProgress?.('the disk is full')
  const flood = await Flood.start(
    ports.protocols.teltonika,
    specs.filter(({ protocol }) => protocol === 'teltonika').slice(0, FLOODING_DEVICES),
  )
  lab.defer(() => flood.stop())
  const stalled = await flood.stalled(STALL_TIMEOUT_MS)
  const before = { ...fleet.progress, taken: await taken(engine) }
  await delay(WATCHED_MS)
  const whileFull = {
    acknowledged: fleet.progress.acknowledged - before.acknowledged,
    taken: (await taken(engine)) - before.taken,
    stalled,
    pendingBytes: (await engine.metric('fleetflow_journal_pending_bytes')) ?? Number.NaN,
  }
  const readiness = await engine.readiness()
  const fullMetric = (await engine.metric('fleetflow_journal_full')) ?? Number.NaN
  const resumeMs = await free()
  flood.stop()
  onProgress?.('there is room again')

  await fill()
  engine.kill()
  lab.event('the engine is killed on the full disk')
  await database.start()
  // Whether it starts on a disk without room for a single byte is left open; its supervisor goes on trying.
  await delay(WATCHED_MS)
  const resumeAfterKillMs = await free()

  await fleet.finish(FINISH_TIMEOUT_MS)
  await drained(engine)
  const journals = await fleet.journal()
  await fleet.end()
  const stop = await engine.stop()
  const client = await database.connect()
  const result: DiskFullResult = {
    verdict: await verify(client, specs, journals),
    whileFull,
    readiness,
    fullMetric,
    resumeMs,
    resumeAfterKillMs,
    deaths: engine.ends.filter(({ wasReady }) => wasReady).map(({ how }) => how),
    stop,
  }
  lab.event(JSON.stringify(result))
  return result
}

/** What is wrong with a run; nothing where the promise was kept. */
export function complaintsOfDiskFull(result: DiskFullResult): string[] {
  const { whileFull, readiness, resumeMs, resumeAfterKillMs } = result
  const kept: readonly (readonly [boolean, string])[] = [
    [whileFull.acknowledged === 0, `${whileFull.acknowledged} records were acknowledged on a full disk`],
    [whileFull.stalled, 'devices were read on without end on a full disk'],
    [whileFull.taken === 0, `${whileFull.taken} records were taken on a full disk`],
    [whileFull.pendingBytes < PENDING_BYTES_MAX, `${whileFull.pendingBytes} bytes wait for a full disk`],
    [readiness.status === 503, `/ready says ${JSON.stringify(readiness)} on a full disk`],
    [result.fullMetric === 1, `fleetflow_journal_full is ${result.fullMetric} on a full disk`],
    [resumeMs < FULL_MS_MAX, `it went on only after ${Math.round(resumeMs)} ms`],
    [
      resumeAfterKillMs < FULL_MS_MAX,
      `it went on only after ${Math.round(resumeAfterKillMs)} ms, after a kill`,
    ],
    [result.deaths.length === 0, `the running engine ended by itself: ${result.deaths.join(', ')}`],
    [result.stop === 'exit 0', `the engine did not stop as it should: ${result.stop}`],
  ]
  return [
    ...complaintsOfVerdict(result.verdict),
    ...kept.filter(([holds]) => !holds).map(([, complaint]) => complaint),
  ]
}

/** Adds to a file until no byte more fits. */
function fillDisk(file: string): void {
  for (let bytes = MEBIBYTE; bytes >= 1; bytes /= 2) {
    const piece = Buffer.alloc(bytes, 0x55)
    try {
      for (;;) appendFileSync(file, piece)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }
}

async function silence(fleet: FleetProcess): Promise<void> {
  let acknowledged = -1
  let sinceMs = performance.now()
  await until(
    () => {
      if (fleet.progress.acknowledged !== acknowledged) sinceMs = performance.now()
      acknowledged = fleet.progress.acknowledged
      return performance.now() - sinceMs > SILENCE_MS
    },
    FULL_TIMEOUT_MS,
    () => `still replies after ${FULL_TIMEOUT_MS} ms on a full disk`,
  )
}

async function taken(engine: EngineProcess): Promise<number> {
  return (await engine.metric('fleetflow_positions_received_total')) ?? Number.NaN
}
