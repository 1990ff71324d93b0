/**
 * `fleetflow decode`: recorded device messages as JSON lines on standard input, what they decode to on standard output.
 * The protocol of lines that do not say it is found out.
 */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Adapter } from '../device-adapters/adapter.ts'
import { DetectedStreams } from '../device-adapters/detected-streams.ts'
import { Detection } from '../device-adapters/detection.ts'
import { type DecodedLine, RecordedLine, RecordedStream } from '../device-adapters/recorded-line.ts'
import { loadAdapters } from '../device-adapters/registry.ts'

export async function decode(options: { readonly protocol?: string }): Promise<void> {
  const adapters = await loadAdapters()
  const streams = new Map<string, RecordedStream>()
  const detected = new DetectedStreams(new Detection(adapters.values()))
  for await (const text of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (text.trim() === '') continue
    const decoded = decodeLine(text, options.protocol, adapters, streams, detected)
    if (!process.stdout.write(`${JSON.stringify(decoded)}\n`)) await once(process.stdout, 'drain')
  }
}

/** One line in, one line out, whatever the line is. */
function decodeLine(
  text: string,
  protocol: string | undefined,
  adapters: ReadonlyMap<string, Adapter>,
  streams: Map<string, RecordedStream>,
  detected: DetectedStreams,
): DecodedLine {
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch (error) {
    return failed({ protocol: protocol ?? '', stream: 0 }, 'not-json', (error as Error).message)
  }
  const named = { ...(protocol === undefined ? {} : { protocol }), ...(given as object) }
  const parsed = RecordedLine.safeParse(named)
  if (!parsed.success) {
    const { protocol: id = '', stream = 0, seq } = named as Partial<RecordedLine>
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
    return failed(
      { protocol: id, stream, ...(seq === undefined ? {} : { seq }) },
      'not-a-line',
      faults.join('; '),
    )
  }
  const line = parsed.data
  const id = line.protocol
  if (id === '') return detected.decode(line, Date.now())
  const adapter = adapters.get(id)
  if (adapter === undefined) {
    const known = [...adapters.keys()].join(', ')
    return failed(line, 'unknown-protocol', `no protocol "${id}"; there are ${known}`)
  }
  const key = `${id}\n${line.stream}`
  let stream = streams.get(key)
  if (stream === undefined) {
    stream = new RecordedStream(adapter)
    streams.set(key, stream)
  }
  return stream.decode(line, Date.now())
}

function failed(
  line: Pick<RecordedLine, 'protocol' | 'stream' | 'seq'>,
  code: string,
  message: string,
): DecodedLine {
  const { protocol, stream, seq } = line
  return { protocol, stream, seq, positions: [], replies: [], error: { code, message } }
}
