/** A range of the journal comes back whole, in batches that hold it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { defineAdapter } from '../../device-adapters/adapter.ts'
import { encodeContext } from '../frame-context.ts'
import { openJournal } from '../journal/file-journal.ts'
import { openJournalReader } from '../journal/reader.ts'
import { BacklogReader } from './backlog-reader.ts'
import { JournalDecoder } from './journal-decoder.ts'

const FRAMES = 1_000
const NAMES = 100

/** `NUMBER`: a position with attributes whose names no other frame has. */
const names = defineAdapter({
  id: 'names',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1 },
  maxFrameBytes: 100,
  decode(frame, _session, out) {
    const row = out.add(Number(frame.toString()) * 1000, 1, 2)
    for (let i = 0; i < NAMES; i++) out.set(row, `a${frame.toString()}.${i}`, i)
  },
})

test('frames with more names of attributes than a batch can have are all read', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fleetflow-backlog-'))
  const journal = await openJournal(
    { folder, keepMs: 1e9, keepBytes: 1e9, segmentBytes: 8 * 1024 * 1024 },
    { onDurable() {}, onRoom() {}, onFull() {}, onFailure() {} },
  )
  const device = { model: '', options: {} }
  const context = encodeContext({
    adapter: 'names',
    transport: 'tcp',
    uniqueId: 'bus',
    device,
    dialect: '',
    owners: new Map(),
  })
  for (let i = 0; i < FRAMES; i++) {
    journal.append({ receivedMs: 5, device: 7, context, frame: Buffer.from(String(i)) })
  }
  await journal.close()
  const decoder = new JournalDecoder(new Map([['names', names]]), new Map([['names', 1]]))
  const backlog = new BacklogReader(openJournalReader({ folder }), decoder, () => true)

  let rows = 0
  let last = 0
  for await (const { batch, next, unread } of backlog.batches({ from: 0, to: FRAMES })) {
    rows += batch.length
    expect(next).toBe(rows)
    expect(unread).toEqual([])
    last = next
  }
  expect(last).toBe(FRAMES)
  expect(FRAMES * NAMES).toBeGreaterThan(65_536)
  await rm(folder, { recursive: true })
})
