/** TCP listener of one adapter, and the connections of listeners whose protocol is known. */
import { createServer, type Server, type Socket } from 'node:net'
import type { Adapter } from '../../device-adapters/adapter.ts'
import type { Intake } from '../intake.ts'
import type { LimitName } from '../limits.ts'
import { Connection } from './connection.ts'
import type { ConnectionCount } from './connection-count.ts'
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
  const connections = new TcpConnections(intake, count)
  const server = createTcpServer((socket) => connections.serve(socket, adapter))
  const port = await bindServer(server, adapter.id, address, intake.metrics)
  return {
    protocol: adapter.id,
    transport: 'tcp',
    host: address.host,
    port,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      connections.close()
      await closed
    },
  }
}

/** A server of sockets as devices need them. */
export function createTcpServer(onSocket: (socket: Socket) => void): Server {
  // Half open, since a device that has closed its side may still wait for the replies.
  return createServer({ noDelay: true, keepAlive: true, allowHalfOpen: true }, onSocket)
}

/** Open connections of one listener. */
export class TcpConnections {
  private readonly intake: Intake
  private readonly count: ConnectionCount
  private readonly open = new Map<Socket, { connection: Connection; openedMs: number }>()
  private readonly sweep: NodeJS.Timeout

  constructor(intake: Intake, count: ConnectionCount) {
    this.intake = intake
    this.count = count
    // A timer of the socket would start anew with every byte that drips in.
    this.sweep = setInterval(() => this.closeSilent(), SWEEP_EVERY_MS)
    // It is there before the port, which may not be had.
    this.sweep.unref()
  }

  /**
   * Takes what a socket sends, and answers it, until it closes.
   * @param first What it has sent before.
   */
  serve(socket: Socket, adapter: Adapter, first?: Buffer): void {
    const { intake, count, open } = this
    const { limits, metrics } = intake
    if (!count.admit(socket, { protocol: adapter.id, transport: 'tcp' })) return
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
    if (first !== undefined) connection.receive(first)
  }

  /** Reads and answers nothing more. */
  close(): void {
    clearInterval(this.sweep)
    for (const [socket, { connection }] of this.open) {
      connection.stop()
      socket.destroy()
    }
  }

  private closeSilent(): void {
    const { limits, metrics } = this.intake
    const oldestMs = performance.now() - limits.firstFrameTimeoutMs
    for (const [socket, { connection, openedMs }] of this.open) {
      // In the order of opening: all that follow are younger.
      if (openedMs > oldestMs) return
      if (!connection.owesFirstFrame) continue
      metrics.limitMet('firstFrameTimeoutMs')
      socket.destroy()
    }
  }
}
