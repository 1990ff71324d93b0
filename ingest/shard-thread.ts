/**
 * A shard: one thread that marks, stores and publishes the positions of its devices. Batches arrive by transfer,
 * are stored in their order, and go on to live by transfer after the commit.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { PositionBatch, type PositionBatchMessage, transferables } from '../schemas/position-batch.ts'
import { QualityCheck } from './quality.ts'
import { PositionWriter } from './writer.ts'

export interface ShardOptions {
  readonly index: number
  readonly databaseUrl: string
  /** To live; undefined where no live runs in this process. */
  readonly livePort: MessagePort | undefined
}

/** Main to shard. Batches are numbered from 1 by the sender. After `stop` the thread ends by itself. */
export type ToShard =
  | { readonly type: 'batch'; readonly number: number; readonly batch: PositionBatchMessage }
  | { readonly type: 'stop' }

/** Shard to main. */
export type FromShard =
  | {
      readonly type: 'stored'
      readonly number: number
      readonly rows: number
      readonly duplicates: number
      readonly storeMs: number
    }
  | {
      readonly type: 'refused'
      readonly number: number
      readonly rows: number
      readonly code: string
      readonly message: string
    }
  | { readonly type: 'database'; readonly up: boolean; readonly message: string }

const port = parentPort!
const { index, databaseUrl, livePort } = workerData as ShardOptions
const quality = new QualityCheck()
const writer = new PositionWriter(databaseUrl, `fleetflow shard ${index}`, {
  onDatabase: (up, error) => post({ type: 'database', up, message: error?.message ?? '' }),
})

function post(message: FromShard): void {
  port.postMessage(message)
}

async function store(number: number, message: PositionBatchMessage): Promise<void> {
  const startMs = performance.now()
  const batch = PositionBatch.fromMessage(message)
  quality.mark(batch)
  try {
    const { rows, duplicates } = await writer.write(batch)
    post({ type: 'stored', number, rows, duplicates, storeMs: performance.now() - startMs })
    livePort?.postMessage(message, transferables(message))
  } catch (error) {
    const { code = 'unknown', message: text } = error as Error & { code?: string }
    post({ type: 'refused', number, rows: batch.length, code, message: text })
  }
}

port.on('message', (message: ToShard) => {
  if (message.type === 'batch') void store(message.number, message.batch)
  else {
    void writer.close().finally(() => {
      // Nothing is open any more then.
      livePort?.close()
      port.close()
    })
  }
})
