/**
 * A server that only replies: what Node's sockets can do when nothing is decoded or stored. It takes every chunk for one
 * packet of one record, as which small packets of a closed loop arrive. Tells its port, then at each message that it
 * gets the processor time that it has used, s.
 */
import { createServer } from 'node:net'

const ACCEPTED = Buffer.from([1])
const ONE_RECORD = Buffer.from([0, 0, 0, 1])

const server = createServer({ noDelay: true }, (socket) => {
  socket.once('data', () => {
    socket.write(ACCEPTED)
    socket.on('data', () => socket.write(ONE_RECORD))
  })
  socket.on('error', () => undefined)
})
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  process.send!((server.address() as { port: number }).port)
})
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send!((user + system) / 1e6)
})
process.once('disconnect', () => process.exit(1))
