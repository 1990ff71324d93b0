/** What every listener is, whatever its transport. */
import type { Transport } from '../device-adapters/adapter.ts'

export interface Listener {
  /** Adapter's id, or `mqtt` for the broker, which serves several. */
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
        ? 'another program has it: stop that program, or name another port in PROTOCOLS, PORT or STREAM_PORT'
        : cause.code === 'EACCES'
          ? 'ports below 1024 need a privilege: name another port'
          : cause.message
    super(`${protocol} can not listen on ${address.host}:${address.port}: ${remedy}`, { cause })
    this.code = cause.code ?? 'listen-failed'
  }
}

/** Names an address in log lines and in the quarantine. */
export function addressOf(remote: {
  readonly address?: string | undefined
  readonly port?: number | undefined
}): string {
  const { address = '', port = 0 } = remote
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
