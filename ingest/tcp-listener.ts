/** TCP listener of one adapter. */
import { createServer, type Socket } from 'node:net'
import type { Adapter } from '../device-adapters/adapter.ts'
import { Connection } from './connection.ts'
import type { ConnectionCount } from './connection-count.ts'
import type { Intake } from './intake.ts'
import { addressOf, type ListenAddress, ListenError, type Listener } from './listener.ts'

/** Period of the search for connections that never sent a frame, ms. */
const SWEEP_EVERY_MS = 1_000

/** @throws ListenError if the port cannot be had. */
export async function listenTcp(
  adapter: Adapter,
  intake: Intake,
  count: ConnectionCount,
  address: ListenAddress,
): Promise<Listener> {
  const { limits, metrics } = intake
  const labels = { protocol: adapter.id, transport: 'tcp' }
  const open = new Map<Socket, { connection: Connection; openedMs: number }>()

  const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    if (!count.add()) {
      socket.destroy()
      return
    }
    metrics.connections.inc(labels)
    const connection = new Connection(adapter, intake, {
      address: addressOf({ address: socket.remoteAddress, port: socket.remotePort }),
      write: (bytes) => void socket.write(bytes),
      get unsentBytes() {
        return socket.writableLength
      },
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
      close: () => socket.destroySoon(),
    })
    open.set(socket, { connection, openedMs: Date.now() })
    socket.setTimeout(limits.idleTimeoutMs, () => {
      metrics.limits.inc({ limit: 'idleTimeoutMs' })
      socket.destroy()
    })
    socket.on('data', (bytes) => connection.receive(bytes))
    // A reset by the device is its way to hang up; `close` follows.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      connection.end()
      open.delete(socket)
      count.remove()
      metrics.connections.dec(labels)
    })
  })

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new ListenError(adapter.id, address, error)))
    server.listen({ ...address, backlog: 4096 }, resolve)
  })
  // A timer of the socket would start anew with every byte that drips in.
  const sweep = setInterval(() => {
    const oldestMs = Date.now() - limits.firstFrameTimeoutMs
    for (const [socket, { connection, openedMs }] of open) {
      // In the order of opening: all that follow are younger.
      if (openedMs > oldestMs) return
      if (connection.spoke) continue
      metrics.limits.inc({ limit: 'firstFrameTimeoutMs' })
      socket.destroy()
    }
  }, SWEEP_EVERY_MS)

  const bound = server.address() as { port: number }
  return {
    protocol: adapter.id,
    transport: 'tcp',
    host: address.host,
    port: bound.port,
    close: async () => {
      clearInterval(sweep)
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of open.keys()) socket.destroy()
      await closed
    },
  }
}
