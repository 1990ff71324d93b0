/** What every listener is, whatever its transport. */
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Transport } from '../../device-adapters/adapter.ts'
import type { IngestMetrics } from '../metrics.ts'

/** Connections that the kernel holds while the engine is busy; it may allow fewer. */
const BACKLOG = 4096

/** Protocol in the quarantine, and the reason, of what is of no protocol that could be found out. */
export const UNKNOWN_PROTOCOL = 'unknown'
export const UNDETECTED = 'undetected'

export interface Listener {
  /** Adapter's id, or `mqtt` for the broker and `detect` for the port of all protocols, which serve several. */
  readonly protocol: string
  readonly transport: Transport
  readonly host: string
  readonly port: number
  /** Takes no more, and closes what is open; what is pending is stored but not replied to. */
  close(): Promise<void>
}

export interface ListenAddress {
  readonly host: string
  /** 0 = any free port. */
  readonly port: number
}

/** A port that cannot be had: what is wrong and what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly code: string

  constructor(protocol: string, address: ListenAddress, cause: NodeJS.ErrnoException) {
    const remedy =
      cause.code === 'EADDRINUSE'
        ? 'another program has it: stop that program, or name another port in PROTOCOLS, DETECT_PORT, PORT or STREAM_PORT'
        : cause.code === 'EACCES'
          ? 'ports below 1024 need a privilege: name another port'
          : cause.message
    super(`${protocol} can not listen on ${address.host}:${address.port}: ${remedy}`, { cause })
    this.code = cause.code ?? 'listen-failed'
  }
}

/**
 * Binds a TCP server.
 * @returns The port that it is bound to.
 * @throws ListenError if the port cannot be had.
 */
export async function bindServer(
  server: Server,
  protocol: string,
  address: ListenAddress,
  metrics: IngestMetrics,
): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new ListenError(protocol, address, error)))
    server.listen({ ...address, backlog: BACKLOG }, resolve)
  })
  server.removeAllListeners('error')
  // After binding, errors concern single connections, which could not be accepted.
  server.on('error', () => metrics.faults.inc({ protocol, code: 'socket' }))
  return (server.address() as AddressInfo).port
}

/** Names the other end of a socket. */
export function addressOfSocket({ remoteAddress, remotePort }: Socket): string {
  return addressOf({ address: remoteAddress, port: remotePort })
}

/** Names an address in log lines and in the quarantine. */
export function addressOf(remote: {
  readonly address?: string | undefined
  readonly port?: number | undefined
}): string {
  const { address = '', port = 0 } = remote
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
