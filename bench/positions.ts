/** Positions as trackers of lorries report them, seeded: what the questions below the sockets work on. */
import { PositionBatch } from '../schemas/position-batch.ts'
import { seededRandom } from '../test/seeded-random.ts'
import { SEED } from './measure.ts'

/** Elements of trackers that have no column of their own, in the names that adapters give them. */
const ATTRIBUTES: readonly [key: string, value: (random: number) => number | boolean | string][] = [
  ['priority', (random) => Math.floor(random * 3)],
  ['io24', (random) => Math.floor(random * 120)],
  ['io68', (random) => Math.floor(random * 1000)],
  ['io80', () => 1],
  ['charge', (random) => random < 0.5],
  ['temp1', (random) => Math.round(random * 600 - 200) / 10],
  ['pdop', (random) => Math.round(random * 40) / 10],
  ['operator', (random) => 26_200 + Math.floor(random * 10)],
  ['io17', (random) => Math.floor(random * 4000 - 2000)],
  ['io18', (random) => Math.floor(random * 4000 - 2000)],
  ['io19', (random) => Math.floor(random * 4000 - 2000)],
  ['obdSpeed', (random) => Math.floor(random * 120)],
  ['rpm', (random) => Math.floor(random * 4000)],
  ['driverUniqueId', (random) => Math.floor(random * 2 ** 32).toString(16)],
]

/** Most attributes of a position beside the columns. */
export const ATTRIBUTES_MAX = ATTRIBUTES.length

export interface BatchOptions {
  readonly rows: number
  /** `devices.id` of the first row; those that follow count up, modulo {@link deviceCount}. */
  readonly firstDevice: number
  readonly deviceCount: number
  /** ms UTC; a second later each time that the devices start anew. */
  readonly fixTimeMs: number
  /** Attributes of a row beside its columns, {@link ATTRIBUTES_MAX} at most. */
  readonly attributes: number
}

/** A batch as a shard gets it: the usual readings of a tracker in their columns, and so many attributes. */
export function positionBatch(options: BatchOptions): PositionBatch {
  const { rows, firstDevice, deviceCount, fixTimeMs, attributes } = options
  const random = seededRandom(SEED + rows + attributes)
  const batch = new PositionBatch(2 ** Math.ceil(Math.log2(rows)))
  const receivedMs = Date.now()
  for (let i = 0; i < rows; i++) {
    const device = i % deviceCount
    const timeMs = fixTimeMs + Math.floor(i / deviceCount) * 1000
    const row = batch.add(timeMs, 50 + device / 1000 + random() / 1e4, 10 + random() / 1e4)
    batch.device[row] = firstDevice + device
    batch.receivedMs[row] = receivedMs
    batch.altitudeM[row] = Math.round(random() * 300)
    batch.speedKmh[row] = Math.round(random() * 90)
    batch.courseDeg[row] = Math.round(random() * 359)
    batch.digestHigh[row] = random() * 2 ** 32
    batch.digestLow[row] = random() * 2 ** 32
    batch.set(row, 'sat', 6 + Math.floor(random() * 10))
    batch.set(row, 'event', 0)
    batch.set(row, 'ignition', true)
    batch.set(row, 'motion', random() < 0.8)
    batch.set(row, 'rssi', Math.floor(random() * 6))
    batch.set(row, 'power', 12 + Math.round(random() * 2000) / 1000)
    batch.set(row, 'battery', 3.9 + Math.round(random() * 200) / 1000)
    batch.set(row, 'odometer', 100_000 + i * 15)
    for (let a = 0; a < attributes; a++) {
      const [key, value] = ATTRIBUTES[a]!
      batch.set(row, key, value(random()))
    }
  }
  return batch
}

/** `0, 1, 2 …`: rows in the order in which they stand. */
export function inOrder(rows: number): Uint32Array {
  return Uint32Array.from({ length: rows }, (_, row) => row)
}
