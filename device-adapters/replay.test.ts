/**
 * Holds every adapter to what the journal relies on: a frame with positions decodes to the same rows when all that is
 * known of its connection is the transport, the name and the registered device of its session, its dialect and the time
 * of receipt, and never what earlier frames left in the state.
 */
import { expect, test } from 'vitest'
import { PositionBatch } from '../schemas/position-batch.ts'
import { F64_COLUMNS, U8_COLUMNS } from '../schemas/position-columns.ts'
import { type Adapter, DecodeError, type KnownDevice, type Transport } from './adapter.ts'
import { DeviceSession, decodeFrame } from './decoder.ts'
import { FrameReader } from './frames.ts'
import { deviceOf, wholeFramesOf } from './recorded-line.ts'
import { loadAdapters } from './registry.ts'
import { nameOf, RECEIVED_MS, transportOf, vectorsOf } from './vectors-fixture.ts'

const COLUMNS = [
  ...F64_COLUMNS,
  ...U8_COLUMNS,
  'digestHigh',
  'digestLow',
  'recordStart',
  'recordEnd',
] as const

/** A frame with positions, what its session knew, and the rows that came of it. */
interface Taken {
  readonly name: string
  readonly frame: Buffer
  readonly transport: Transport
  readonly uniqueId: string
  readonly device: KnownDevice
  readonly dialect: string
  readonly rows: readonly object[]
}

for (const [id, adapter] of await loadAdapters()) {
  const taken = takenOf(adapter, id)

  test(`${id} decodes each frame with positions without its connection`, () => {
    expect(taken.length).toBeGreaterThan(0)
    for (const { name, frame, transport, uniqueId, device, dialect, rows } of taken) {
      const session = new DeviceSession(adapter, transport, (asked) =>
        asked === uniqueId ? device : undefined,
      )
      session.uniqueId = uniqueId
      session.device = device
      session.dialect = dialect
      session.receivedMs = RECEIVED_MS
      const batch = new PositionBatch(64)
      decodeFrame(adapter, frame, session, batch)
      expect(rowsOf(batch), name).toEqual(rows)
      expect(session.uniqueId, name).toBe(uniqueId)
    }
  })

  test(`${id} decodes each frame with positions alike, whatever came before it`, () => {
    // One session for all frames of all devices: no connection has a more cluttered past.
    const sessions = new Map<Transport, DeviceSession>()
    const batch = new PositionBatch(64)
    let registered: KnownDevice | undefined
    for (const { name, frame, transport, uniqueId, device, dialect, rows } of taken.toReversed()) {
      registered = device
      const session = sessions.get(transport) ?? new DeviceSession(adapter, transport, () => registered)
      sessions.set(transport, session)
      session.uniqueId = uniqueId
      session.device = device
      session.dialect = dialect
      session.receivedMs = RECEIVED_MS
      batch.reset()
      decodeFrame(adapter, frame, session, batch)
      expect(rowsOf(batch), name).toEqual(rows)
    }
  })
}

/** Plays the vectors as they were recorded, and keeps the frames that became positions. */
function takenOf(adapter: Adapter, id: string): Taken[] {
  const taken: Taken[] = []
  const connections = new Map<string, { session: DeviceSession; reader: FrameReader }>()
  const devices = new Map<string, KnownDevice>()
  for (const line of vectorsOf(id)) {
    const stream = String(line.stream)
    const device = deviceOf({ ...devices.get(stream)?.options, ...line.setup })
    // A frame that names the device again must meet what is registered of it by then.
    devices.set(stream, device)
    const transport = transportOf(line)
    const key = `${stream} ${transport}`
    let connection = connections.get(key)
    if (connection === undefined || transport !== 'tcp') {
      const session = new DeviceSession(adapter, transport, () => devices.get(stream))
      connection = { session, reader: new FrameReader(adapter, transport) }
      connections.set(key, connection)
    }
    const { session, reader } = connection
    if (session.uniqueId !== '') session.device = device
    session.receivedMs = RECEIVED_MS
    for (const frame of wholeFramesOf(line, reader)) {
      const batch = new PositionBatch(64)
      try {
        if (decodeFrame(adapter, frame, session, batch) === 0) continue
      } catch (error) {
        if (error instanceof DecodeError) continue
        throw error
      }
      const { uniqueId, dialect } = session
      const name = `${id}/${nameOf(line)}`
      taken.push({ name, frame, transport, uniqueId, device, dialect, rows: rowsOf(batch) })
    }
  }
  return taken
}

/** Everything that is kept of the rows. */
function rowsOf(batch: PositionBatch): object[] {
  const rows: object[] = []
  for (let row = 0; row < batch.length; row++) {
    const columns = Object.fromEntries(COLUMNS.map((name) => [name, batch[name][row]]))
    const attributes: unknown[] = []
    for (let i = batch.attributeFirst[row]!; i >= 0; i = batch.attributeNext[i]!) {
      const value = batch.attributeValue[i]!
      const kind = batch.attributeKind[i]!
      attributes.push([batch.keys[batch.attributeKey[i]!], kind, kind >= 2 ? batch.texts[value] : value])
    }
    const alarm = batch.texts[batch.alarm[row]!]
    rows.push({ ...columns, alarm, attributes, uniqueId: batch.uniqueIdOf(row) })
  }
  return rows
}
