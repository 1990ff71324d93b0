/** Commands in the table, and what devices say, for tests. */
import type pg from 'pg'
import { crc16Ibm } from '../device-adapters/checksums.ts'
import { encode } from '../device-adapters/protocols/gt06/frame.ts'
import { type IngestHarness, packet } from './ingest-harness.ts'

export interface CommandRow {
  readonly id: number
  readonly state: string
  readonly serial: number | null
  readonly sent_at: Date | null
  readonly answered_at: Date | null
  readonly answer: string | null
  readonly failure: string | null
}

/** A command straight into the table. @returns Its id. */
export async function queue(
  { pool, organizationId }: Pick<IngestHarness, 'pool' | 'organizationId'>,
  device: number,
  type: string,
  attributes: object = {},
  expiresInS = 60,
): Promise<number> {
  const { rows } = await pool.query(
    `INSERT INTO commands (organization_id, device_id, type, attributes, created_by, expires_at)
     VALUES ($1, $2, $3, $4, 1, now() + make_interval(secs => $5)) RETURNING id`,
    [organizationId, device, type, JSON.stringify(attributes), expiresInS],
  )
  return rows[0].id
}

export async function commandRow(pool: pg.Pool, id: number): Promise<CommandRow> {
  return (await pool.query('SELECT * FROM commands WHERE id = $1', [id])).rows[0]
}

export const gt06Login = (imei: string): Buffer => encode(0x01, Buffer.from(`0${imei}`, 'hex'), 1)

/** Message 0x15: the server flag of the command and a text. */
export function gt06Answer(serial: number, text: string): Buffer {
  const content = Buffer.alloc(5 + text.length + 2)
  content[0] = 4 + text.length
  content.writeUInt32BE(serial, 1)
  content.write(text, 5, 'latin1')
  content.writeUInt16BE(1, 5 + text.length)
  return encode(0x15, content, 2)
}

/** An answer of codec 12. */
export function teltonikaAnswer(text: string): Buffer {
  const bytes = Buffer.alloc(20 + text.length)
  bytes.writeUInt32BE(8 + text.length, 4)
  bytes.set([0x0c, 1, 6], 8)
  bytes.writeUInt32BE(text.length, 11)
  bytes.write(text, 15, 'latin1')
  bytes[15 + text.length] = 1
  return withChecksum(bytes)
}

/** A packet of codec 8 with one position. */
export function positionAt(timeMs: number, speedKmh: number): Buffer {
  const bytes = packet(1, timeMs)
  bytes.writeUInt16BE(speedKmh, 32)
  return withChecksum(bytes)
}

function withChecksum(bytes: Buffer): Buffer {
  bytes.writeUInt32BE(crc16Ibm(bytes, 8, bytes.length - 4), bytes.length - 4)
  return bytes
}
