/** Threads: what it costs to hand a batch to a worker thread and to get an answer, and what runs in an idle one. */
import { Worker } from 'node:worker_threads'
import pg from 'pg'
import { Piscina } from 'piscina'
import { type PositionBatchMessage, transferables } from '../schemas/position-batch.ts'
import { figure, type Sample, sampleUnits, spread, summarise } from './measure.ts'
import { positionBatch } from './positions.ts'
import type { Question, Row } from './question.ts'
import type { IdleReport, ThreadAnswer, ThreadTask } from './threads-worker.ts'

const SIZES = [256, 4096]
const ROUNDS = 9
const SAMPLE_MS = 120
/** Batches one after another before the clock is looked at. */
const BATCHES_A_LANE = 8
/** How long a thread is left idle, and the period of its timer, ms. */
const IDLE_MS = 1000
const TIMER_MS = 10
const CHANNEL = 'bench'

/** A thread that takes tasks. */
interface Thread {
  ask(task: ThreadTask, transfer: ArrayBuffer[]): Promise<ThreadAnswer>
  end(): Promise<void>
}

const WORKER = new URL('./threads-worker.js', import.meta.url)

interface Variant {
  readonly name: string
  readonly asObjects: boolean
  open(): Thread
  /** Ends the sentence of the row. */
  readonly meaning: string
}

const VARIANTS: readonly Variant[] = [
  {
    name: 'bare worker, transfer',
    asObjects: false,
    open: bareThread,
    meaning: 'A Worker of `worker_threads` and its messages: what the engine does.',
  },
  {
    name: 'piscina, transfer',
    asObjects: false,
    open: () => piscinaThread('sync'),
    meaning: 'piscina as it is by default: its thread sleeps in `Atomics.wait` between tasks.',
  },
  {
    name: 'piscina, atomics async',
    asObjects: false,
    open: () => piscinaThread('async'),
    meaning: 'piscina with `atomics: "async"`: it waits in `Atomics.waitAsync`.',
  },
  {
    name: 'piscina, atomics disabled',
    asObjects: false,
    open: () => piscinaThread('disabled'),
    meaning: 'piscina with `atomics: "disabled"`: messages only.',
  },
  {
    name: 'bare worker, objects',
    asObjects: true,
    open: bareThread,
    meaning: 'The same positions as an array of objects, which is cloned on the way.',
  },
]

/** Batch sizes with one and with two batches on their way. */
const LOADS = SIZES.flatMap((rows) => [1, 2].map((inFlight) => ({ rows, inFlight })))
/** The load that the ratio is of: a full batch behind another, as under load. */
const RATIO_LOAD = LOADS.length - 1

export const threads: Question = {
  name: 'threads',
  title: 'What does it cost to hand a batch to a thread?',
  method:
    'A batch of positions goes to one worker thread, which answers with its number of rows and gives the buffers back, also ' +
    'by transfer; with one batch on its way at a time, and with two, as the engine has. Samples of all are taken in turns; a ratio is ' +
    `that of its own turn, ${ROUNDS} turns; ratio and processor time (both threads) are of the last load. Then the thread is left idle for ${IDLE_MS} ms while a timer of ${TIMER_MS} ms and a connection ` +
    'that listens to the database are open in it: a shard keeps both.',
  measure: async (bench) => {
    const databaseUrl = await bench.database()
    const opened = VARIANTS.map((variant) => ({
      variant,
      thread: variant.open(),
      // By load, then by round.
      samples: LOADS.map((): Sample[] => []),
    }))
    for (const { thread } of opened) bench.defer(() => thread.end())
    const handOver = new Map(
      opened.map(({ variant, thread }) => [variant, LOADS.map((load) => handOverOf(thread, load, variant))]),
    )
    // The first round warms up.
    for (let round = 0; round <= ROUNDS; round++) {
      bench.progress(`threads: round ${round} of ${ROUNDS}`)
      for (const { variant, samples } of opened) {
        for (const [i, work] of handOver.get(variant)!.entries()) {
          const sample = await sampleUnits(work, SAMPLE_MS)
          if (round > 0) samples[i]!.push(sample)
        }
      }
    }
    const bare = opened[0]!.samples
    const rows: Row[] = []
    for (const { variant, thread, samples } of opened) {
      bench.progress(`threads: ${variant.name}, idle`)
      const idle = await leaveIdle(thread, databaseUrl)
      rows.push(rowOf(variant, samples, bare, idle))
    }
    return rows
  },
}

