/** TCP listener of one adapter. */
import { createServer, type Socket } from 'node:net'
import type { Adapter } from '../device-adapters/adapter.ts'
import { Connection } from './connection.ts'
import type { ConnectionCount } from './connection-count.ts'
import type { Intake } from './intake.ts'
import type { LimitName } from './limits.ts'
import { addressOfSocket, bindServer, type ListenAddress, type Listener } from './listener.ts'

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

  // Half open, since a device that has closed its side may still wait for the replies.
  const server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: true }, (socket) => {
    if (!count.admit(socket, labels)) return
    let timeout: LimitName = 'idleTimeoutMs'
    const closeSoon = () => {
      timeout = 'closingTimeoutMs'
      socket.setTimeout(limits.closingTimeoutMs)
    }
    const connection = new Connection(adapter, intake, {
      address: addressOfSocket(socket),
      write: (bytes) => void socket.write(bytes),
      get unsentBytes() {
        return socket.writableLength
      },
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
      hold: (bytes, bytesBefore) => count.hold(bytes, bytesBefore),
      close: () => {
        closeSoon()
        socket.destroySoon()
      },
    })
    open.set(socket, { connection, openedMs: performance.now() })
    socket.setTimeout(limits.idleTimeoutMs, () => {
      metrics.limitMet(timeout)
      socket.destroy()
    })
    socket.on('data', (bytes) => connection.receive(bytes))
    socket.on('end', () => {
      closeSoon()
      connection.end()
    })
    // A reset by the device is its way to hang up; `close` follows.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      connection.gone()
      open.delete(socket)
    })
  })

  const port = await bindServer(server, adapter.id, address, metrics)
  // A timer of the socket would start anew with every byte that drips in.
  const sweep = setInterval(() => {
    const oldestMs = performance.now() - limits.firstFrameTimeoutMs
    for (const [socket, { connection, openedMs }] of open) {
      // In the order of opening: all that follow are younger.
      if (openedMs > oldestMs) return
      if (!connection.owesFirstFrame) continue
      metrics.limitMet('firstFrameTimeoutMs')
      socket.destroy()
    }
  }, SWEEP_EVERY_MS)

  return {
    protocol: adapter.id,
    transport: 'tcp',
    host: address.host,
    port,
    close: async () => {
      clearInterval(sweep)
      const closed = new Promise((resolve) => server.close(resolve))
      for (const [socket, { connection }] of open) {
        connection.stop()
        socket.destroy()
      }
      await closed
    },
  }
}
