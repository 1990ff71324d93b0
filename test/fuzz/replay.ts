/** A frame decoded again as the journal would, which knows nothing of earlier frames. */
import type { Adapter } from '../../device-adapters/adapter.ts'
import { DeviceSession, decodeFrame } from '../../device-adapters/decoder.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { F64_COLUMNS, U8_COLUMNS } from '../../schemas/position-columns.ts'

const COLUMNS = [
  ...F64_COLUMNS,
  ...U8_COLUMNS,
  'digestHigh',
  'digestLow',
  'recordStart',
  'recordEnd',
] as const
const again = new PositionBatch(512)

/**
 * @param batch Holds the rows of the frame from `start` on.
 * @returns How the rows differ; undefined where they are the same.
 */
export function faultOfReplay(
  adapter: Adapter,
  frame: Buffer,
  session: DeviceSession,
  batch: PositionBatch,
  start: number,
): string | undefined {
  const { uniqueId, device } = session
  const fresh = new DeviceSession(adapter, session.transport, (asked) =>
    asked === uniqueId ? device : undefined,
  )
  fresh.uniqueId = uniqueId
  fresh.device = device
  fresh.dialect = session.dialect
  fresh.receivedMs = session.receivedMs
  again.reset()
  try {
    decodeFrame(adapter, frame, fresh, again)
  } catch (error) {
    return String(error)
  }
  if (again.length !== batch.length - start) return `${again.length} rows, not ${batch.length - start}`
  for (let row = 0; row < again.length; row++) {
    for (const name of COLUMNS) {
      if (!Object.is(again[name][row], batch[name][start + row]))
        return `${name} is ${again[name][row]}, not ${batch[name][start + row]}`
    }
    if (again.uniqueIdOf(row) !== batch.uniqueIdOf(start + row)) return 'a row is of another device'
    const difference = differenceOfAttributes(again, row, batch, start + row)
    if (difference !== undefined) return difference
  }
  return undefined
}

function differenceOfAttributes(
  a: PositionBatch,
  rowA: number,
  b: PositionBatch,
  rowB: number,
): string | undefined {
  if (a.texts[a.alarm[rowA]!] !== b.texts[b.alarm[rowB]!]) return 'another alarm'
  let i = a.attributeFirst[rowA]!
  let j = b.attributeFirst[rowB]!
  for (; i >= 0 && j >= 0; i = a.attributeNext[i]!, j = b.attributeNext[j]!) {
    const key = a.keys[a.attributeKey[i]!]
    const kind = a.attributeKind[i]!
    if (key !== b.keys[b.attributeKey[j]!] || kind !== b.attributeKind[j])
      return `another attribute than ${key}`
    const valueA = kind >= 2 ? a.texts[a.attributeValue[i]!] : a.attributeValue[i]
    const valueB = kind >= 2 ? b.texts[b.attributeValue[j]!] : b.attributeValue[j]
    if (!Object.is(valueA, valueB)) return `${key} is ${valueA}, not ${valueB}`
  }
  return i === j ? undefined : 'attributes are missing'
}
