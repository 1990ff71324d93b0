/** Link of a protocol of HTTP GET requests, on one connection that is kept. */
import { Agent, get } from 'node:http'
import type { HttpEncoder, Report } from '../encoders/encoder.ts'
import { type Link, LinkError, type LinkOptions } from './link.ts'

export class HttpLink implements Link {
  /** A request connects anew where it must. */
  readonly broken = undefined
  private readonly encoder: HttpEncoder
  private readonly options: LinkOptions
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 })

  constructor(encoder: HttpEncoder, options: LinkOptions) {
    this.encoder = encoder
    this.options = options
  }

  async open(): Promise<void> {}

  async send(reports: readonly Report[], onAcknowledged: (report: Report) => void): Promise<void> {
    for (const report of reports) {
      this.options.counts.framesSent++
      await this.request(this.encoder.target(this.options.uniqueId, report))
      this.options.counts.framesAcknowledged++
      onAcknowledged(report)
    }
  }

  close(): void {
    this.agent.destroy()
  }

  private request(path: string): Promise<void> {
    const { host, port, answerTimeoutMs } = this.options
    return new Promise((resolve, reject) => {
      const fail = (error: Error & { code?: string }) => {
        if (error instanceof LinkError) return reject(error)
        const code = error.code === 'ECONNREFUSED' ? 'connect-failed' : 'closed'
        reject(new LinkError(code, error.message, { cause: error }))
      }
      const request = get({ host, port, path, agent: this.agent }, (response) => {
        response.resume()
        response.on('error', fail)
        if (response.statusCode === 200) response.on('end', resolve)
        else reject(new LinkError('http-status', `the server answered with status ${response.statusCode}`))
      })
      request.setTimeout(answerTimeoutMs, () => {
        request.destroy(new LinkError('no-answer', `no answer within ${answerTimeoutMs} ms`))
      })
      request.on('error', fail)
    })
  }
}
