/** Link of a protocol of frames, over a TCP connection or a UDP socket. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { connect, isIPv6, type Socket as TcpSocket } from 'node:net'
import type { FrameEncoder, Report } from '../encoders/encoder.ts'
import { type Link, LinkError, type LinkOptions, Waiting } from './link.ts'

/** How often a device that has one sends its heartbeat, ms. */
const HEARTBEAT_MS = 3 * 60_000

/** No answer or command of a server is longer than this, bytes. */
const ANSWER_MAX_BYTES = 65_536

const NO_BYTES = Buffer.alloc(0)

/** Frames on the wire, and what waits for their answers. */
interface Exchange {
  readonly answer: Waiting
  /** Reports, or answers to a login, that are not acknowledged. */
  left: number
  /** Reports that no answer has named. */
  readonly unanswered: Report[]
  readonly onAcknowledged: (report: Report) => void
}

export class FrameLink implements Link {
  broken: LinkError | undefined
  private readonly encoder: FrameEncoder
  private readonly options: LinkOptions
  private socket: TcpSocket | UdpSocket | undefined
  private heartbeat: NodeJS.Timeout | undefined
  private rest: Buffer = NO_BYTES
  private loggedIn = false
  private connecting: Waiting | undefined
  /** The answers that `send` or the login waits for. */
  private waiting: Exchange | undefined

  constructor(encoder: FrameEncoder, options: LinkOptions) {
    this.encoder = encoder
    this.options = options
  }

  async open(): Promise<void> {
    const { host, port, answerTimeoutMs } = this.options
    const connecting = new Waiting(`connection to ${host}:${port}`, answerTimeoutMs)
    this.connecting = connecting
    if (this.encoder.transport === 'tcp') this.connectTcp(() => connecting.resolve())
    else this.connectUdp(() => connecting.resolve())
    await connecting.answered
    this.connecting = undefined

    const login = this.encoder.login?.(this.options.uniqueId)
    if (login !== undefined) await this.exchange([login], [], 1, () => {})
    this.loggedIn = true
    const heartbeat = this.encoder.heartbeat?.()
    if (heartbeat === undefined) return
    this.write(heartbeat)
    this.heartbeat = setInterval(() => this.write(heartbeat), HEARTBEAT_MS).unref()
  }

  send(reports: readonly Report[], onAcknowledged: (report: Report) => void): Promise<void> {
    const { encoder, options } = this
    const frames = encoder.frames(options.uniqueId, reports)
    const left = encoder.unanswered ? frames.length : reports.length
    return this.exchange(frames, reports, left, onAcknowledged, encoder.unanswered)
  }

  close(): void {
    this.break(new LinkError('closed', 'the device closed the link'))
  }

  private connectTcp(onConnect: () => void): void {
    const socket = connect({ host: this.options.host, port: this.options.port, noDelay: true }, onConnect)
    socket.on('data', (bytes) => this.read(bytes))
    socket.on('error', (error) => this.break(this.causeOf(error)))
    socket.on('close', () => this.break(new LinkError('closed', 'the server closed the connection')))
    this.socket = socket
  }

  private connectUdp(onConnect: () => void): void {
    const socket = createSocket(isIPv6(this.options.host) ? 'udp6' : 'udp4')
    socket.on('message', (bytes) => {
      // A datagram stands alone: what is left of the one before is none of its business.
      this.rest = NO_BYTES
      this.read(bytes)
    })
    socket.on('error', (error) => this.break(this.causeOf(error)))
    socket.connect(this.options.port, this.options.host, onConnect)
    this.socket = socket
  }

  private causeOf(error: Error): LinkError {
    const code = this.connecting === undefined ? 'closed' : 'connect-failed'
    return new LinkError(code, error.message, { cause: error })
  }

  /**
   * Sends frames and waits until as many of their reports are acknowledged, answers to a login are there, or unanswered
   * frames are written, as `left` says.
   */
  private async exchange(
    frames: readonly Buffer[],
    reports: readonly Report[],
    left: number,
    onAcknowledged: (report: Report) => void,
    unanswered = false,
  ): Promise<void> {
    if (this.broken !== undefined) throw this.broken
    const answer = new Waiting('answer', this.options.answerTimeoutMs)
    this.waiting = { answer, left, unanswered: [...reports], onAcknowledged }
    const onWritten = unanswered ? () => this.settle(1) : undefined
    for (const frame of frames) this.write(frame, onWritten)
    await answer.answered
    this.options.counts.framesAcknowledged += frames.length
  }

  private write(frame: Buffer, onWritten?: () => void): void {
    this.options.counts.framesSent++
    if (this.socket === undefined) return
    // A failure is told by the socket's `error` as well.
    const done = (error?: Error | null) => {
      if (!error) onWritten?.()
    }
    if ('write' in this.socket) this.socket.write(frame, done)
    else this.socket.send(frame, done)
  }

  private read(bytes: Buffer): void {
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
    while (this.rest.length > 0 && this.broken === undefined) {
      const answer = this.encoder.answer(this.rest, this.loggedIn)
      if (answer === undefined) {
        if (this.rest.length > ANSWER_MAX_BYTES)
          this.break(new LinkError('malformed-answer', 'endless answer'))
        return
      }
      this.rest = this.rest.subarray(answer.length)
      if (answer.kind === 'refused') this.break(new LinkError('refused', 'the server refused the login'))
      else if (answer.kind === 'logged-in') this.settle(1)
      else if (answer.stored === undefined) continue
      else if ('count' in answer.stored) this.settle(answer.stored.count)
      else this.settleSerial(answer.stored.serial)
    }
  }

  private settleSerial(serial: number): void {
    const { waiting } = this
    const at = waiting?.unanswered.findIndex((report) => report.serial === serial) ?? -1
    if (waiting === undefined || at < 0) return
    waiting.onAcknowledged(waiting.unanswered.splice(at, 1)[0]!)
    this.settle(1)
  }

  private settle(reports: number): void {
    const { waiting } = this
    if (waiting === undefined) return
    waiting.left -= reports
    if (waiting.left > 0) return
    this.waiting = undefined
    if (waiting.left < 0) {
      waiting.answer.reject(new LinkError('malformed-answer', 'more acknowledged than was sent'))
      return
    }
    // Reports that no answer named are acknowledged by their number, which is that of all.
    for (const report of waiting.unanswered) waiting.onAcknowledged(report)
    waiting.answer.resolve()
  }

  private break(error: LinkError): void {
    if (this.broken !== undefined) return
    this.broken = error
    clearInterval(this.heartbeat)
    if (this.socket !== undefined && 'destroy' in this.socket) this.socket.destroy()
    else this.socket?.close()
    const { connecting, waiting } = this
    this.connecting = undefined
    this.waiting = undefined
    connecting?.reject(error)
    waiting?.answer.reject(error)
    if (connecting === undefined && waiting === undefined) this.options.onBroken()
  }
}
