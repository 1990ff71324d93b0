/** Fields of a text report of Suntech, read one after the other. */
import { DecodeError, type Session } from '../../adapter.ts'

/** Head of the reports of one generation of devices, as its commands begin with it; `''` is the universal protocol. */
export interface SuntechState {
  /** `SA200`, `ST300`, …; `''` for the universal protocol. */
  head: string
}

export type SuntechSession = Session<SuntechState>

export class Fields {
  readonly values: readonly string[]
  /** Next field to read. */
  at: number

  constructor(values: readonly string[], at = 0) {
    this.values = values
    this.at = at
  }

  get left(): number {
    return this.values.length - this.at
  }

  /** @throws DecodeError past the last field. */
  text(): string {
    if (this.at >= this.values.length) throw new DecodeError('malformed', `${this.at} fields are too few`)
    return this.values[this.at++]!
  }

  /** NaN where the field is empty or no number: a reading that a device lacks must not cost the position. */
  number(): number {
    return numberOf(this.text())
  }

  /** A number in hex; NaN as {@link number}. */
  hex(): number {
    const text = this.text()
    return /^[0-9a-f]{1,12}$/i.test(text) ? Number.parseInt(text, 16) : Number.NaN
  }

  skip(fields = 1): void {
    this.at += fields
  }

  /** A latitude or longitude; NaN where the device knows none. */
  degrees(): number {
    const text = this.text()
    if (text === '') return Number.NaN
    const degrees = numberOf(text)
    if (Number.isNaN(degrees)) throw new DecodeError('malformed', 'a place that is no number')
    return degrees
  }

  /** `yyyymmdd;hh:mm:ss`, UTC, as ms since 1970-01-01T00:00Z; NaN where the device knows no time. */
  time(): number {
    const date = this.text()
    const time = this.text()
    if (date === '' && time === '') return Number.NaN
    const [, year, month, day] = /^(\d{4})(\d\d)(\d\d)$/.exec(date) ?? []
    const [, hour, minute, second] = /^(\d\d):(\d\d):(\d\d)$/.exec(time) ?? []
    if (day === undefined || second === undefined) throw new DecodeError('malformed', 'no date and time')
    return Date.UTC(
      Number(year),
      Number(month) - 1,
      Number(day),
      Number(hour),
      Number(minute),
      Number(second),
    )
  }

  /** Names the device. @throws DecodeError if the field is no id. */
  identify(session: SuntechSession): void {
    const id = this.text()
    // Words stand where ids do in other messages.
    if (!/^(?=\D*\d)[0-9A-Za-z]{1,20}$/.test(id)) throw new DecodeError('malformed', 'no device id')
    session.identify(id)
  }
}

function numberOf(text: string): number {
  return /^[+-]?\d{1,15}(\.\d{0,9})?$/.test(text) ? Number(text) : Number.NaN
}

/** Signal of a cell, dBm; some devices leave out the sign. */
export function signalOf(rssi: number): number {
  return rssi > 0 ? -rssi : rssi
}
