/** A row as a JSON array, written column by column: no object is made, and stored attributes are not parsed. */
import { roundSpeed } from '../../schemas/position.ts'
import { ATTRIBUTE_KIND, BOOLEAN_UNKNOWN, type PositionBatch } from '../../schemas/position-batch.ts'
import { ALARM_KEY, attributeColumns, BOOLEAN_KEYS, NUMBER_KEYS } from './attribute-columns.ts'

const quoted = (key: string) => `,${JSON.stringify(key)}:`
const NUMBER_NAMES = NUMBER_KEYS.map(quoted)
const BOOLEAN_NAMES = BOOLEAN_KEYS.map(quoted)
const ALARM_NAME = quoted(ALARM_KEY)

/** Of text, not of bytes: what is not ASCII is still to be encoded. */
export function jsonRow(batch: PositionBatch, row: number, withAttributes: boolean): string {
  return `[${batch.device[row]!},${batch.fixTimeMs[row]!},${batch.receivedMs[row]!},${batch.latitudeDeg[row]!},${batch.longitudeDeg[row]!},${number(batch.altitudeM[row]!)},${number(roundSpeed(batch.speedKmh[row]!))},${number(batch.courseDeg[row]!)},${withAttributes ? attributes(batch, row) : '{}'}]`
}

function number(value: number): string {
  return Number.isNaN(value) ? 'null' : String(value)
}

function attributes(batch: PositionBatch, row: number): string {
  const { numbers, booleans } = attributeColumns(batch)
  let text = ''
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i]![row]!
    if (!Number.isNaN(value)) text += NUMBER_NAMES[i]! + value
  }
  for (let i = 0; i < booleans.length; i++) {
    const value = booleans[i]![row]!
    if (value !== BOOLEAN_UNKNOWN) text += BOOLEAN_NAMES[i]! + (value === 1)
  }
  const alarm = batch.alarm[row]!
  if (alarm !== 0) text += ALARM_NAME + JSON.stringify(batch.texts[alarm])
  for (let i = batch.attributeFirst[row]!; i >= 0; i = batch.attributeNext[i]!) {
    const kind = batch.attributeKind[i]!
    const value = batch.attributeValue[i]!
    if (kind === ATTRIBUTE_KIND.object) {
      const entries = batch.texts[value]!.slice(1, -1)
      if (entries !== '') text += `,${entries}`
      continue
    }
    text += quoted(batch.keys[batch.attributeKey[i]!]!)
    if (kind === ATTRIBUTE_KIND.number) text += value
    else if (kind === ATTRIBUTE_KIND.boolean) text += value === 1
    else text += kind === ATTRIBUTE_KIND.text ? JSON.stringify(batch.texts[value]) : batch.texts[value]
  }
  return `{${text.slice(1)}}`
}
