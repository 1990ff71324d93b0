/** One message while it is read: a cursor over its content, and the row that it becomes. */
import type { AttributeValue } from '../../../schemas/attributes.ts'
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import type { Session } from '../../adapter.ts'
import { ByteReader } from '../../byte-reader.ts'
import { type AccessPoint, type CellTower, setNetwork } from '../../network.ts'
import { contentAt, isMeasured, TAIL_BYTES, typeOf } from './frame.ts'
import { familyOf } from './models.ts'
import type { Family, Gt06State } from './state.ts'

/** Reads a part of the content, and sets what it says on the row. */
export type Block = (message: Message) => void

export type { AccessPoint, CellTower } from '../../network.ts'

const NO_ROW = -1

export class Message extends ByteReader {
  readonly session: Session<Gt06State>
  readonly type: number
  /** First byte of the content. */
  readonly start: number
  /** Where the content ends and the serial number is, if the frame has one; in a part, where that ends. */
  end: number
  private readonly contentEnd: number
  private readonly out: PositionBatch
  private row = NO_ROW

  constructor(frame: Buffer, session: Session<Gt06State>, out: PositionBatch) {
    super(frame, contentAt(frame))
    this.session = session
    this.out = out
    this.type = typeOf(frame)
    this.start = this.at
    this.end = frame.length - TAIL_BYTES
    // Clones whose length field is wrong leave out serial number or checksum too.
    this.limit = isMeasured(frame) ? this.end : frame.length - 2
    this.contentEnd = this.limit
  }

  /** Devices that this one is like, by its model. */
  get family(): Family {
    return familyOf(this.session)
  }

  /** Bytes of content not read yet; negative where a clone without serial number was read past {@link end}. */
  override get left(): number {
    return this.end - this.at
  }

  /** Text without the NULs that pad it. */
  text(bytes: number, encoding: 'latin1' | 'utf16be' = 'latin1'): string {
    const at = this.take(bytes)
    const raw = this.frame.subarray(at, at + bytes)
    const text = encoding === 'latin1' ? raw.toString('latin1') : utf16(raw)
    return text.replaceAll('\0', '')
  }

  /** Reads `bytes` bytes with `block`, which may leave some and may not read further; without one, skips them. */
  readPart(bytes: number, block: Block | undefined): void {
    const next = this.take(bytes) + bytes
    if (block === undefined) return
    const { end, limit } = this
    this.at = next - bytes
    this.end = next
    this.limit = next
    block(this)
    this.at = next
    this.end = end
    this.limit = limit
  }

  /** Begins the row: a position at `timeMs`. */
  fix(timeMs: number, latitudeDeg: number, longitudeDeg: number): void {
    this.begin(this.out.add(timeMs, latitudeDeg, longitudeDeg))
  }

  /** Begins the row: a message without a place, of the device's clock `timeMs`; NaN if it has none. */
  withoutFix(timeMs = Number.NaN): void {
    this.begin(this.out.addWithoutFix(timeMs))
  }

  /** Whether the row was begun. */
  get hasRow(): boolean {
    return this.row !== NO_ROW
  }

  set(key: string, value: AttributeValue | undefined): void {
    this.out.set(this.row, key, value)
  }

  setMotion(speedKmh: number, courseDeg: number, valid: boolean): void {
    this.out.speedKmh[this.row] = speedKmh
    this.out.courseDeg[this.row] = courseDeg
    this.out.setValid(this.row, valid)
  }

  setAltitude(altitudeM: number): void {
    this.out.altitudeM[this.row] = altitudeM
  }

  setAccuracy(accuracyM: number): void {
    this.out.accuracyM[this.row] = accuracyM
  }

  /** Towers and access points that the device hears. */
  setNetwork(cellTowers: readonly CellTower[], wifi: readonly AccessPoint[] = []): void {
    setNetwork(this.out, this.row, cellTowers, wifi)
  }

  private begin(row: number): void {
    this.row = row
    // Type and content: sent again under another serial number, it is the same record.
    // A message without even the room of serial number and checksum is its type alone.
    this.out.setRecord(row, this.start - 1, Math.max(this.start, this.contentEnd))
  }
}

function utf16(bigEndian: Buffer): string {
  return Buffer.from(bigEndian.subarray(0, bigEndian.length & ~1))
    .swap16()
    .toString('utf16le')
}
