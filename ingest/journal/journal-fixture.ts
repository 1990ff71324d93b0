/** What tests of the journal share: its owner, records that can be told apart, and folders that go with the test. */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { recordBytes, writeRecord } from './format.ts'
import type {
  Journal,
  JournalEntry,
  JournalEvents,
  JournalPosition,
  JournalReader,
  JournalRecord,
} from './journal.ts'
import type { Group } from './segment-writer.ts'

/** A journal that is empty at first and can be opened again and again. */
export interface JournalPlace {
  open(events: JournalEvents): Promise<Journal>
  reader(): JournalReader
}

/** An open journal, and what it told. */
export class Owner {
  readonly durable: JournalPosition[] = []
  readonly full: boolean[] = []
  readonly failures: Error[] = []
  rooms = 0
  journal!: Journal
  private waiting: (() => void)[] = []

  static async open(place: JournalPlace): Promise<Owner> {
    const owner = new Owner()
    owner.journal = await place.open({
      onDurable: (position) => {
        owner.durable.push(position)
        owner.wake()
      },
      onRoom: () => {
        owner.rooms++
        owner.wake()
      },
      onFull: (full) => {
        owner.full.push(full)
        owner.wake()
      },
      onFailure: (error) => {
        owner.failures.push(error)
        owner.wake()
      },
    })
    return owner
  }

  /** Resolves when `condition` holds; it is looked at after each event. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.waiting.push(resolve))
  }

  /** Resolves when all that was appended is durable. */
  async synced(): Promise<void> {
    await this.until(() => this.journal.durable === this.journal.end)
  }

  private wake(): void {
    const { waiting } = this
    this.waiting = []
    for (const resume of waiting) resume()
  }
}

/** A record that can be told from all others. */
export function record(
  number: number,
  options: { device?: number; frameBytes?: number } = {},
): JournalRecord {
  const frame = Buffer.alloc(options.frameBytes ?? 20 + (number % 50), `frame ${number} `)
  return {
    receivedMs: 1_700_000_000_000 + number,
    device: options.device ?? 1 + (number % 5),
    context: Buffer.from(`{"number":${number}}`),
    frame,
  }
}

/** All records of a range, with buffers that stay. */
export async function readAll(
  reader: JournalReader,
  from: JournalPosition = 0,
  to?: JournalPosition,
  options?: Parameters<JournalReader['read']>[2],
): Promise<JournalEntry[]> {
  const all: JournalEntry[] = []
  for await (const entries of reader.read(from, to, options)) {
    for (const entry of entries) {
      all.push({ ...entry, context: Buffer.from(entry.context), frame: Buffer.from(entry.frame) })
    }
  }
  return all
}

export function entriesOf(records: readonly JournalRecord[], first: JournalPosition = 0): JournalEntry[] {
  return records.map((one, index) => ({ position: first + index, ...one }))
}

export function records(count: number, first = 0): JournalRecord[] {
  return Array.from({ length: count }, (_, index) => record(first + index))
}

/** Records as they are handed to the writer of segments. */
export function groupOf(given: readonly JournalRecord[]): Group {
  const bytes = Buffer.alloc(given.reduce((sum, one) => sum + recordBytes(one), 0))
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  let at = 0
  for (const one of given) at = writeRecord(bytes, view, at, one)
  return { bytes, at: 0 }
}

/** A folder that is not there yet, in one that is removed after the test. */
export async function journalFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fleetflow-journal-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'journal')
}

/** A file system of its own, so small that it is soon full; undefined where this user may not mount one. */
export function smallFileSystem(folder: string, bytes: number): string | undefined {
  mkdirSync(folder)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  onTestFinished(() => void execFileSync('umount', ['-l', folder]))
  return folder
}
