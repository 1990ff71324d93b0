/** One record of a packet while it is read: a cursor over its tags, and what becomes a row. */
import type { AttributeValue } from '../../../schemas/attributes.ts'
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { ByteReader } from '../../byte-reader.ts'

/** Reads the value of a tag. */
export type Tag = (reader: RecordReader) => void

export class RecordReader extends ByteReader {
  /** IMEI of the device; '' while no tag has named it. */
  imei = ''
  private attributes = new Map<string, AttributeValue>()
  private timeMs = Number.NaN
  private latitudeDeg = Number.NaN
  private longitudeDeg = Number.NaN
  private hasPlace = false
  private valid = false
  private altitudeM = Number.NaN
  private speedKmh = Number.NaN
  private courseDeg = Number.NaN

  setTime(timeMs: number): void {
    this.timeMs = timeMs
  }

  setPlace(latitudeDeg: number, longitudeDeg: number, valid: boolean): void {
    this.hasPlace = true
    this.latitudeDeg = latitudeDeg
    this.longitudeDeg = longitudeDeg
    this.valid = valid
  }

  setMotion(speedKmh: number, courseDeg: number): void {
    this.speedKmh = speedKmh
    this.courseDeg = courseDeg
  }

  setAltitude(altitudeM: number): void {
    this.altitudeM = altitudeM
  }

  set(key: string, value: AttributeValue): void {
    this.attributes.set(key, value)
  }

  /** An attribute that is there, of this record. */
  get(key: string): AttributeValue | undefined {
    return this.attributes.get(key)
  }

  /**
   * Appends what was read since the last call, and begins the next record. A head without place or time, which says who
   * sends, is no row; the answer to a command is one without a fix.
   *
   * @param start First byte of the record, without the head that comes before the first of a connection.
   */
  finish(out: PositionBatch, start: number, end: number): void {
    const isFix = this.hasPlace && !Number.isNaN(this.timeMs)
    if (isFix || this.attributes.has('result')) {
      const row = isFix
        ? out.add(this.timeMs, this.latitudeDeg, this.longitudeDeg)
        : out.addWithoutFix(this.timeMs)
      if (isFix) {
        out.setValid(row, this.valid)
        out.altitudeM[row] = this.altitudeM
        out.speedKmh[row] = this.speedKmh
        out.courseDeg[row] = this.courseDeg
      }
      for (const [key, value] of this.attributes) out.set(row, key, value)
      out.setRecord(row, start, end)
    }
    this.attributes = new Map()
    this.timeMs = Number.NaN
    this.hasPlace = false
    this.altitudeM = Number.NaN
    this.speedKmh = Number.NaN
    this.courseDeg = Number.NaN
  }
}
