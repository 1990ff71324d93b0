/** The journal: records that become durable, against the bare system calls that it takes at least. */
import { closeSync, fdatasyncSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { openJournal } from '../ingest/journal/file-journal.ts'
import type { Journal, JournalRecord } from '../ingest/journal/journal.ts'
import { figure, percentile, spread, summarise, times } from './measure.ts'
import type { Question, Row } from './question.ts'

/** As a context of the intake is long. */
const CONTEXT_BYTES = 90
const SEGMENT_BYTES = 64 * 1024 * 1024
const ROUNDS = 5
const ROUND_MS = 400
const RECORDS = 1024

export const journal: Question = {
  name: 'journal',
  title: 'How fast is a frame durable in the journal?',
  method:
    `Frames with ${CONTEXT_BYTES} bytes of context go through \`openJournal\` on the main thread, so many in one turn of the event loop, and ` +
    'the next ones when those are durable; in the last rows so many as there is room for, all the time. The yardsticks are bare loops of ' +
    '`writeSync` and `fdatasyncSync` of the same bytes in groups of the same size, in turns with the journal: into files that were ' +
    'allocated before, which is not counted although the journal has to do it too, and into files that grow.',
  measure: async (bench) => {
    const rows: Row[] = []
    for (const frameBytes of [130, 600]) {
      const records = makeRecords(frameBytes)
      const recordBytes = 22 + CONTEXT_BYTES + frameBytes
      for (const atOnce of [1, 50, 1000, Number.POSITIVE_INFINITY]) {
        const endless = atOnce === Number.POSITIVE_INFINITY
        const name = `${frameBytes} bytes, ${endless ? 'all the time' : `${atOnce} at once`}`
        bench.progress(`journal: ${name}`)
        const measured = new Meter(
          await Durable.open(join(bench.folder, `journal-${frameBytes}-${rows.length}`)),
        )
        const allocated = new BareFile(join(bench.folder, 'allocated'), true)
        const growing = new BareFile(join(bench.folder, 'growing'), false)
        const bare: number[] = []
        const bareGrowing: number[] = []
        for (let round = 0; round < ROUNDS; round++) {
          await (endless ? measured.endless(records) : measured.waiting(records, atOnce))
          const { groupRecords } = measured
          const groupBytes = Math.round(groupRecords * recordBytes)
          bare.push(allocated.perSecond(groupBytes) * groupRecords)
          bareGrowing.push(growing.perSecond(groupBytes) * groupRecords)
        }
        await measured.close()
        allocated.close()
        growing.close()
        const perSecond = summarise(measured.perSecond)
        const syncMs = Float64Array.from(measured.syncMs)
        rows.push({
          name,
          cells: {
            'records/s': spread(perSecond),
            'sync p50 ms': figure(percentile(syncMs, 0.5)),
            'sync p99 ms': figure(percentile(syncMs, 0.99)),
            'records/sync': figure(measured.groupRecords),
            'µs/append': figure(measured.appendMicros),
            'of bare calls': times(perSecond.mean / summarise(bare).mean),
            'of a growing file': times(perSecond.mean / summarise(bareGrowing).mean),
          },
          meaning: endless
            ? `Frames of ${frameBytes} bytes as fast as the journal takes them; the time of a sync is that from append to durable.`
            : `${atOnce === 1 ? 'One frame' : `${atOnce} frames`} of ${frameBytes} bytes, then a wait until they are durable.`,
        })
      }
    }
    return rows
  },
}

function makeRecords(frameBytes: number): JournalRecord[] {
  // Frames come at any address, as they do out of sockets.
  const bytes = Buffer.alloc(RECORDS * (frameBytes + 1), 0x5a)
  const context = Buffer.alloc(CONTEXT_BYTES, 0x20)
  return Array.from({ length: RECORDS }, (_, index) => ({
    receivedMs: Date.UTC(2026, 0, 1) + index,
    device: index + 1,
    context,
    frame: bytes.subarray(index * (frameBytes + 1), index * (frameBytes + 1) + frameBytes),
  }))
}

/** A journal that can be waited for. */
class Durable {
  journal!: Journal
  onDurable: (position: number) => void = () => {}
  onRoom: () => void = () => {}

  static async open(folder: string): Promise<Durable> {
    const durable = new Durable()
    durable.journal = await openJournal(
      { folder, keepMs: 0, keepBytes: 0, segmentBytes: SEGMENT_BYTES },
      {
        onDurable: (position) => durable.onDurable(position),
        onRoom: () => durable.onRoom(),
        onFull: (full, message) => {
          if (full) throw new Error(`the disk is full: ${message}`)
        },
        onFailure: (error) => {
          throw error
        },
      },
    )
    return durable
  }
}

class Meter {
  readonly perSecond: number[] = []
  readonly syncMs: number[] = []
  private readonly durable: Durable
  private records = 0
  private syncs = 0
  /** Of each turn, a record. */
  private readonly appendMs: number[] = []

  constructor(durable: Durable) {
    this.durable = durable
  }

  /** Records of a group, on average. */
  get groupRecords(): number {
    return this.records / this.syncs
  }

  /** Median, which waits for a processor do not lengthen. */
  get appendMicros(): number {
    return percentile(Float64Array.from(this.appendMs), 0.5) * 1000
  }

  async waiting(records: readonly JournalRecord[], atOnce: number): Promise<void> {
    const { durable } = this
    const { journal } = durable
    const startMs = performance.now()
    const startRecords = this.records
    while (performance.now() - startMs < ROUND_MS) {
      const synced = new Promise<void>((resolve) => {
        durable.onDurable = (position) => position === journal.end && resolve()
      })
      const appendMs = performance.now()
      for (let i = 0; i < atOnce; i++) journal.append(records[i % RECORDS]!)
      this.appendMs.push((performance.now() - appendMs) / atOnce)
      await synced
      this.syncMs.push(performance.now() - appendMs)
      this.records += atOnce
      this.syncs++
    }
    this.ended(startMs, startRecords)
  }

  async endless(records: readonly JournalRecord[]): Promise<void> {
    const { durable } = this
    const { journal } = durable
    const startMs = performance.now()
    const startRecords = this.records
    /** When the first record of each group that is not durable was appended, and the position behind its last. */
    const groups: { end: number; readonly sinceMs: number }[] = []
    durable.onDurable = (position) => {
      this.syncs++
      while (groups.length > 0 && groups[0]!.end <= position) {
        this.syncMs.push(performance.now() - groups.shift()!.sinceMs)
      }
    }
    while (performance.now() - startMs < ROUND_MS) {
      const sinceMs = performance.now()
      const first = journal.end
      for (let i = 0; i < RECORDS && journal.hasRoom; i++) journal.append(records[i]!)
      const count = journal.end - first
      this.appendMs.push((performance.now() - sinceMs) / count)
      this.records += count
      groups.push({ end: journal.end, sinceMs })
      if (journal.hasRoom) await new Promise((resolve) => setImmediate(resolve))
      else await new Promise<void>((resolve) => (durable.onRoom = resolve))
    }
    const all = new Promise<void>((resolve) => {
      const { onDurable } = durable
      durable.onDurable = (position) => {
        onDurable(position)
        if (position === journal.end) resolve()
      }
    })
    if (journal.durable < journal.end) await all
    this.ended(startMs, startRecords)
  }

  async close(): Promise<void> {
    await this.durable.journal.close()
  }

  private ended(startMs: number, startRecords: number): void {
    this.perSecond.push(((this.records - startRecords) * 1000) / (performance.now() - startMs))
    this.durable.journal.trim(this.durable.journal.durable)
  }
}

/** Files of the size of a segment, one after the other. */
class BareFile {
  private readonly path: string
  private readonly allocated: boolean
  private file: number
  private at = 0

  /** @param allocated Whether the files were filled with zeros and synced before, as a segment is. */
  constructor(path: string, allocated: boolean) {
    this.path = path
    this.allocated = allocated
    this.file = this.next()
  }

  /** @returns How many times a second so many bytes are written and synced. */
  perSecond(bytes: number): number {
    const group = Buffer.alloc(bytes, 0x5a)
    let count = 0
    let elapsedMs = 0
    while (elapsedMs < ROUND_MS) {
      if (this.at + bytes > SEGMENT_BYTES) {
        this.close()
        this.file = this.next()
      }
      const startMs = performance.now()
      writeSync(this.file, group, 0, bytes, this.at)
      fdatasyncSync(this.file)
      elapsedMs += performance.now() - startMs
      this.at += bytes
      count++
    }
    return (count * 1000) / elapsedMs
  }

  close(): void {
    closeSync(this.file)
    rmSync(this.path)
  }

  private next(): number {
    const file = openSync(this.path, 'w')
    const zeros = Buffer.alloc(1024 * 1024)
    for (let at = 0; this.allocated && at < SEGMENT_BYTES; at += zeros.length)
      writeSync(file, zeros, 0, zeros.length, at)
    fsyncSync(file)
    this.at = 0
    return file
  }
}
