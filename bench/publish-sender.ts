/**
 * What `publish` compares the stream with, a process of its own: uWebSockets whose sockets share a topic, or a loop over the
 * sockets of `ws`. At each message of its parent it sends so many batches of the same bytes to all. Tells its port first.
 */
import { WebSocketServer } from 'ws'
import { loadUws } from '../live/sockets/uws.ts'

export interface SenderOptions {
  readonly kind: 'uWebSockets' | 'ws'
  readonly batchBytes: number
  readonly path: string
}

const options = JSON.parse(process.argv[2]!) as SenderOptions
process.once('disconnect', () => process.exit(0))

const TOPIC = 'all'
const BACKPRESSURE_MAX = 64 * 1024 * 1024
const batch = 'x'.repeat(options.batchBytes)

if (options.kind === 'uWebSockets') {
  const uws = loadUws()
  const app = uws.App()
  app.ws(options.path, {
    maxBackpressure: BACKPRESSURE_MAX,
    message: (socket) => {
      socket.subscribe(TOPIC)
    },
  })
  app.listen('127.0.0.1', 0, (socket) => {
    if (socket === false) throw new Error('uWebSockets can not listen')
    process.send!(uws.us_socket_local_port(socket))
  })
  process.on('message', (batches: number) => {
    for (let i = 0; i < batches; i++) app.publish(TOPIC, batch)
  })
} else {
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    path: options.path,
    perMessageDeflate: false,
    backlog: 4096,
  })
  server.once('listening', () => process.send!((server.address() as { port: number }).port))
  process.on('message', (batches: number) => {
    for (let i = 0; i < batches; i++) {
      for (const socket of server.clients) socket.send(batch)
    }
  })
}
