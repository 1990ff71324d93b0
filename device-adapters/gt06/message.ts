/** One message while it is read: a cursor over its content, and the row that it becomes. */
import type { AttributeValue } from '../../schemas/attributes.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import type { Session } from '../adapter.ts'
import { contentAt, isMeasured, TAIL_BYTES, typeOf } from './frame.ts'
import { familyOf } from './models.ts'
import type { Family, Gt06State } from './state.ts'

/** Reads a part of the content, and sets what it says on the row. */
export type Block = (message: Message) => void

/** Cell tower of a single LBS block or of a list; `rssi` in dBm. */
export interface CellTower {
  readonly mcc: number
  readonly mnc: number
  readonly lac: number
  readonly cid: number
  readonly rssi?: number
}

/** Wi-Fi access point; `rssi` in dBm. */
export interface AccessPoint {
  readonly mac: string
  readonly rssi?: number
}

interface Network {
  readonly radioType: 'gsm'
  cellTowers?: readonly CellTower[]
  wifi?: readonly AccessPoint[]
}

const NO_ROW = -1

export class Message {
  readonly frame: Buffer
  readonly session: Session<Gt06State>
  readonly type: number
  /** First byte of the content. */
  readonly start: number
  /** Where the content ends and the serial number is, if the frame has one; in a part, where that ends. */
  end: number
  /** Next byte to read. */
  at: number
  private limit: number
  private readonly contentEnd: number
  private readonly out: PositionBatch
  private row = NO_ROW

  constructor(frame: Buffer, session: Session<Gt06State>, out: PositionBatch) {
    this.frame = frame
    this.session = session
    this.out = out
    this.type = typeOf(frame)
    this.start = contentAt(frame)
    this.at = this.start
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
  get left(): number {
    return this.end - this.at
  }

  u8(): number {
    return this.frame[this.take(1)]!
  }

  i8(): number {
    return this.frame.readInt8(this.take(1))
  }

  u16(): number {
    return this.frame.readUInt16BE(this.take(2))
  }

  i16(): number {
    return this.frame.readInt16BE(this.take(2))
  }

  u24(): number {
    return this.frame.readUIntBE(this.take(3), 3)
  }

  u32(): number {
    return this.frame.readUInt32BE(this.take(4))
  }

  i32(): number {
    return this.frame.readInt32BE(this.take(4))
  }

  u48(): number {
    return this.frame.readUIntBE(this.take(6), 6)
  }

  /** Exact up to 2^53, which no cell id reaches. */
  u64(): number {
    return Number(this.frame.readBigUInt64BE(this.take(8)))
  }

  u32LittleEndian(): number {
    return this.frame.readUInt32LE(this.take(4))
  }

  hex(bytes: number): string {
    const at = this.take(bytes)
    return this.frame.toString('hex', at, at + bytes)
  }

  /** Text without the NULs that pad it. */
  text(bytes: number, encoding: 'latin1' | 'utf16be' = 'latin1'): string {
    const at = this.take(bytes)
    const raw = this.frame.subarray(at, at + bytes)
    const text = encoding === 'latin1' ? raw.toString('latin1') : utf16(raw)
    return text.replaceAll('\0', '')
  }

  /** MAC address, `c8:3a:35:0f:a1:b8`. */
  mac(): string {
    return this.hex(6).replace(/..(?=.)/g, '$&:')
  }

  skip(bytes: number): void {
    this.take(bytes)
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

  /** Six bytes yy mm dd hh mm ss, UTC, as ms since 1970-01-01T00:00Z. */
  date(): number {
    return Date.UTC(2000 + this.u8(), this.u8() - 1, this.u8(), this.u8(), this.u8(), this.u8())
  }

  /** The same six bytes as binary coded decimals. */
  dateBcd(): number {
    const two = () => {
      const byte = this.u8()
      return (byte >> 4) * 10 + (byte & 0x0f)
    }
    return Date.UTC(2000 + two(), two() - 1, two(), two(), two(), two())
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

  /** Towers and access points that the device hears; each is listed once. */
  setNetwork(cellTowers: readonly CellTower[], wifi: readonly AccessPoint[] = []): void {
    if (cellTowers.length === 0 && wifi.length === 0) return
    const network: Network = { radioType: 'gsm' }
    if (cellTowers.length > 0) network.cellTowers = distinct(cellTowers)
    if (wifi.length > 0) network.wifi = distinct(wifi)
    this.out.setJson(this.row, 'network', network)
  }

  private begin(row: number): void {
    this.row = row
    // Type and content: sent again under another serial number, it is the same record.
    // A message without even the room of serial number and checksum is its type alone.
    this.out.setRecord(row, this.start - 1, Math.max(this.start, this.contentEnd))
  }

  private take(bytes: number): number {
    const at = this.at
    if (bytes < 0 || at + bytes > this.limit) {
      throw new RangeError(`content of message ${this.type.toString(16)} ends at ${this.limit - this.start}`)
    }
    this.at = at + bytes
    return at
  }
}

function utf16(bigEndian: Buffer): string {
  return Buffer.from(bigEndian.subarray(0, bigEndian.length & ~1))
    .swap16()
    .toString('utf16le')
}

function distinct<Item>(items: readonly Item[]): readonly Item[] {
  if (items.length === 1) return items
  const seen = new Set<string>()
  return items.filter((item) => {
    const key = JSON.stringify(item)
    return !seen.has(key) && seen.add(key)
  })
}
