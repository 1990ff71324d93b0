/**
 * A shard: one thread that marks, stores and publishes the positions of its devices. Batches arrive by transfer, are
 * stored in their order, and go on to live by transfer after the commit. What is in the journal only, the thread reads
 * there itself, and stores it between the batches, which go first.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { Evaluator } from '../geofences/evaluation/evaluator.ts'
import { openJournalReader } from '../journal/reader.ts'
import { BacklogReader } from './backlog-reader.ts'
import { JournalDecoder } from './journal-decoder.ts'
import { LastFixes } from './last-fixes.ts'
import { LiveOutlet } from './live-outlet.ts'
import { QualityCheck } from './quality.ts'
import { refusedFrames } from './refused-frames.ts'
import type { FromShard, JournalRange, ShardOptions, StoredRows, ToShard } from './shard-messages.ts'
import { PositionWriter } from './writer.ts'

const port = parentPort!
const options = workerData as ShardOptions
const { index, shards, databaseUrl, livePort, geofenceDevicesMax } = options
const quality = new QualityCheck()
const reader = openJournalReader(options.journal)
const evaluator = new Evaluator(geofenceDevicesMax)
const writer = new PositionWriter(
  databaseUrl,
  `fleetflow shard ${index}`,
  {
    onDatabase: (up, error) => post({ type: 'database', up, message: error?.message ?? '' }),
  },
  evaluator,
)
const lastFixes = new LastFixes((work) => writer.between(work))
const wants = (device: number) => device % shards === index
const live = livePort === undefined ? undefined : new LiveOutlet(livePort)
/** A position that is stored without the geofences that are there has no events: it waits in the journal. */
let fencesRead = () => {}
const firstFences = new Promise<void>((resolve) => {
  fencesRead = resolve
})
let stopping = false
let loaded: Promise<JournalDecoder> | undefined

/** Loaded when it is first needed: mostly nothing has to be read back. */
function decoder(): Promise<JournalDecoder> {
  loaded ??= JournalDecoder.load(options.decoders)
  return loaded
}

function post(message: FromShard): void {
  port.postMessage(message)
}

/**
 * Stores a batch, and publishes what was stored of it.
 * @throws Error of the connection if the thread is told to stop meanwhile: the journal has the rows.
 */
async function store(batch: PositionBatch, range: JournalRange): Promise<StoredRows> {
  await firstFences
  const startMs = performance.now()
  quality.mark(batch)
  const { rows, duplicates, refused, commits } = await writer.write(batch)
  if (refused.length > 0) {
    post({ type: 'refused', frames: await refusedFrames(reader, await decoder(), range, batch, refused) })
    // A last fix is none that is not in the database: it is passed over as one that is doubtful.
    for (const { row } of refused) batch.quality[row] = 255
  }
  lastFixes.note(batch)
  live?.publish(batch, commits)
  const storeMs = performance.now() - startMs
  return { rows, duplicates, refused: refused.length, storeMs, evaluation: evaluator.takeFigures() }
}

async function storeFresh({ number, batch, range }: ToShard & { type: 'batch' }): Promise<void> {
  const stored = await store(PositionBatch.fromMessage(batch), range)
  post({ type: 'stored', number, ...stored })
}

async function drain({ number, range }: ToShard & { type: 'drain' }): Promise<void> {
  const backlog = new BacklogReader(reader, await decoder(), wants)
  let { from } = range
  for await (const { batch, next, nextReceivedMs, unread, damage } of backlog.batches(range)) {
    if (stopping) return
    if (unread.length > 0) post({ type: 'refused', frames: unread })
    for (const { lost, message } of damage) post({ type: 'damage', lost, message })
    const stored = batch.length === 0 ? NOTHING : await store(batch, { from, to: next })
    from = next
    post({ type: 'drained', number, next, nextReceivedMs, ...stored })
  }
}

const NOTHING: StoredRows = { rows: 0, duplicates: 0, refused: 0, storeMs: 0 }

/** Errors of a thread that goes on are the process's end; of one that stops they are the way out of a wait. */
function run(work: Promise<void>): void {
  work.catch((error) => {
    if (!stopping) throw error
  })
}

port.on('message', (message: ToShard) => {
  switch (message.type) {
    case 'batch':
      run(storeFresh(message))
      return
    case 'drain':
      run(drain(message))
      return
    case 'fences':
      evaluator.update(message.update)
      fencesRead()
      return
    case 'forget':
      evaluator.forget(message.devices)
      return
    case 'stop':
      stopping = true
      void lastFixes.close()
      void writer.close().finally(() => {
        // Nothing is open any more then.
        live?.close()
        port.close()
      })
  }
})
