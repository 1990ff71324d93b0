/** Our adapters beside the parsers of npm that read the same frames. */
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Adapter } from '../device-adapters/adapter.ts'
import { type DeviceSession, decodeFrame } from '../device-adapters/decoder.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import type { Bench } from './bench.ts'
import { figure, spread, times, unitsPerProcessorSecond } from './measure.ts'
import { PEERS, type Peer, type Place, type ReadPlace } from './parsers-of-npm.ts'
import type { Question, Row } from './question.ts'
import { exchangesOf, readVectors } from './recorded-frames.ts'

const run = promisify(execFile)

/** Places that differ by less are one, degrees: parsers round. */
const SAME_PLACE_DEG = 1e-4
const BATCH_ROWS = 4096

interface PlacedFrame {
  readonly session: DeviceSession
  readonly frame: Buffer
  /** Of the first position. */
  readonly place: Place
}

export const parsers: Question = {
  name: 'parsers',
  title: "How fast are npm's parsers of the same protocols?",
  method:
    'Each package of npm that parses frames of a protocol of ours gets every recorded frame with a place (its own installed version, in a ' +
    'folder of its own, without its scripts). Those in which it finds the same first place as the adapter does are then read over and over, by the ' +
    'package and by the adapter, in one process; seconds are those of processor time. The adapter fills all columns and ' +
    'attributes and makes the digest.',
  measure: async (bench) => {
    const require = await install(bench)
    const adapters = await loadAdapters()
    return PEERS.map((peer) => measurePeer(bench, peer, peer.load(require), adapters.get(peer.protocol)!))
  },
}

/** Installs the packages in the folder of the question. @throws Error if the registry cannot be had. */
async function install(bench: Bench): Promise<NodeJS.Require> {
  bench.progress('parsers: npm install')
  const packages = PEERS.map(({ name, version }) => `${name}@${version}`)
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-save', '--prefix', bench.folder]
  await run('npm', ['install', ...flags, ...packages])
  return createRequire(join(bench.folder, 'index.js'))
}

function measurePeer(bench: Bench, peer: Peer, read: ReadPlace, adapter: Adapter): Row {
  bench.progress(`parsers: ${peer.name}`)
  const frames = placedFrames(adapter)
  const agreed = frames.filter(({ frame, place }) => isSame(tryRead(read, frame), place))
  const cells = {
    protocol: adapter.id,
    'frames with a place': String(frames.length),
    'read alike': String(agreed.length),
  }
  if (agreed.length === 0)
    return { name: `${peer.name} ${peer.version}`, cells, meaning: 'reads none of the recorded frames.' }
  const batch = new PositionBatch(BATCH_ROWS * 2)
  const theirs = unitsPerProcessorSecond(() => {
    for (const { frame } of agreed) read(frame)
    return agreed.length
  })
  const ours = unitsPerProcessorSecond(() => {
    for (const { session, frame } of agreed) decodeFrame(adapter, frame, session, batch)
    if (batch.length >= BATCH_ROWS) batch.reset()
    return agreed.length
  })
  const ratio = times(ours.mean / theirs.mean)
  return {
    name: `${peer.name} ${peer.version}`,
    cells: {
      ...cells,
      'its frames/s': spread(theirs),
      'ours, the same frames': spread(ours),
      ratio,
    },
    meaning:
      `finds the place of ${agreed.length} of ${frames.length} recorded frames; ` +
      `of these it reads ${figure(theirs.mean)} a second, the adapter ${figure(ours.mean)}.`,
  }
}

/** Recorded frames of the adapter whose first row has a place. */
function placedFrames(adapter: Adapter): PlacedFrame[] {
  const batch = new PositionBatch(64)
  return exchangesOf(adapter, readVectors(adapter.id)).flatMap(({ session, frames }) =>
    frames.flatMap((frame) => {
      batch.reset()
      decodeFrame(adapter, frame, session, batch)
      const place: Place = [batch.latitudeDeg[0]!, batch.longitudeDeg[0]!]
      return batch.length === 0 || Number.isNaN(place[0]) ? [] : [{ session, frame, place }]
    }),
  )
}

/** What a package throws at, it does not read. */
function tryRead(read: ReadPlace, frame: Buffer): Place | undefined {
  try {
    return read(frame)
  } catch {
    return undefined
  }
}

function isSame(found: Place | undefined, place: Place): boolean {
  if (found === undefined) return false
  return found.every((degrees, i) => Math.abs(Number(degrees) - place[i]!) < SAME_PLACE_DEG)
}
