import { journalConformance } from './conformance.ts'
import { openJournal } from './file-journal.ts'
import { journalFolder } from './journal-fixture.ts'
import { openJournalReader } from './reader.ts'

journalConformance('a folder', async (segments = 'small') => {
  const options = {
    folder: await journalFolder(),
    keepMs: 3_600_000,
    keepBytes: 1e9,
    segmentBytes: segments === 'small' ? 4096 : 64 * 1024 * 1024,
  }
  return { open: (events) => openJournal(options, events), reader: () => openJournalReader(options) }
})
