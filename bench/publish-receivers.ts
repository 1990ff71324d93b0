/**
 * Receivers, a process of their own: bare sockets that open a WebSocket, send one message and count the bytes that come.
 * They do not look into frames, so that they cost every sender the same.
 */
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'

export interface ReceiversOptions {
  readonly port: number
  readonly path: string
  readonly sockets: number
  /** Header lines beside those of RFC 6455. */
  readonly headers: readonly string[]
  /** Text message that each sends first. */
  readonly first: string
}

/** Bytes behind the handshakes since the start, over all sockets; told again and again while something comes. */
export type ReceivedBytes = number

const options = JSON.parse(process.argv[2]!) as ReceiversOptions
process.once('disconnect', () => process.exit(0))

const HEAD_END = Buffer.from('\r\n\r\n')
/** Handshakes under way at a time: a listening socket has a queue of some hundred. */
const CONNECTING_MAX = 200

let bytes = 0
let told = false

function count(more: number): void {
  bytes += more
  if (told) return
  told = true
  setImmediate(() => {
    told = false
    process.send!(bytes)
  })
}

/** A masked text frame, RFC 6455 5.2, of up to 125 bytes. */
function textFrame(text: string): Buffer {
  const payload = Buffer.from(text)
  const mask = randomBytes(4)
  const masked = payload.map((byte, i) => byte ^ mask[i & 3]!)
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, masked])
}

async function open(): Promise<void> {
  const socket = connect({ port: options.port, host: '127.0.0.1', noDelay: true })
  const key = randomBytes(16).toString('base64')
  const head = [
    `GET ${options.path} HTTP/1.1`,
    `Host: 127.0.0.1:${options.port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${key}`,
    ...options.headers,
    '',
    '',
  ].join('\r\n')
  socket.write(head)
  await new Promise<void>((resolve, reject) => {
    let answer = Buffer.alloc(0)
    const onHead = (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk])
      const end = answer.indexOf(HEAD_END)
      if (end < 0) return
      socket.off('data', onHead)
      if (!answer.toString('latin1').startsWith('HTTP/1.1 101')) {
        reject(new Error(`no WebSocket: ${answer.toString('latin1', 0, 200)}`))
        return
      }
      count(answer.length - end - HEAD_END.length)
      socket.on('data', (more: Buffer) => count(more.length))
      socket.write(textFrame(options.first))
      resolve()
    }
    socket.on('data', onHead)
    socket.on('error', reject)
    socket.on('close', () => {
      throw new Error('a receiver was closed')
    })
  })
}

for (let left = options.sockets; left > 0; left -= CONNECTING_MAX) {
  await Promise.all(Array.from({ length: Math.min(left, CONNECTING_MAX) }, open))
}
