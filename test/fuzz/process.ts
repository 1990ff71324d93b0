/**
 * One protocol, one process, so that the memory that it takes is the protocol's. Started with --expose-gc; options as
 * JSON in the argument. Ends with 1 at a finding, which it tells with the numbers that make it again.
 */
import { stderr, stdout } from 'node:process'
import { parseArgs } from 'node:util'
import type pg from 'pg'
import { loadAdapters } from '../../device-adapters/registry.ts'
import { CopyEncoder } from '../../ingest/shards/copy-encoder.ts'
import { CopyCheck } from './copy-check.ts'
import { rowsOfCopyStream } from './copy-stream.ts'
import { Finding, type FuzzCounts, Fuzzer } from './fuzzer.ts'

const BATCH_ROWS = 4_096
/** Every batch is encoded; one in so many is read again, and goes to the database. */
const COPY_EVERY = 4
/** Attribute names with which the engine hands a batch over, whatever its rows. */
const BATCH_KEYS_MAX = 16_384
const PROGRESS_EVERY_MS = 5_000
/** Memory is compared with what it is after this part of the frames, when everything is compiled and every cache full. */
const WARM_UP = 0.05
const WARM_UP_FRAMES_MIN = 100_000
const GROWTH_BYTES_MAX = 64 * 1024 * 1024
const FRAME_HEX_MAX = 4_096

const { values } = parseArgs({
  options: {
    protocol: { type: 'string' },
    frames: { type: 'string' },
    seed: { type: 'string' },
    database: { type: 'string' },
    connection: { type: 'string' },
  },
})
const protocol = values.protocol!
const frames = Number(values.frames)
const seed = Number(values.seed)

const adapter = (await loadAdapters()).get(protocol)
if (adapter === undefined) throw new Error(`no adapter "${protocol}"`)
const copyCheck = values.database === undefined ? undefined : await CopyCheck.connect(values.database)
const encoder = new CopyEncoder()
const fuzzer = new Fuzzer(adapter, seed)
const { counts, batch } = fuzzer

const startMs = performance.now()
let batches = 0
let warmBytes = 0
let progressMs = startMs

try {
  if (values.connection !== undefined) {
    fuzzer.play(Number(values.connection))
    await handOver(true)
  } else await run()
  stdout.write(`${summary(counts)}\n`)
} catch (error) {
  if (!(error instanceof Finding)) throw error
  stdout.write(`${told(error)}\n`)
  process.exitCode = 1
} finally {
  await copyCheck?.close()
}

async function run(): Promise<void> {
  // Most frames end in a DecodeError, and its stack costs more than all else of it. A finding is told with its stack
  // when its connection is played again.
  Error.stackTraceLimit = 0
  for (let connection = 0; counts.damaged < frames; connection++) {
    fuzzer.play(connection)
    if (batch.length >= BATCH_ROWS || batch.keys.length >= BATCH_KEYS_MAX)
      await handOver(++batches % COPY_EVERY === 1)
    if (warmBytes === 0 && counts.damaged >= Math.max(frames * WARM_UP, WARM_UP_FRAMES_MIN))
      warmBytes = memoryBytes()
    const nowMs = performance.now()
    if (nowMs - progressMs > PROGRESS_EVERY_MS) {
      progressMs = nowMs
      stderr.write(`${progress(nowMs)}\n`)
    }
  }
  await handOver(true)
  const growthBytes = warmBytes === 0 ? 0 : memoryBytes() - warmBytes
  if (growthBytes > GROWTH_BYTES_MAX) {
    throw new Finding(`memory grew by ${megabytes(growthBytes)}`, fuzzer.connection, Buffer.alloc(0))
  }
}

/** What the shard does with a full batch. */
async function handOver(store: boolean): Promise<void> {
  const rows = batch.length
  const order = Uint32Array.from({ length: rows }, (_, row) => row)
  let messages: Buffer
  try {
    messages = encoder.encode(batch, order)
    const found = store ? rowsOfCopyStream(messages) : rows
    if (found !== rows) throw new Error(`${found} of ${rows} rows are in the COPY stream`)
  } catch (error) {
    throw new Finding(
      `a batch that can not be copied: ${String(error)}`,
      fuzzer.connection,
      frameOf(error),
      error,
    )
  }
  if (store) {
    await copyCheck?.store(messages, rows).catch((error: unknown) => {
      throw new Finding(
        `the database refuses a row: ${String(error)}`,
        fuzzer.connection,
        frameOf(error),
        error,
      )
    })
  }
  fuzzer.clear()
}

/** Frame of the row that an error names: `COPY fuzzed, line 17, column alarm`, or `row 16: …`. */
function frameOf(error: unknown): Buffer {
  const line = /line (\d+)/.exec((error as pg.DatabaseError).where ?? '')?.[1]
  const row = /^row (\d+)/.exec((error as Error).message)?.[1]
  const at = line === undefined ? Number(row) : Number(line) - 1
  return fuzzer.frameOfRow[at] ?? Buffer.alloc(0)
}

function memoryBytes(): number {
  const { gc } = globalThis
  if (gc === undefined) throw new Error('start with --expose-gc')
  // Twice: what the first run finalises, the second frees.
  gc()
  gc()
  return process.memoryUsage.rss()
}

function progress(nowMs: number): string {
  const perSecond = (counts.damaged / (nowMs - startMs)) * 1000
  const percent = (100 * counts.damaged) / frames
  return `${protocol}: ${counts.damaged.toLocaleString('en')} damaged frames (${percent.toFixed(0)} %), ${figure(perSecond)}/s, ${megabytes(process.memoryUsage.rss())}`
}

function summary(counts: FuzzCounts): string {
  const seconds = (performance.now() - startMs) / 1000
  const faults = [...counts.faults]
    .sort(([, a], [, b]) => b - a)
    .map(([code, count]) => `${code} ${figure(count)}`)
  const { user, system } = process.cpuUsage()
  const growth = warmBytes === 0 ? 0 : memoryBytes() - warmBytes
  return [
    `${protocol}: no finding in ${figure(counts.damaged)} damaged and ${figure(counts.sound)} sound messages, seed ${seed}`,
    `  decoded ${figure(counts.decoded)}, rows ${figure(counts.rows)}, replies ${figure(counts.replies)}; ${faults.join(', ') || 'no fault'}`,
    `  ${figure(counts.damaged / seconds)}/s over ${seconds.toFixed(1)} s (${((user + system) / 1e6).toFixed(1)} s of processor), slowest frame ${counts.slowestMs.toFixed(1)} ms (${counts.slowestFrame.length} bytes), memory ${growth < 0 ? '' : '+'}${megabytes(growth)}`,
  ].join('\n')
}

function told({ message, connection, frame, cause }: Finding): string {
  const hex = frame.toString('hex', 0, FRAME_HEX_MAX)
  const more = frame.length > FRAME_HEX_MAX ? `… (${frame.length} bytes)` : ''
  const stack = cause instanceof Error ? `\n${cause.stack}` : ''
  return `${protocol}: ${message}\n  again: --protocol ${protocol} --seed ${seed} --connection ${connection}\n  frame: ${hex}${more}${stack}`
}

function figure(value: number): string {
  return Math.round(value).toLocaleString('en')
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`
}