function rowOf(
  variant: Variant,
  samples: readonly Sample[][],
  bare: readonly Sample[][],
  idle: IdleOutcome,
): Row {
  const cells: Record<string, string> = {}
  LOADS.forEach(({ rows, inFlight }, i) => {
    const perSecond = summarise(samples[i]!.map((sample) => sample.perSecond))
    cells[`batches/s of ${rows}${inFlight === 1 ? '' : ', two at a time'}`] = spread(perSecond)
  })
  const ratios = samples[RATIO_LOAD]!.map((sample, i) => sample.perSecond / bare[RATIO_LOAD]![i]!.perSecond)
  cells['of bare'] = spread(summarise(ratios))
  cells['CPU µs/batch'] = spread(summarise(samples[RATIO_LOAD]!.map((sample) => sample.cpuMicros)))
  cells['timers run while idle'] = `${idle.timerTicks} of ${IDLE_MS / TIMER_MS}`
  cells['notification heard after'] =
    idle.heardAfterMs < IDLE_MS / 2 ? `${figure(idle.heardAfterMs)} ms` : 'not while idle'
  return { name: variant.name, cells, meaning: variant.meaning }
}

/** Hands batches over and takes the answers. @returns A function that tells how many. */
function handOverOf(
  thread: Thread,
  { rows, inFlight }: { readonly rows: number; readonly inFlight: number },
  { asObjects }: Variant,
): () => Promise<number> {
  const objects = objectsOf(rows)
  const lane = () => {
    let message = batchMessage(rows)
    return async () => {
      for (let i = 0; i < BATCHES_A_LANE; i++) {
        const answer = asObjects
          ? await thread.ask({ type: 'objects', rows: objects }, [])
          : await thread.ask({ type: 'batch', batch: message }, transferables(message))
        if (answer.rows !== rows) throw new Error(`a thread counted ${answer.rows} rows of ${rows}`)
        const [rowColumns, attributes] = answer.buffers
        if (!asObjects) message = { ...message, rows: rowColumns!, attributes: attributes! }
      }
    }
  }
  const lanes = Array.from({ length: inFlight }, lane)
  return async () => {
    await Promise.all(lanes.map((run) => run()))
    return BATCHES_A_LANE * inFlight
  }
}

interface IdleOutcome {
  readonly timerTicks: number
  readonly heardAfterMs: number
}

async function leaveIdle(thread: Thread, databaseUrl: string): Promise<IdleOutcome> {
  await thread.ask({ type: 'open', databaseUrl, channel: CHANNEL, timerMs: TIMER_MS }, [])
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  const notifiedAt = Date.now()
  await client.query(`NOTIFY ${CHANNEL}`)
  await client.end()
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS - (Date.now() - notifiedAt)))
  const { idle } = await thread.ask({ type: 'report' }, [])
  const { timerTicks, heardAt } = idle as IdleReport
  await thread.ask({ type: 'close' }, [])
  return { timerTicks, heardAfterMs: heardAt === null ? Number.POSITIVE_INFINITY : heardAt - notifiedAt }
}

function batchMessage(rows: number): PositionBatchMessage {
  return positionBatch({
    rows,
    firstDevice: 1,
    deviceCount: 1000,
    fixTimeMs: Date.UTC(2026, 0, 1),
    attributes: 0,
  }).toMessage()
}

function objectsOf(rows: number): object[] {
  return Array.from({ length: rows }, (_, row) => ({
    device: row,
    fixTimeMs: Date.UTC(2026, 0, 1) + row,
    receivedMs: Date.UTC(2026, 0, 1) + row,
    latitudeDeg: 50 + row / 1000,
    longitudeDeg: 10 + row / 1000,
    altitudeM: 100,
    speedKmh: 50,
    courseDeg: 90,
    valid: true,
    attributes: { sat: 9, ignition: true, motion: true, power: 12.5 },
  }))
}

function bareThread(): Thread {
  const worker = new Worker(WORKER, { workerData: { bare: true } })
  // Answers come in the order of the tasks.
  const waiting: ((answer: ThreadAnswer) => void)[] = []
  worker.on('message', (answer: ThreadAnswer) => waiting.shift()!(answer))
  return {
    ask: (task, transfer) =>
      new Promise((resolve) => {
        waiting.push(resolve)
        worker.postMessage(task, transfer)
      }),
    end: async () => {
      await worker.terminate()
    },
  }
}

function piscinaThread(atomics: 'sync' | 'async' | 'disabled'): Thread {
  const pool = new Piscina({
    filename: WORKER.href,
    name: 'run',
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: 2,
    atomics,
  })
  return {
    ask: (task, transfer) => pool.run(task, { transferList: transfer }),
    end: () => pool.destroy(),
  }
}
