import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type JournalPlace, journalConformance } from './conformance.ts'
import { openJournal } from './file-journal.ts'
import type { JournalOptions } from './journal.ts'
import { openJournalReader } from './reader.ts'

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fleetflow-journal-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function makePlace(segments: 'small' | 'large' = 'small'): Promise<JournalPlace> {
  const options: JournalOptions = {
    folder: join(await temporaryFolder(), 'journal'),
    keepMs: 3_600_000,
    keepBytes: 1e9,
    segmentBytes: segments === 'small' ? 4096 : 64 * 1024 * 1024,
  }
  return { open: (events) => openJournal(options, events), reader: () => openJournalReader(options) }
}

journalConformance('a folder', makePlace)
