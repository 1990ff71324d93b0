/**
 * A journal in files of this machine, main thread's side: copies records into the open group and hands it to the
 * journal thread when that has synced the group before. Of two buffers one is filled while the other is written.
 */
import { once } from 'node:events'
import { resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { threadUrl } from '../../storage/project-root.ts'
import {
  CONTEXT_BYTES_MAX,
  RECORD_BYTES_MAX,
  recordBytes,
  SEGMENT_HEADER_BYTES,
  writeRecord,
} from './format.ts'
import {
  type Journal,
  JournalError,
  type JournalEvents,
  type JournalFigures,
  type JournalOptions,
  type JournalPosition,
  type JournalRecord,
} from './journal.ts'
import type {
  FromJournalThread,
  JournalThreadData,
  SegmentFigures,
  ToJournalThread,
} from './journal-thread.ts'

/** Bytes of a group that takes no more records. */
export const GROUP_BYTES_MAX = 4 * 1024 * 1024
/** A group below its limit takes a record of any size; what is never used of a buffer takes no memory. */
const BUFFER_BYTES = GROUP_BYTES_MAX + RECORD_BYTES_MAX
/** What {@link Journal.trim} said is remembered so often at most, ms. */
const TRIM_MS = 1_000

interface Group {
  /** Number of the buffer on the thread. */
  readonly index: number
  readonly buffer: Buffer
  readonly view: DataView
  bytes: number
}

/**
 * Opens the journal of a folder for writing.
 * @throws JournalError `journal-locked`, `journal-version`, `journal-io`
 */
export async function openJournal(options: JournalOptions, events: JournalEvents): Promise<Journal> {
  const buffers = [new SharedArrayBuffer(BUFFER_BYTES), new SharedArrayBuffer(BUFFER_BYTES)]
  const data: JournalThreadData = { options: { ...options, folder: resolve(options.folder) }, buffers }
  const worker = new Worker(threadUrl('ingest/journal/journal-thread'), { workerData: data, name: 'journal' })
  const [message] = (await once(worker, 'message')) as [FromJournalThread]
  if (message.type === 'opened') return new FileJournal(worker, buffers, message, options, events)
  await worker.terminate()
  if (message.type === 'failed') throw new JournalError(message.code, message.message)
  throw new Error(`the journal thread said ${message.type} before it was open`)
}

class FileJournal implements Journal {
  readonly start: JournalPosition
  readonly tornBytes: number
  end: JournalPosition
  durable: JournalPosition
  private readonly worker: Worker
  private readonly events: JournalEvents
  private readonly recordBytesMax: number
  private open: Group
  /** The group that is not open: it is in flight, or free. */
  private other: Group
  private inFlightBytes = 0
  private handOverPlanned = false
  private kept: SegmentFigures
  private trimmed: JournalPosition
  private trimTimer: NodeJS.Timeout | undefined
  private trimPostedMs = Number.NEGATIVE_INFINITY
  private fullMessage: string | undefined
  private failure: Error | undefined
  private closing: Promise<void> | undefined
  private closed = false
  private readonly exited: Promise<unknown>
  /** Called when something that {@link drain} waits for may have happened. */
  private wake: () => void = () => {}

  constructor(
    worker: Worker,
    buffers: readonly SharedArrayBuffer[],
    opened: FromJournalThread & { type: 'opened' },
    options: JournalOptions,
    events: JournalEvents,
  ) {
    this.worker = worker
    this.events = events
    this.start = opened.start
    this.trimmed = opened.start
    this.end = opened.end
    this.durable = opened.end
    this.tornBytes = opened.tornBytes
    this.kept = opened.figures
    this.recordBytesMax = Math.min(RECORD_BYTES_MAX, options.segmentBytes - SEGMENT_HEADER_BYTES)
    const [open, other] = buffers.map((buffer, index) => ({
      index,
      buffer: Buffer.from(buffer),
      view: new DataView(buffer),
      bytes: 0,
    }))
    this.open = open!
    this.other = other!
    worker.on('message', (message: FromJournalThread) => this.receive(message))
    worker.on('error', (error) => this.fail(error))
    this.exited = new Promise((resolve) => worker.once('exit', resolve))
    worker.once('exit', () => {
      if (!this.closed) this.fail(new Error('the journal thread ended'))
    })
  }

  get hasRoom(): boolean {
    return this.open.bytes < GROUP_BYTES_MAX && this.failure === undefined && this.closing === undefined
  }

  get figures(): JournalFigures {
    return { ...this.kept, pendingBytes: this.inFlightBytes + this.open.bytes }
  }

  append(record: JournalRecord): JournalPosition {
    const group = this.open
    if (!this.hasRoom) throw new RangeError('the journal has no room: wait for onRoom')
    if (record.context.length > CONTEXT_BYTES_MAX || recordBytes(record) > this.recordBytesMax) {
      throw new RangeError(
        `a record of ${record.context.length} bytes of context and ${record.frame.length} of frame is larger than the journal takes, which is ${this.recordBytesMax} in all`,
      )
    }
    group.bytes = writeRecord(group.buffer, group.view, group.bytes, record)
    if (group.bytes >= GROUP_BYTES_MAX) this.handOver()
    else if (!this.handOverPlanned && this.inFlightBytes === 0) {
      this.handOverPlanned = true
      // At the end of this turn of the event loop: what all sockets brought in it is synced as one.
      setImmediate(() => {
        this.handOverPlanned = false
        this.handOver()
      })
    }
    return this.end++
  }

  trim(position: JournalPosition): void {
    const trimmed = Math.min(position, this.durable)
    if (trimmed <= this.trimmed || this.closing !== undefined) return
    this.trimmed = trimmed
    if (this.trimTimer !== undefined) return
    const waitMs = this.trimPostedMs + TRIM_MS - performance.now()
    if (waitMs <= 0) this.postTrim()
    else this.trimTimer = setTimeout(() => this.postTrim(), waitMs).unref()
  }

  close(): Promise<void> {
    this.closing ??= this.drain()
    return this.closing
  }

  private async drain(): Promise<void> {
    const settled = () =>
      this.durable === this.end || this.failure !== undefined || this.fullMessage !== undefined
    this.handOver()
    while (!settled()) await new Promise<void>((resolve) => (this.wake = resolve))
    const { fullMessage } = this
    this.postTrim()
    this.post({ type: 'close' })
    await this.exited
    if (this.failure !== undefined) throw this.failure
    if (this.durable < this.end) {
      throw new JournalError(
        'journal-io',
        `the disk is full (${fullMessage}): ${this.end - this.durable} records that were not acknowledged are not kept`,
      )
    }
  }

  private postTrim(): void {
    clearTimeout(this.trimTimer)
    this.trimTimer = undefined
    this.trimPostedMs = performance.now()
    this.post({ type: 'trim', position: this.trimmed })
  }

  private handOver(): void {
    if (this.inFlightBytes > 0 || this.open.bytes === 0 || this.failure !== undefined) return
    const group = this.open
    this.open = this.other
    this.open.bytes = 0
    this.other = group
    this.inFlightBytes = group.bytes
    this.post({ type: 'group', buffer: group.index, bytes: group.bytes })
  }

  private post(message: ToJournalThread): void {
    this.worker.postMessage(message)
  }

  private receive(message: FromJournalThread): void {
    switch (message.type) {
      case 'durable': {
        if (this.failure !== undefined) return
        const hadRoom = this.hasRoom
        this.durable = message.position
        this.kept = message.figures
        if (message.whole) {
          this.inFlightBytes = 0
          this.handOver()
        }
        this.wake()
        this.events.onDurable(message.position)
        if (!hadRoom && this.hasRoom) this.events.onRoom()
        return
      }
      case 'figures':
        this.kept = message.figures
        return
      case 'full':
        this.fullMessage = message.full ? message.message : undefined
        this.wake()
        this.events.onFull(message.full, message.message)
        return
      case 'closed':
        this.closed = true
        return
      case 'failed':
        this.fail(new JournalError(message.code, message.message))
    }
  }

  private fail(error: Error): void {
    if (this.failure !== undefined) return
    this.failure = error
    this.wake()
    this.events.onFailure(error)
  }
}
