/** One message while it is read: a cursor over its body, and the row that it becomes. */
import type { AttributeValue } from '../../../schemas/attributes.ts'
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import type { Session } from '../../adapter.ts'
import { ByteReader } from '../../byte-reader.ts'
import { type AccessPoint, type CellTower, setNetwork } from '../../network.ts'

/** Reads a part of the body, and says what it means. */
export type Field = (report: Report) => void
export type Fields = ReadonlyMap<number, Field>

type NumberType = 'u8' | 'i8' | 'u16' | 'i16' | 'u24' | 'u32'

/** Times are of China, whatever the country of the device, where it is not set up otherwise. */
const ZONE_MINUTES = 8 * 60
const NO_ROW = -1
const GBK = new TextDecoder('gbk')

export class Report extends ByteReader {
  readonly session: Session
  /** Version of the protocol, of the standard of 2019; undefined before. */
  readonly version: number | undefined
  private readonly out: PositionBatch
  private readonly bodyAt: number
  private readonly bodyEnd: number
  private row = NO_ROW
  /** By key: what comes later in a message stands for what came before. */
  private readonly attributes = new Map<string, AttributeValue>()
  private readonly alarms: string[] = []
  private readonly cellTowers: CellTower[] = []
  private readonly wifi: AccessPoint[] = []

  constructor(
    frame: Buffer,
    at: number,
    limit: number,
    session: Session,
    out: PositionBatch,
    version?: number,
  ) {
    super(frame, at, limit)
    this.version = version
    this.session = session
    this.out = out
    this.bodyAt = at
    this.bodyEnd = limit
  }

  /** Model that the device is registered with; '' if none. */
  get model(): string {
    return this.session.device?.model ?? ''
  }

  /** Begins the row: a position. */
  fix(timeMs: number, latitudeDeg: number, longitudeDeg: number, valid: boolean): void {
    this.row = this.out.add(timeMs, latitudeDeg, longitudeDeg)
    this.out.setValid(this.row, valid)
  }

  /** Begins the row: a message without a place, of the device's clock `timeMs`; NaN if it has none. */
  withoutFix(timeMs = Number.NaN): void {
    this.row = this.out.addWithoutFix(timeMs)
  }

  motion(altitudeM: number, speedKmh: number, courseDeg: number): void {
    this.out.altitudeM[this.row] = altitudeM
    this.out.speedKmh[this.row] = speedKmh
    this.out.courseDeg[this.row] = courseDeg
  }

  altitude(altitudeM: number): void {
    this.out.altitudeM[this.row] = altitudeM
  }

  /** The empty text is "not reported". */
  set(key: string, value: AttributeValue): void {
    if (value !== '') this.attributes.set(key, value)
  }

  alarm(name: string): void {
    this.alarms.push(name)
  }

  /** Adds the alarms of the bits that are set, in the order of the table. */
  alarmBits(bits: number, names: readonly (readonly [bits: number, name: string])[]): void {
    for (const [mask, name] of names) if ((bits & mask) !== 0) this.alarms.push(name)
  }

  /** `rssi` as dBm or as its amount. */
  cell(mcc: number, mnc: number, lac: number, cid: number, rssi?: number): void {
    this.cellTowers.push({ mcc, mnc, lac, cid, ...(rssi !== undefined && { rssi: -Math.abs(rssi) || 0 }) })
  }

  accessPoint(mac: string, rssi: number): void {
    this.wifi.push({ mac, rssi })
  }

  /** Six bytes yy mm dd hh mm ss in BCD, in the time of the device, as ms UTC. */
  deviceTime(): number {
    const { timezoneMinutes } = this.session.device?.options ?? {}
    const minutes = typeof timezoneMinutes === 'number' ? timezoneMinutes : ZONE_MINUTES
    return this.dateBcd() - minutes * 60_000
  }

  /** Text in the Chinese encoding of the standard, of which ASCII is a part, without NULs. */
  gbk(bytes: number): string {
    return GBK.decode(this.bytes(bytes)).replaceAll('\0', '')
  }

  /**
   * Reads `bytes` bytes with `field`, which may leave some and may not read further; without one, skips them. An item
   * that is shorter than its maker has it keeps what was read: it must not cost the position that it belongs to.
   */
  part(bytes: number, field: Field | undefined): void {
    const end = this.take(bytes) + bytes
    if (field === undefined) return
    const { limit } = this
    this.at = end - bytes
    this.limit = end
    try {
      field(this)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
    this.at = end
    this.limit = limit
  }

  /** Reads items of a number, a length, and as many bytes, until one does not fit. */
  items(fields: Fields, number: 'u8' | 'u16', length: 'u8' | 'u16' = 'u8'): void {
    const headBytes = (number === 'u8' ? 1 : 2) + (length === 'u8' ? 1 : 2)
    while (this.left >= headBytes) {
      const field = fields.get(this[number]())
      const bytes = this[length]()
      if (bytes > this.left) return
      this.part(bytes, field)
    }
  }

  /** Writes the row, if one was begun. Its record is the body alone: sent again in a batch, it is the same one. */
  finish(): void {
    const { out, row } = this
    if (row === NO_ROW) return
    for (const [key, value] of this.attributes) out.set(row, key, value)
    for (const alarm of this.alarms) out.set(row, 'alarm', alarm)
    setNetwork(out, row, this.cellTowers, this.wifi)
    out.setRecord(row, this.bodyAt, this.bodyEnd)
  }
}

/** A field of one number under a key; as it is, or as `convert` has it. */
export function field(key: string, type: NumberType, convert = (raw: number) => raw): Field {
  return (report) => report.set(key, convert(report[type]()))
}

export function flag(key: string, isSet: (raw: number) => boolean): Field {
  return (report) => report.set(key, isSet(report.u8()))
}

/** Text that takes the rest of its item. */
export function text(key: string): Field {
  return (report) => report.set(key, trimmed(report.latin1(report.left)))
}

/** Bytes that take the rest of their item, as Latin-1: what some devices send there is no text. */
export function raw(key: string): Field {
  return (report) => report.set(key, report.bytes(report.left).toString('latin1'))
}

/** Several fields, one after the other. */
export function sequence(...fields: readonly Field[]): Field {
  return (report) => {
    for (const read of fields) read(report)
  }
}

export function skip(bytes: number): Field {
  return (report) => report.skip(bytes)
}

export function alarm(name: string): Field {
  return (report) => report.alarm(name)
}

export const times = (factor: number) => (raw: number) => raw * factor
export const per = (divisor: number) => (raw: number) => raw / divisor
export const minus = (offset: number) => (raw: number) => raw - offset
/** Of the full scale of a byte, in whole %. */
export const percentOfByte = (raw: number) => Math.floor((raw * 100) / 255)

export function bit(bits: number, number: number): boolean {
  return ((bits >>> number) & 1) === 1
}

/** Text without the blanks and control characters around it, and without NULs. */
export function trimmed(value: string): string {
  let start = 0
  let end = value.length
  while (start < end && value.charCodeAt(start) <= 0x20) start++
  while (end > start && value.charCodeAt(end - 1) <= 0x20) end--
  return value.slice(start, end).replaceAll('\0', '')
}
