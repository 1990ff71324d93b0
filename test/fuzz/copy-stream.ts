/** Reads what CopyEncoder writes, as a server would: "COPY, Binary Format" and "Message Formats" of PostgreSQL. */
import { isUtf8 } from 'node:buffer'
import { COPY_COLUMNS } from '../../ingest/shards/copy-encoder.ts'

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
const ALARM = COPY_COLUMNS.indexOf('alarm')
const ATTRIBUTES = COPY_COLUMNS.indexOf('attributes')

/**
 * @returns Rows of the stream.
 * @throws Error where it is none, or holds text that PostgreSQL refuses or attributes that are no JSON object.
 */
export function rowsOfCopyStream(messages: Buffer): number {
  let at = 0
  const data: Buffer[] = []
  while (messages[at] === 0x64) {
    const bytes = messages.readInt32BE(at + 1)
    data.push(messages.subarray(at + 5, at + 1 + bytes))
    at += 1 + bytes
  }
  if (messages[at] !== 0x63 || messages.length !== at + 5) throw new Error('no CopyDone at the end')
  return rowsOf(data.length === 1 ? data[0]! : Buffer.concat(data))
}

function rowsOf(stream: Buffer): number {
  if (!stream.subarray(0, SIGNATURE.length).equals(SIGNATURE)) throw new Error('no signature')
  let at = SIGNATURE.length + 8
  for (let rows = 0; ; rows++) {
    const fields = stream.readInt16BE(at)
    at += 2
    if (fields === -1) {
      if (at !== stream.length) throw new Error(`${stream.length - at} bytes behind the end`)
      return rows
    }
    if (fields !== COPY_COLUMNS.length) throw new Error(`row ${rows} has ${fields} fields`)
    for (let field = 0; field < fields; field++) {
      const bytes = stream.readInt32BE(at)
      at += 4
      if (bytes < 0) continue
      if (field === ALARM || field === ATTRIBUTES) checkText(stream.subarray(at, at + bytes), field, rows)
      at += bytes
    }
  }
}

function checkText(bytes: Buffer, field: number, row: number): void {
  if (bytes.includes(0) || !isUtf8(bytes)) throw new Error(`row ${row}: text that PostgreSQL refuses`)
  if (field !== ATTRIBUTES) return
  const value: unknown = JSON.parse(bytes.toString())
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error(`row ${row}: attributes are no object`)
  }
}
