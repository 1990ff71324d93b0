/** Frames of refused positions are found in the journal, whatever else is in it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { defineAdapter } from '../../device-adapters/adapter.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { encodeContext } from '../frame-context.ts'
import { openJournal } from '../journal/file-journal.ts'
import { openJournalReader } from '../journal/reader.ts'
import { JournalDecoder } from './journal-decoder.ts'
import { refusedFrames } from './refused-frames.ts'

/** `SECOND…`: a position for each. */
const seconds = defineAdapter({
  id: 'seconds',
  version: 1,
  makers: ['Acme'],
  source: 'this file',
  listen: { tcp: 1 },
  maxFrameBytes: 100,
  decode(frame, _session, out) {
    for (const second of frame.toString().split(' ')) out.add(Number(second) * 1000, 1, 2)
  },
})
const decoder = new JournalDecoder(new Map([['seconds', seconds]]), new Map([['seconds', 1]]))
const all = () => true
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleetflow-refused-'))
})
afterEach(() => rm(folder, { recursive: true }))

const recordOf = (adapter: string, frame: string) => ({
  receivedMs: 5,
  device: 7,
  context: encodeContext({
    adapter,
    transport: 'tcp',
    uniqueId: 'bus',
    device: { model: '', options: {} },
    dialect: '',
    owners: new Map(),
  }),
  frame: Buffer.from(frame),
})

test('a frame that this version cannot read does not keep those of refused positions from being found', async () => {
  const journal = await openJournal(
    { folder, keepMs: 1e9, keepBytes: 1e9, segmentBytes: 8 * 1024 * 1024 },
    { onDurable() {}, onRoom() {}, onFull() {}, onFailure() {} },
  )
  const records = [recordOf('gone', '1'), recordOf('seconds', '2 3'), recordOf('seconds', '4')]
  for (const record of records) journal.append(record)
  await journal.close()
  const batch = new PositionBatch(8)
  for (const record of records.slice(1)) decoder.decode(record, batch, all)
  const code = '22003'
  const refused = [0, 1, 2].map((row) => ({ row, code, message: `row ${row}` }))
  const range = { from: 0, to: 3 }

  const frames = await refusedFrames(openJournalReader({ folder }), decoder, range, batch, refused)

  const told = { protocol: 'seconds', uniqueId: 'bus', code }
  expect(frames).toEqual([
    { ...told, message: 'row 0', frame: Buffer.from('2 3') },
    { ...told, message: 'row 1', frame: Buffer.from('2 3') },
    { ...told, message: 'row 2', frame: Buffer.from('4') },
  ])
  expect(frames[0]!.frame).toBe(frames[1]!.frame)

  batch.fixTimeMs[0] = 99_000
  const lost = await refusedFrames(openJournalReader({ folder }), decoder, range, batch, refused.slice(0, 1))
  expect(lost).toEqual([{ protocol: '', uniqueId: '', code, message: 'row 0', frame: new Uint8Array(0) }])
})
