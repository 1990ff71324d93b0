/** What holds for the rows of every frame, however damaged it is. */

import {
  ATTRIBUTE_KIND,
  BOOLEAN_UNKNOWN,
  type PositionBatch,
  type PositionBatchMark,
} from '../../schemas/position-batch.ts'
import { F64_COLUMNS } from '../../schemas/position-columns.ts'
import { QUALITY } from '../../schemas/quality.ts'

const TIME_END_MS = 4_294_967_296_000
const QUALITY_ALL = Object.values(QUALITY).reduce((all, bit) => all | bit, 0)
const NUMBER_COLUMNS = F64_COLUMNS.filter(
  (name) => !/TimeMs$|receivedMs|Deg$/.test(name) || name === 'courseDeg',
)
/** Rows, attributes and characters that a frame without bytes could have; its bytes come on top. */
const ROWS_MIN = 1
const ATTRIBUTES_MIN = 64
const CHARACTERS_MIN = 2_048
/** Characters of text that a byte of a frame becomes: a cell tower of 6 bytes is JSON of 60. */
const CHARACTERS_PER_BYTE = 16

/**
 * Looks at the rows that a frame appended behind `mark`.
 * @returns What is wrong with them; undefined if nothing is.
 */
export function faultOfRows(
  batch: PositionBatch,
  mark: PositionBatchMark,
  frameBytes: number,
): string | undefined {
  const rows = batch.length - mark.rows
  if (rows > ROWS_MIN + frameBytes) return `${rows} rows`
  if (batch.attributeCount - mark.attributes > ATTRIBUTES_MIN + frameBytes)
    return `${batch.attributeCount - mark.attributes} attributes`
  let characters = 0
  for (let i = mark.texts; i < batch.texts.length; i++) characters += batch.texts[i]!.length
  if (characters > CHARACTERS_MIN + frameBytes * CHARACTERS_PER_BYTE)
    return `${characters} characters of text`
  if (rows === 0 && batch.attributeCount !== mark.attributes) return 'attributes without a row'
  for (let row = mark.rows; row < batch.length; row++) {
    const fault = faultOfRow(batch, row, frameBytes) ?? faultOfAttributes(batch, row, mark)
    if (fault !== undefined) return `row ${row - mark.rows}: ${fault}`
  }
  return undefined
}

function faultOfRow(batch: PositionBatch, row: number, frameBytes: number): string | undefined {
  const fixTimeMs = batch.fixTimeMs[row]!
  const deviceTimeMs = batch.deviceTimeMs[row]!
  const quality = batch.quality[row]!
  if (!isTime(fixTimeMs)) return `fix time ${fixTimeMs}`
  if (!Number.isNaN(deviceTimeMs) && !isTime(deviceTimeMs)) return `device time ${deviceTimeMs}`
  if (!isTime(batch.receivedMs[row]!)) return 'no time of receipt'
  const latitude = batch.latitudeDeg[row]!
  const longitude = batch.longitudeDeg[row]!
  if ((quality & ~QUALITY_ALL) !== 0) return `quality ${quality}`
  if ((quality & QUALITY.noPlace) !== 0) {
    if (!Number.isNaN(latitude) || !Number.isNaN(longitude)) return 'a place in a row without one'
    if ((quality & QUALITY.invalidFix) !== 0) return 'an invalid fix without a place'
  } else {
    if (!(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180)) return `place ${latitude} ${longitude}`
    if ((batch.valid[row] === 0) !== ((quality & QUALITY.invalidFix) !== 0))
      return 'validity and quality differ'
  }
  if ((quality & QUALITY.noTime) !== 0 && fixTimeMs !== batch.receivedMs[row]) return 'no time, and yet one'
  for (const name of NUMBER_COLUMNS) {
    const value = batch[name][row]!
    if (value === Infinity || value === -Infinity) return `${name} ${value}`
  }
  if (batch.valid[row]! > 1) return `valid ${batch.valid[row]}`
  if (!isBoolean(batch.ignition[row]!) || !isBoolean(batch.motion[row]!)) return 'a boolean of another value'
  if (batch.digestHigh[row] === 0 && batch.digestLow[row] === 0) return 'no digest'
  const end = batch.recordEnd[row]!
  if (batch.recordStart[row]! > end || end > frameBytes) return `record ends at ${end} of ${frameBytes}`
  return undefined
}

function faultOfAttributes(batch: PositionBatch, row: number, mark: PositionBatchMark): string | undefined {
  const alarm = batch.alarm[row]!
  if (alarm !== 0 && (alarm < mark.texts || alarm >= batch.texts.length)) return 'alarm of another frame'
  for (let i = batch.attributeFirst[row]!; i >= 0; i = batch.attributeNext[i]!) {
    if (i < mark.attributes || i >= batch.attributeCount) return 'attribute of another frame'
    const key = batch.keys[batch.attributeKey[i]!]
    if (key === undefined) return 'an attribute without a name'
    const value = batch.attributeValue[i]!
    const kind = batch.attributeKind[i]!
    if (!Number.isFinite(value)) return `${key} ${value}`
    if (kind >= ATTRIBUTE_KIND.text && (value < mark.texts || value >= batch.texts.length))
      return `text of ${key} is another frame's`
  }
  return undefined
}

function isTime(timeMs: number): boolean {
  return timeMs >= 0 && timeMs < TIME_END_MS
}

function isBoolean(value: number): boolean {
  return value <= 1 || value === BOOLEAN_UNKNOWN
}
