/**
 * Recorded lines that do not say their protocol, as `decode` takes them: it is found out for each stream. Recordings of
 * several protocols may count their streams alike, so a line that is undoubtedly of another protocol than the one before
 * is a line of another connection.
 */
import type { Adapter } from './adapter.ts'
import { adapterFound, type Detected, type Detection, type StreamDetector } from './detection.ts'
import { bytesOf, type DecodedLine, deviceOf, type RecordedLine, RecordedStream } from './recorded-line.ts'

/** Code of a line of which the protocol is not known yet. */
const UNDETECTED = 'undetected'

/** Lines of one stream that are kept while they do not tell; then it is begun anew. */
const HELD_LINES_MAX = 256

/** What is known of the lines of one stream. */
interface Known {
  /** Connections by protocol, the one of the last line last. */
  readonly connections: Map<Adapter, RecordedStream>
  /** Lines that did not tell, and what they are so far. */
  held: RecordedLine[]
  detector: StreamDetector | undefined
}

export class DetectedStreams {
  private readonly detection: Detection
  private readonly streams = new Map<number | string, Known>()

  constructor(detection: Detection) {
    this.detection = detection
  }

  /**
   * Decodes a line by the protocol that it turns out to be of. One that does not tell has the error `undetected` and the
   * protocol ''; where a later line tells, it is decoded then, and counts for the state of the connection only.
   * @param nowMs Time of receipt where the line gives none, ms UTC.
   */
  decode(line: RecordedLine, nowMs: number): DecodedLine {
    const known = this.streams.get(line.stream) ?? { connections: new Map(), held: [], detector: undefined }
    this.streams.set(line.stream, known)
    const alone = this.detect(line, nowMs)
    const surely = adapterFound(alone) ?? this.following(known, line, alone, nowMs)
    const together =
      surely === undefined || known.held.length > 0 ? this.begun(known, line, nowMs) : undefined
    const adapter = surely ?? together
    if (adapter === undefined) {
      const { protocol, stream, seq } = line
      const message = (known.detector ?? alone).explain()
      return { protocol, stream, seq, positions: [], replies: [], error: { code: UNDETECTED, message } }
    }
    const connection = known.connections.get(adapter) ?? new RecordedStream(adapter)
    known.connections.delete(adapter)
    known.connections.set(adapter, connection)
    const { held } = known
    known.held = []
    known.detector = undefined
    if (adapter === together) {
      for (const before of held) connection.decode({ ...before, protocol: adapter.id }, nowMs)
    }
    return connection.decode({ ...line, protocol: adapter.id }, nowMs)
  }

  private detect(line: RecordedLine, nowMs: number): Detected {
    const { detection } = this
    const { bytes } = bytesOf(line)
    const find = () => deviceOf(line.setup ?? {})
    switch (line.transport) {
      case 'tcp': {
        const stream = detection.stream(nowMs, find)
        stream.push(bytes)
        return stream
      }
      case 'udp':
        return detection.datagram(bytes, nowMs, find)
      case 'frame':
        return detection.frame(bytes, nowMs, find)
      default:
        return detection.request(bytes, line.transport, nowMs, line.mqtt?.topic)
    }
  }

  /** The protocol of the connection that the line surely goes on with. */
  private following({ connections }: Known, line: RecordedLine, alone: Detected, nowMs: number) {
    const known = [...connections.keys()]
    const { transport } = line
    if (known.length === 0 || transport === 'http' || transport === 'mqtt') return undefined
    const find = () => deviceOf(line.setup ?? {})
    const piece = { ...bytesOf(line), transport: transport === 'udp' ? 'udp' : 'tcp', nowMs, find } as const
    const fitting = known.filter((adapter) => alone.fits.includes(adapter))
    if (fitting.length > 0) {
      // What names no device begins as one protocol does, and may still be the middle of another.
      const possible = known.filter(
        (adapter) => fitting.includes(adapter) || this.detection.mayFollow(piece, adapter),
      )
      return possible.length === 1 ? possible[0] : undefined
    }
    const isRest = (adapter: Adapter) => {
      const begun = connections.get(adapter)!.rest
      if (begun.length === 0 || transport !== 'tcp') return false
      const stream = this.detection.stream(nowMs, find)
      stream.push(Buffer.concat([begun, piece.bytes]))
      if (adapterFound(stream) === adapter) return true
      // A piece in the middle.
      return known.length === 1 && alone.broken.length === 0 && stream.broken.includes(adapter)
    }
    const sure = known.filter((adapter) => isRest(adapter) || this.detection.surelyFollows(piece, adapter))
    if (sure.length > 0) return sure.length === 1 ? sure[0] : undefined
    // Broken frames, and cut ones, of the only protocol that there was are its own.
    return known.length === 1 && alone.broken.includes(known[0]!) ? known[0] : undefined
  }

  /** The protocol that the first lines of a stream tell together. */
  private begun(known: Known, line: RecordedLine, nowMs: number): Adapter | undefined {
    if (line.transport !== 'tcp') return undefined
    known.detector ??= this.detection.stream(nowMs, () => deviceOf(line.setup ?? {}))
    const { kind } = known.detector.push(bytesOf(line).bytes)
    if (known.held.length > 0 && (kind === 'unknown' || known.held.length >= HELD_LINES_MAX)) {
      // Lines of two connections, or of none: what comes next may tell with the later ones.
      known.held = []
      known.detector = undefined
      return this.begun(known, line, nowMs)
    }
    const adapter = adapterFound(known.detector)
    if (adapter === undefined) known.held = [...known.held, line]
    return adapter
  }
}
