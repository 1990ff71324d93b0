/**
 * A client of a replay, a process of its own: sends what it is told, and says how long it took until a message of some
 * type came. What carries rows it does not look into.
 */
import { WebSocket } from 'ws'
import { STREAM_FORMATS } from '../live/format/stream-format.ts'
import type { ClientMessage, ServerMessage } from '../schemas/stream.ts'

export interface ReplayClientOptions {
  readonly url: string
  readonly token: string
  readonly subprotocol: string
}

export interface ReplayRequest {
  readonly messages: readonly ClientMessage[]
  /** Type of the message that is waited for; before it, one of `clock` must have come. */
  readonly until: ServerMessage['type']
}

export interface ReplayAnswer {
  readonly ms: number
  readonly bytes: number
}

/** Longer messages carry rows. */
const SHORT_BYTES = 400

const { url, token, subprotocol } = JSON.parse(process.argv[2]!) as ReplayClientOptions
const format = STREAM_FORMATS.find((candidate) => candidate.subprotocol === subprotocol)!
process.once('disconnect', () => process.exit(0))

let asked: { readonly request: ReplayRequest; readonly startMs: number } | undefined
let begun = false
let bytes = 0

const socket = new WebSocket(url, subprotocol, {
  headers: { Authorization: `Bearer ${token}` },
  perMessageDeflate: false,
  skipUTF8Validation: true,
})
socket.on('open', () => process.send!('open'))
socket.on('close', (code) => {
  throw new Error(`the stream closed the client: ${code}`)
})
socket.on('message', (message: Buffer) => {
  bytes += message.length
  const type = message.length > SHORT_BYTES ? 'positions' : (format.decode(message) as ServerMessage).type
  if (type === 'error') throw new Error(`the stream refused: ${JSON.stringify(format.decode(message))}`)
  if (type === 'clock') begun = true
  if (!begun || type !== asked?.request.until) return
  const answer: ReplayAnswer = { ms: performance.now() - asked.startMs, bytes }
  asked = undefined
  process.send!(answer)
})
process.on('message', (request: ReplayRequest) => {
  asked = { request, startMs: performance.now() }
  begun = false
  bytes = 0
  for (const message of request.messages) {
    socket.send(format.encode(message as never), { binary: format.isBinary })
  }
})
