/**
 * Where the devices of a shard are now, for the API: the newest undoubted fix of each goes to table `last_fixes`, over the
 * connection of the writer between two batches. What is not written when the process is killed is put right at the next
 * start, see last-fixes-repair.ts.
 */
import type pg from 'pg'
import type { PositionBatch } from '../../schemas/position-batch.ts'

/** Time between the beginnings of two rounds, ms. */
const ROUND_MS = 1_000
/**
 * Pause after a round, in times of what it took: with very many devices the fixes get older than a second, and no more
 * than a sixtieth of the connection's time is taken from the batches.
 */
const PAUSE_RATIO = 60
/** Devices of one statement, which a batch may have to wait for. */
const STATEMENT_DEVICES = 1_000
/** Devices that there is room for at first. */
const FIRST_SLOTS = 1_024

const UPSERT = `
  INSERT INTO last_fixes AS l (device_id, fix_time, latitude, longitude)
  SELECT id, timestamptz 'epoch' + ms * interval '1 ms', latitude, longitude
  FROM unnest($1::integer[], $2::float8[], $3::float8[], $4::float8[]) AS fix (id, ms, latitude, longitude)
  -- A device may be gone meanwhile.
  JOIN devices USING (id)
  ON CONFLICT (device_id) DO UPDATE
    SET fix_time = excluded.fix_time, latitude = excluded.latitude, longitude = excluded.longitude
    WHERE excluded.fix_time > l.fix_time`

/** Runs work on a connection between two batches; not at all while there is none. */
export type Between = (work: (client: pg.ClientBase) => Promise<void>) => Promise<void>

export class LastFixes {
  private readonly between: Between
  /** Places of the devices in the columns, in which their newest fixes are. */
  private readonly slots = new Map<number, number>()
  private columns = new Columns(FIRST_SLOTS)
  /** Places whose fix is not written, each once. */
  private unwritten: number[] = []
  private timer: NodeJS.Timeout | undefined
  private spentMs = 0
  private closed = false

  constructor(between: Between) {
    this.between = between
    this.wait(ROUND_MS)
  }

  /** Takes the rows of a batch that is committed. */
  note(batch: PositionBatch): void {
    const { device: devices, fixTimeMs, quality, latitudeDeg, longitudeDeg } = batch
    let device = -1
    let slot = 0
    for (let row = 0; row < batch.length; row++) {
      if (quality[row] !== 0) continue
      // Rows of a device mostly stand together.
      if (devices[row] !== device) {
        device = devices[row]!
        slot = this.slots.get(device) ?? this.addSlot(device)
      }
      const { columns } = this
      if (fixTimeMs[row]! <= columns.fixTimeMs[slot]!) continue
      columns.fixTimeMs[slot] = fixTimeMs[row]!
      columns.latitudeDeg[slot] = latitudeDeg[row]!
      columns.longitudeDeg[slot] = longitudeDeg[row]!
      this.toWrite(slot)
    }
  }

  /** Writes what is noted, if there is a connection, and then no more. Whoever closes the writer next waits for it. */
  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.timer)
    await Promise.all(this.takePieces().map((piece) => this.store(piece)))
  }

  private addSlot(device: number): number {
    const slot = this.slots.size
    if (slot === this.columns.device.length) this.columns = this.columns.grown()
    this.slots.set(device, slot)
    this.columns.device[slot] = device
    this.columns.fixTimeMs[slot] = Number.NEGATIVE_INFINITY
    return slot
  }

  private toWrite(slot: number): void {
    if (this.columns.unwritten[slot] === 1) return
    this.columns.unwritten[slot] = 1
    this.unwritten.push(slot)
  }

  private wait(ms: number): void {
    this.timer = setTimeout(() => void this.writeRound(), ms)
  }

  private async writeRound(): Promise<void> {
    const startMs = performance.now()
    this.spentMs = 0
    // One after the other, so that batches get in between.
    for (const piece of this.takePieces()) {
      if (!(await this.store(piece))) for (const slot of piece) this.toWrite(slot)
    }
    if (this.closed) return
    this.wait(Math.max(ROUND_MS - (performance.now() - startMs), this.spentMs * PAUSE_RATIO))
  }

  /** What is not written, in the order in which all processes take the rows of devices. */
  private takePieces(): number[][] {
    const { device, unwritten } = this.columns
    const all = this.unwritten.sort((a, b) => device[a]! - device[b]!)
    this.unwritten = []
    for (const slot of all) unwritten[slot] = 0
    const pieces: number[][] = []
    for (let start = 0; start < all.length; start += STATEMENT_DEVICES) {
      pieces.push(all.slice(start, start + STATEMENT_DEVICES))
    }
    return pieces
  }

  /** @returns Whether they are stored. */
  private async store(piece: readonly number[]): Promise<boolean> {
    let stored = false
    const work = async (client: pg.ClientBase) => {
      const startMs = performance.now()
      const { device, fixTimeMs, latitudeDeg, longitudeDeg } = this.columns
      const values = [device, fixTimeMs, latitudeDeg, longitudeDeg].map((column) =>
        piece.map((slot) => column[slot]!),
      )
      await client.query({ name: 'last fixes', text: UPSERT, values })
      stored = true
      this.spentMs += performance.now() - startMs
    }
    // The writer finds out and tells when the database is away; what failed is tried again with the next round.
    await this.between(work).catch(() => undefined)
    return stored
  }
}

/** A row a device, in the order in which they came. */
class Columns {
  readonly device: Float64Array
  readonly fixTimeMs: Float64Array
  readonly latitudeDeg: Float64Array
  readonly longitudeDeg: Float64Array
  readonly unwritten: Uint8Array

  constructor(slots: number) {
    this.device = new Float64Array(slots)
    this.fixTimeMs = new Float64Array(slots)
    this.latitudeDeg = new Float64Array(slots)
    this.longitudeDeg = new Float64Array(slots)
    this.unwritten = new Uint8Array(slots)
  }

  /** Twice as many, with these first. */
  grown(): Columns {
    const more = new Columns(this.device.length * 2)
    more.device.set(this.device)
    more.fixTimeMs.set(this.fixTimeMs)
    more.latitudeDeg.set(this.latitudeDeg)
    more.longitudeDeg.set(this.longitudeDeg)
    more.unwritten.set(this.unwritten)
    return more
  }
}
