/** Reads a range of the journal back into batches of positions, for recovery and for a shard that fell behind. */
import { DecodeError } from '../../device-adapters/adapter.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import type { JournalEntry, JournalPosition, JournalReader } from '../journal/journal.ts'
import type { JournalDecoder } from './journal-decoder.ts'
import type { JournalRange, RefusedFrame } from './shard-messages.ts'

/**
 * Rows after which a batch is handed on; one frame more may be in it. More make the commits hardly cheaper, while fresh
 * rows wait for each, and what lives as long as a commit takes the garbage collector late.
 */
const BATCH_ROWS = 2048
const BATCH_FRAME_BYTES = 4 * 1024 * 1024
/** Names of attributes after which a batch is full. A frame adds fewer than are then left of the 65,536 that it can have. */
export const BATCH_KEYS_MAX = 16_384

export interface BacklogBatch {
  /** May be empty: at the start of the range, and where none of its records are of the devices wanted. */
  readonly batch: PositionBatch
  /** All before it was handed on when this batch is stored; the end of the range in the last batch. */
  readonly next: JournalPosition
  /** When the record there came in, ms UTC; NaN at the end. */
  readonly nextReceivedMs: number
  /** Frames that this version cannot read any more. */
  readonly unread: readonly RefusedFrame[]
  readonly damage: readonly { readonly lost: number; readonly message: string }[]
}

export class BacklogReader {
  private readonly reader: JournalReader
  private readonly decoder: JournalDecoder
  private readonly wants: (device: number) => boolean
  private batch = new PositionBatch(BATCH_ROWS)
  private frameBytes = 0
  private unread: RefusedFrame[] = []
  private damage: { lost: number; message: string }[] = []

  /** @param wants Which devices' positions. */
  constructor(reader: JournalReader, decoder: JournalDecoder, wants: (device: number) => boolean) {
    this.reader = reader
    this.decoder = decoder
    this.wants = wants
  }

  /** Batches of the records in `range`, in their order; memory holds one of them and a chunk of the journal. */
  async *batches({ from, to }: JournalRange): AsyncIterable<BacklogBatch> {
    const onDamage = (lost: number, message: string) => this.damage.push({ lost, message })
    let first = true
    for await (const entries of this.reader.read(from, to, { wants: this.wants, onDamage })) {
      for (const entry of entries) {
        if (first || this.full) {
          yield this.take(entry.position, entry.receivedMs)
          first = false
        }
        this.decode(entry)
      }
    }
    yield this.take(to, Number.NaN)
  }

  private get full(): boolean {
    const { batch, frameBytes } = this
    return (
      batch.length >= BATCH_ROWS || frameBytes >= BATCH_FRAME_BYTES || batch.keys.length >= BATCH_KEYS_MAX
    )
  }

  private decode(entry: JournalEntry): void {
    // Those that cannot be read, too: they are held as long.
    this.frameBytes += entry.frame.length
    try {
      this.decoder.decode(entry, this.batch, this.wants)
    } catch (error) {
      const { code, message } = DecodeError.of(error)
      const { adapter, uniqueId } = this.decoder.contextOf(entry)
      this.unread.push({ protocol: adapter, uniqueId, code, message, frame: Buffer.from(entry.frame) })
    }
  }

  private take(next: JournalPosition, nextReceivedMs: number): BacklogBatch {
    const { batch, unread, damage } = this
    this.batch = new PositionBatch(BATCH_ROWS)
    this.frameBytes = 0
    this.unread = []
    this.damage = []
    return { batch, next, nextReceivedMs, unread, damage }
  }
}
