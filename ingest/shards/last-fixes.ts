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
 * Pause after a round, in times of what it took: with very many devices the fixes get older than a second, and not more
 * than a twentieth of the connection's time is taken from the batches.
 */
const PAUSE_RATIO = 20
/** Devices of one statement, which a batch may have to wait for. */
const STATEMENT_DEVICES = 1_000

const UPSERT = `
  INSERT INTO last_fixes AS l (device_id, fix_time, latitude, longitude)
  SELECT id, timestamptz 'epoch' + ms * interval '1 ms', latitude, longitude
  FROM unnest($1::integer[], $2::float8[], $3::float8[], $4::float8[]) AS fix (id, ms, latitude, longitude)
  -- A device may be gone meanwhile.
  JOIN devices USING (id)
  ON CONFLICT (device_id) DO UPDATE
    SET fix_time = excluded.fix_time, latitude = excluded.latitude, longitude = excluded.longitude
    WHERE excluded.fix_time > l.fix_time`

interface Fix {
  ms: number
  latitudeDeg: number
  longitudeDeg: number
}

type Piece = readonly (readonly [device: number, fix: Fix])[]

/** Runs work on a connection between two batches; not at all while there is none. */
export type Between = (work: (client: pg.ClientBase) => Promise<void>) => Promise<void>

export class LastFixes {
  private readonly between: Between
  /** Newest fix of each device that is not written. */
  private fixes = new Map<number, Fix>()
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
    let fix: Fix | undefined
    for (let row = 0; row < batch.length; row++) {
      if (quality[row] !== 0) continue
      // Rows of a device mostly stand together.
      if (devices[row] !== device) {
        device = devices[row]!
        fix = this.fixes.get(device)
        if (fix === undefined) {
          fix = { ms: Number.NEGATIVE_INFINITY, latitudeDeg: 0, longitudeDeg: 0 }
          this.fixes.set(device, fix)
        }
      }
      if (fixTimeMs[row]! <= fix!.ms) continue
      fix!.ms = fixTimeMs[row]!
      fix!.latitudeDeg = latitudeDeg[row]!
      fix!.longitudeDeg = longitudeDeg[row]!
    }
  }

  /** Writes what is noted, if there is a connection, and then no more. Whoever closes the writer next waits for it. */
  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.timer)
    await Promise.all(this.takePieces().map((piece) => this.store(piece)))
  }

  private wait(ms: number): void {
    this.timer = setTimeout(() => void this.writeRound(), ms)
  }

  private async writeRound(): Promise<void> {
    const startMs = performance.now()
    this.spentMs = 0
    // One after the other, so that batches get in between.
    for (const piece of this.takePieces()) {
      if (!(await this.store(piece))) this.putBack(piece)
    }
    if (this.closed) return
    this.wait(Math.max(ROUND_MS - (performance.now() - startMs), this.spentMs * PAUSE_RATIO))
  }

  /** What is noted, in the order in which all processes take the rows of devices. */
  private takePieces(): Piece[] {
    const all = [...this.fixes].sort(([a], [b]) => a - b)
    this.fixes = new Map()
    const pieces: Piece[] = []
    for (let start = 0; start < all.length; start += STATEMENT_DEVICES) {
      pieces.push(all.slice(start, start + STATEMENT_DEVICES))
    }
    return pieces
  }

  /** @returns Whether they are stored. */
  private async store(piece: Piece): Promise<boolean> {
    let stored = false
    const work = async (client: pg.ClientBase) => {
      const startMs = performance.now()
      await client.query({
        name: 'last fixes',
        text: UPSERT,
        values: [
          piece.map(([device]) => device),
          piece.map(([, { ms }]) => ms),
          piece.map(([, { latitudeDeg }]) => latitudeDeg),
          piece.map(([, { longitudeDeg }]) => longitudeDeg),
        ],
      })
      stored = true
      this.spentMs += performance.now() - startMs
    }
    // The writer finds out and tells when the database is away; what failed is tried again with the next round.
    await this.between(work).catch(() => undefined)
    return stored
  }

  private putBack(piece: Piece): void {
    for (const [device, fix] of piece) {
      const newer = this.fixes.get(device)
      if (newer === undefined || newer.ms < fix.ms) this.fixes.set(device, fix)
    }
  }
}
