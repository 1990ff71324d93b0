/** Subscribers of the stream, a process of its own: they count what they get and do not look into it. */
import { WebSocket } from 'ws'

export interface SubscribersOptions {
  readonly url: string
  readonly token: string
  readonly subprotocol: string
  readonly sockets: number
  /** What each sends first, hex. */
  readonly subscribe: string
  readonly isBinary: boolean
}

/** Told again and again while something comes; counted since the start, over all sockets. */
export interface Received {
  readonly messages: number
  readonly bytes: number
}

const options = JSON.parse(process.argv[2]!) as SubscribersOptions
process.once('disconnect', () => process.exit(0))

let messages = 0
let bytes = 0
let told = false

function tell(): void {
  told = false
  process.send!({ messages, bytes } satisfies Received)
}

for (let i = 0; i < options.sockets; i++) {
  const socket = new WebSocket(options.url, options.subprotocol, {
    headers: { Authorization: `Bearer ${options.token}` },
    perMessageDeflate: false,
    skipUTF8Validation: true,
  })
  socket.on('open', () => socket.send(Buffer.from(options.subscribe, 'hex'), { binary: options.isBinary }))
  socket.on('message', (message: Buffer) => {
    messages++
    bytes += message.length
    if (told) return
    told = true
    // At the end of this turn of the event loop, with what else it brings.
    setImmediate(tell)
  })
  socket.on('close', (code) => {
    throw new Error(`the stream closed a subscriber: ${code}`)
  })
}
