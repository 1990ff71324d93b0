/** A device's way to the server, whatever the transport: what devices.ts needs of it. */
import type { Report } from '../encoders/encoder.ts'

export type LinkErrorCode =
  | 'connect-failed'
  | 'refused'
  | 'no-answer'
  | 'closed'
  | 'malformed-answer'
  | 'http-status'

/** Why a link failed; the device closes it and tries again with a new one. */
export class LinkError extends Error {
  override readonly name = 'LinkError'
  readonly code: LinkErrorCode

  constructor(code: LinkErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export interface Link {
  /**
   * Connects, and logs in where the protocol does.
   * @throws LinkError
   */
  open(): Promise<void>
  /**
   * Sends reports, and resolves when the server acknowledged all of them. Called again only after it settled.
   * @param onAcknowledged Called with each report once it is acknowledged, never after the link failed.
   * @throws LinkError Reports that are not acknowledged by then may or may not have been stored.
   */
  send(reports: readonly Report[], onAcknowledged: (report: Report) => void): Promise<void>
  /** Why the link can send no more; undefined while it can. */
  readonly broken: LinkError | undefined
  /** Ends the link; what waits for it fails with `closed`. */
  close(): void
}

export interface LinkOptions {
  readonly host: string
  readonly port: number
  readonly uniqueId: string
  /** Only MQTT devices have one. */
  readonly password?: string | undefined
  /** How long a device waits for a connection and for each answer, ms. */
  readonly answerTimeoutMs: number
  readonly counts: FrameCounts
  /** Called when the link breaks while nothing waits for it. */
  onBroken(): void
}

/** Frames, datagrams, requests and messages. */
export interface FrameCounts {
  framesSent: number
  framesAcknowledged: number
}

/** Promise of one answer, with a time limit. */
export class Waiting {
  readonly answered: Promise<void>
  private settle!: { resolve: () => void; reject: (error: LinkError) => void }
  private readonly timer: NodeJS.Timeout

  constructor(what: string, timeoutMs: number) {
    this.answered = new Promise((resolve, reject) => {
      this.settle = { resolve, reject }
    })
    this.timer = setTimeout(() => {
      this.settle.reject(new LinkError('no-answer', `no ${what} within ${timeoutMs} ms`))
    }, timeoutMs)
  }

  resolve(): void {
    clearTimeout(this.timer)
    this.settle.resolve()
  }

  reject(error: LinkError): void {
    clearTimeout(this.timer)
    this.settle.reject(error)
  }
}
