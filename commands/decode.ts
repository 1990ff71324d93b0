/** `fleetflow decode`: recorded device messages as JSON lines on standard input, what they decode to on standard output. */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Adapter } from '../device-adapters/adapter.ts'
import { type DecodedLine, type RecordedLine, RecordedStream } from '../device-adapters/recorded-line.ts'
import { loadAdapters } from '../device-adapters/registry.ts'

export async function decode(options: { readonly protocol?: string }): Promise<void> {
  const adapters = await loadAdapters()
  const streams = new Map<string, RecordedStream>()
  for await (const text of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (text.trim() === '') continue
    const decoded = decodeLine(text, options.protocol, adapters, streams)
    if (!process.stdout.write(`${JSON.stringify(decoded)}\n`)) await once(process.stdout, 'drain')
  }
}

/** One line in, one line out, whatever the line is. */
function decodeLine(
  text: string,
  protocol: string | undefined,
  adapters: ReadonlyMap<string, Adapter>,
  streams: Map<string, RecordedStream>,
): DecodedLine {
  let line: RecordedLine
  try {
    line = JSON.parse(text) as RecordedLine
    if (typeof line !== 'object' || line === null) throw new SyntaxError('not an object')
  } catch (error) {
    return failed({ protocol: protocol ?? '', stream: 0 }, 'not-json', (error as Error).message)
  }
  const id = line.protocol ?? protocol ?? ''
  const adapter = adapters.get(id)
  if (adapter === undefined) {
    const known = [...adapters.keys()].join(', ')
    return failed({ ...line, protocol: id }, 'unknown-protocol', `no protocol "${id}"; there are ${known}`)
  }
  const key = `${id}\n${line.stream}`
  let stream = streams.get(key)
  if (stream === undefined) {
    stream = new RecordedStream(adapter)
    streams.set(key, stream)
  }
  return stream.decode({ ...line, protocol: id }, Date.now())
}

function failed(
  line: Pick<RecordedLine, 'protocol' | 'stream' | 'seq'>,
  code: string,
  message: string,
): DecodedLine {
  const { protocol, stream, seq } = line
  return { protocol, stream, seq, positions: [], replies: [], error: { code, message } }
}
