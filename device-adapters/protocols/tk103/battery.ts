/**
 * What a tracker passes on of the battery management system of an electric vehicle, as hex.
 *
 *     BS50   0 head (3)  3 cells n  4 n of 24 cells (u16, mV)   52 charging u8 = 0   53 current 0.1 A  55 voltage 0.01 V
 *            57 level %  58 too hot, charge cut, discharge cut, line broken, balanced (u8 each)  63 cycles  65 faults u8
 *            66 reserved (6)  72 sensors n  73 power stage, balancer, n of 7 sensors (u8, °C + 40)
 *            82 capacity 0.01 Ah  84 discharged capacity u32;  little endian
 *     BS51   ID:HEX,… the answers of a Daly system, big endian as there:
 *            90 voltage, gathered voltage (0.1 V), current (0.1 A + 30000), charge (0.1 %)
 *            91 highest cell (mV), its number u8, lowest cell, its number
 *            92 highest temperature (u8, °C + 40), its sensor u8, lowest temperature, its sensor
 *            96 frame u8, temperatures of its 7 sensors
 *
 * Source of BS51: Daly, "UART/485 Communications Protocol", version 1.2.
 */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import { DecodeError } from '../../adapter.ts'
import { ByteReader } from '../../byte-reader.ts'

const CELLS_MAX = 24
const SENSORS_MAX = 7
const CELSIUS_OFFSET = 40
const DALY_ZERO_CURRENT = 30_000

/** @throws DecodeError if `text` is no hex; RangeError if it is too short. */
export function setBatterySystem(row: number, text: string, out: PositionBatch): void {
  const from = readerOf(text)
  from.skip(3)
  const cells = from.u8()
  for (let cell = 1; cell <= CELLS_MAX; cell++) {
    const millivolts = from.u16LittleEndian()
    if (cell <= cells) out.set(row, `battery${cell}`, millivolts / 1000)
  }
  out.set(row, 'charge', from.u8() === 0)
  out.set(row, 'current', from.u16LittleEndian() / 10)
  out.set(row, 'battery', from.u16LittleEndian() / 100)
  out.set(row, 'batteryLevel', from.u8())
  out.set(row, 'batteryOverheat', from.u8() > 0)
  out.set(row, 'chargeProtection', from.u8() > 0)
  out.set(row, 'dischargeProtection', from.u8() > 0)
  from.skip(2)
  out.set(row, 'cycles', from.u16LittleEndian())
  out.set(row, 'faultAlarm', from.u8())
  from.skip(6)
  const sensors = from.u8()
  out.set(row, 'powerTemp', from.u8() - CELSIUS_OFFSET)
  out.set(row, 'equilibriumTemp', from.u8() - CELSIUS_OFFSET)
  for (let sensor = 1; sensor <= SENSORS_MAX; sensor++) {
    const celsius = from.u8() - CELSIUS_OFFSET
    if (sensor <= sensors) out.set(row, `batteryTemp${sensor}`, celsius)
  }
  out.set(row, 'calibrationCapacity', from.u16LittleEndian() / 100)
  out.set(row, 'dischargeCapacity', from.u32LittleEndian())
}

/** @throws DecodeError if a part of `text` is no hex; RangeError if one is too short. */
export function setDalyAnswers(row: number, text: string, out: PositionBatch): void {
  for (const part of text.split(',')) {
    const [id = '', hex = ''] = part.split(':')
    DALY_ANSWERS.get(id)?.(readerOf(hex), row, out)
  }
}

type DalyAnswer = (from: ByteReader, row: number, out: PositionBatch) => void

const DALY_ANSWERS: ReadonlyMap<string, DalyAnswer> = new Map<string, DalyAnswer>([
  [
    '90',
    (from, row, out) => {
      out.set(row, 'cumulativeVoltage', from.u16() / 10)
      out.set(row, 'gatherVoltage', from.u16() / 10)
      out.set(row, 'current', (from.u16() - DALY_ZERO_CURRENT) / 10)
      out.set(row, 'soc', from.u16() / 10)
    },
  ],
  [
    '91',
    (from, row, out) => {
      out.set(row, 'maxCellVoltage', from.u16() / 1000)
      out.set(row, 'maxCellVoltageCount', from.u8())
      out.set(row, 'minCellVoltage', from.u16() / 1000)
      out.set(row, 'minCellVoltageCount', from.u8())
    },
  ],
  [
    '92',
    (from, row, out) => {
      out.set(row, 'maxTemp', from.u8() - CELSIUS_OFFSET)
      out.set(row, 'maxTempCount', from.u8())
      out.set(row, 'minTemp', from.u8() - CELSIUS_OFFSET)
      out.set(row, 'minTempCount', from.u8())
    },
  ],
  [
    '96',
    (from, row, out) => {
      // The document counts frames from 0, devices that have only one of them say 1.
      const first = SENSORS_MAX * Math.max(from.u8() - 1, 0) + 1
      for (let i = 0; from.left > 0; i++) out.set(row, `cellTemp${first + i}`, from.u8() - CELSIUS_OFFSET)
    },
  ],
])

function readerOf(hex: string): ByteReader {
  if (hex.length % 2 !== 0 || !/^[0-9A-Fa-f]*$/.test(hex)) {
    throw new DecodeError('malformed', `no hex: ${hex.slice(0, 40)}`)
  }
  return new ByteReader(Buffer.from(hex, 'hex'))
}
