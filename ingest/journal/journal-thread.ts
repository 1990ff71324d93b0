/** Thread of a journal: writes and syncs one group after the other, and answers when it is durable. */
import { parentPort, workerData } from 'node:worker_threads'
import { FolderDisk } from './disk.ts'
import { JournalError, type JournalOptions, type JournalPosition } from './journal.ts'
import { FolderLock, HEARTBEAT_DEAD_MS, HEARTBEAT_MS } from './lock.ts'
import { DiskFull, type Group, SegmentWriter } from './segment-writer.ts'

export interface JournalThreadData {
  readonly options: JournalOptions
  /** What main writes records into; a group that was posted is not touched until it is answered. */
  readonly buffers: readonly SharedArrayBuffer[]
}

/** Main to thread. */
export type ToJournalThread =
  | { readonly type: 'group'; readonly buffer: number; readonly bytes: number }
  | { readonly type: 'trim'; readonly position: JournalPosition }
  | { readonly type: 'close' }

export interface SegmentFigures {
  readonly bytes: number
  readonly segments: number
}

/** Thread to main. */
export type FromJournalThread =
  | {
      readonly type: 'opened'
      readonly start: JournalPosition
      readonly end: JournalPosition
      readonly tornBytes: number
      readonly figures: SegmentFigures
    }
  | {
      readonly type: 'durable'
      readonly position: JournalPosition
      /** Whether that is the whole group. */
      readonly whole: boolean
      readonly figures: SegmentFigures
    }
  | { readonly type: 'figures'; readonly figures: SegmentFigures }
  | { readonly type: 'full'; readonly full: boolean; readonly message: string }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  | { readonly type: 'closed' }

const FULL_RETRY_MS = 1_000
const EXPIRE_MS = 60_000

const port = parentPort!
const { options, buffers } = workerData as JournalThreadData

function post(message: FromJournalThread): void {
  port.postMessage(message)
}

class JournalThread {
  private readonly lock: FolderLock
  private readonly writer: SegmentWriter
  private readonly timers: NodeJS.Timeout[]
  private touchedMs = performance.now()
  /** What main was told is durable. */
  private told: JournalPosition
  /** The group that waits for room on the disk. */
  private waiting: Group | undefined
  private retry: NodeJS.Timeout | undefined
  private failed = false

  constructor(lock: FolderLock, writer: SegmentWriter) {
    this.lock = lock
    this.writer = writer
    this.told = writer.end
    this.timers = [
      setInterval(() => this.guarded(() => this.touch()), HEARTBEAT_MS),
      setInterval(() => this.guarded(() => writer.expire()), EXPIRE_MS),
    ]
    port.on('message', (message: ToJournalThread) => this.receive(message))
  }

  private receive(message: ToJournalThread): void {
    switch (message.type) {
      case 'group':
        this.write({ bytes: Buffer.from(buffers[message.buffer]!, 0, message.bytes), at: 0 })
        return
      case 'trim':
        this.guarded(() => {
          this.writer.trim(message.position)
          post({ type: 'figures', figures: this.writer.figures })
        })
        // There may be something to remove now.
        if (this.waiting !== undefined) this.write(this.waiting)
        return
      case 'close':
        void this.close()
    }
  }

  private write(group: Group): void {
    clearTimeout(this.retry)
    this.guarded(() => {
      try {
        this.writer.write(group)
      } catch (error) {
        if (!(error instanceof DiskFull)) throw error
        // Told of, its beginning can be stored and trimmed, which may be what makes room.
        if (this.writer.end > this.told) this.postDurable(false)
        if (this.waiting === undefined) post({ type: 'full', full: true, message: error.message })
        this.waiting = group
        this.retry = setTimeout(() => this.write(group), FULL_RETRY_MS)
        return
      }
      if (this.waiting !== undefined) post({ type: 'full', full: false, message: '' })
      this.waiting = undefined
      this.postDurable(true)
    })
  }

  private postDurable(whole: boolean): void {
    // A sync may take so long that others took this thread for dead, and its records for torn.
    if (performance.now() - this.touchedMs > HEARTBEAT_DEAD_MS / 2) this.touch()
    const { end, figures } = this.writer
    this.told = end
    post({ type: 'durable', position: end, whole, figures })
  }

  private touch(): void {
    if (!this.lock.touch()) {
      throw new JournalError(
        'journal-locked',
        `another process took the journal in ${options.folder} over, because this one gave no sign of life for ${HEARTBEAT_DEAD_MS / 1000} s: stop one of them`,
      )
    }
    this.touchedMs = performance.now()
  }

  private async close(): Promise<void> {
    clearTimeout(this.retry)
    for (const timer of this.timers) clearInterval(timer)
    this.guarded(() => this.touch())
    try {
      if (!this.failed) await this.writer.close()
      this.lock.release()
      post({ type: 'closed' })
    } catch (error) {
      fail(error)
    }
    port.close()
  }

  /** Tells of the first error; nothing is done after it: the files may be another process's by then. */
  private guarded(work: () => void): void {
    if (this.failed) return
    try {
      work()
    } catch (error) {
      this.failed = true
      fail(error)
    }
  }
}

function fail(error: unknown): void {
  const code = error instanceof JournalError ? error.code : 'journal-io'
  post({ type: 'failed', code, message: (error as Error).message })
}

async function open(): Promise<void> {
  let lock: FolderLock | undefined
  try {
    const disk = new FolderDisk(options.folder)
    lock = await FolderLock.take(options.folder)
    const writer = new SegmentWriter(disk, options)
    new JournalThread(lock, writer)
    const { start, end, tornBytes, figures } = writer
    post({ type: 'opened', start, end, tornBytes, figures })
  } catch (error) {
    lock?.release()
    if (error instanceof JournalError) throw error
    throw new JournalError(
      'journal-io',
      `the journal in ${options.folder} cannot be opened: ${(error as Error).message}; look at its rights and its disk, or give another DATA_DIR`,
    )
  }
}

await open().catch(fail)
