/**
 * What a journal is: the frames that were received, in their order, durable before anything is replied. All else of
 * the engine is derived from it. Files of this machine are one way to keep it (`file-journal.ts`); a replicated log can
 * stand behind the same calls, so nothing outside this folder may know that it is files.
 */

/**
 * Place of a record: the first record ever has 0, each next one more. Compare and subtract positions (the difference is
 * a number of records); anything else they mean is the journal's own business.
 */
export type JournalPosition = number

export interface JournalRecord {
  /** Clock of the server when the frame came in, ms UTC. */
  readonly receivedMs: number
  /** Key of the record: `devices.id`; 0 for a frame with positions of several devices. */
  readonly device: number
  /** What the frame has to be decoded with, as the writer of records defines it; at most 65,535 bytes. */
  readonly context: Buffer
  /** The frame as it came. */
  readonly frame: Buffer
}

/** A record as it is read; its buffers are good only until the next chunk is asked for. */
export interface JournalEntry extends JournalRecord {
  readonly position: JournalPosition
}

export interface JournalEvents {
  /** All records before this position are durable now. Called once for each group that was synced. */
  onDurable(position: JournalPosition): void
  /** {@link Journal.hasRoom} says yes again after it said no. */
  onRoom(): void
  /**
   * The disk is full, or is not any more. While it is, nothing becomes durable and there is soon no room; the journal
   * tries again by itself.
   */
  onFull(full: boolean, message: string): void
  /** What was written may not be on the disk, or a thread died: nothing may be acknowledged any more. */
  onFailure(error: Error): void
}

/** Figures for the metrics. */
export interface JournalFigures {
  /** Bytes of all segments that are kept, and their number. */
  readonly bytes: number
  readonly segments: number
  /** Bytes of records that are not durable yet. */
  readonly pendingBytes: number
}

/** The writing side: one owner, on one thread. */
export interface Journal {
  /** Where reading has to start after a restart: what the last {@link trim} said, or the oldest record that is kept. */
  readonly start: JournalPosition
  /** Position that the next record gets. */
  readonly end: JournalPosition
  /** All records before it are durable. */
  readonly durable: JournalPosition
  /** Whether a record may be appended. */
  readonly hasRoom: boolean
  readonly figures: JournalFigures
  /** Has the tail of the journal that a power cut left half written been cut off, and how many bytes; 0 = none. */
  readonly tornBytes: number

  /**
   * Appends a record; its buffers may be used again after the call. `onDurable` tells when it is durable; records of
   * one turn of the event loop, and all that come while a sync is under way, are synced together.
   * @returns Its position.
   * @throws RangeError without room, or if context and frame are larger than any group may be.
   */
  append(record: JournalRecord): JournalPosition

  /**
   * Says that nothing before `position` is needed for recovery. It is kept for `reprocess`, as long as the
   * configuration says. Cheap: what is remembered over a restart may be older, never newer.
   */
  trim(position: JournalPosition): void

  /** Makes durable what was appended and remembers the last trim, then gives the journal free for another owner. */
  close(): Promise<void>
}

/** The reading side: any number of readers, on any thread, beside the owner or without one. */
export interface JournalReader {
  /**
   * Records from `from` (or the oldest that is kept) up to, not including, `to`, in order and in chunks of bounded
   * memory. The caller knows that `to` is not beyond what is durable; without it, reading ends at the last whole record.
   * A record that is damaged although it was synced ends its segment; reading goes on with the next one, and
   * `onDamage` is told how many records are lost.
   * @param wants Which devices' records to read (0 comes always); all if not given.
   */
  read(
    from: JournalPosition,
    to?: JournalPosition,
    options?: { wants?: (device: number) => boolean; onDamage?: (lost: number, message: string) => void },
  ): AsyncIterable<readonly JournalEntry[]>

  /** First record that may have been received at or after `receivedMs`; clocks may step back by up to a minute. */
  seek(receivedMs: number): Promise<JournalPosition>
}

/** Where a journal is, and how much it keeps; can be posted to a thread. */
export interface JournalOptions {
  /** Folder of its own; made if it is not there. */
  readonly folder: string
  /** A segment that was drained is kept so long after its last record, ms. */
  readonly keepMs: number
  /** And so many bytes of drained segments at most; all of them go, oldest first, before the disk counts as full. */
  readonly keepBytes: number
  /** Bytes of a segment, allocated before it is used. */
  readonly segmentBytes: number
}

/** A journal that cannot be opened or went wrong: what is wrong and what to do. */
export class JournalError extends Error {
  override readonly name = 'JournalError'
  /** `journal-locked`, `journal-io`, `journal-version`. */
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
