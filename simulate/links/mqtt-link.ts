/** Link of a protocol of MQTT 3.1.1 messages at QoS 1, the device's unique id as client id and user name. */
import { connect, type MqttClient } from 'mqtt'
import type { MqttEncoder, Report } from '../encoders/encoder.ts'
import { type Link, LinkError, type LinkOptions, Waiting } from './link.ts'

/** Codes of CONNACK by which a broker does not know the device, [MQTT-3.2.2.3]. */
const REFUSED = new Set([2, 4, 5])

export class MqttLink implements Link {
  broken: LinkError | undefined
  private readonly encoder: MqttEncoder
  private readonly options: LinkOptions
  private client: MqttClient | undefined
  private waiting: Waiting | undefined

  constructor(encoder: MqttEncoder, options: LinkOptions) {
    this.encoder = encoder
    this.options = options
  }

  async open(): Promise<void> {
    const { host, port, uniqueId, password, answerTimeoutMs } = this.options
    const waiting = new Waiting(`connection to ${host}:${port}`, answerTimeoutMs)
    this.waiting = waiting
    this.client = connect({
      host,
      port,
      protocol: 'mqtt',
      protocolVersion: 4,
      clientId: uniqueId,
      username: uniqueId,
      ...(password === undefined ? {} : { password }),
      clean: true,
      // The device itself reconnects, with what it has not seen acknowledged.
      reconnectPeriod: 0,
      connectTimeout: answerTimeoutMs,
    })
    this.options.counts.framesSent++
    this.client.on('connect', () => waiting.resolve())
    this.client.on('error', (error: Error & { code?: unknown }) => {
      const code = REFUSED.has(error.code as number) ? 'refused' : 'connect-failed'
      this.break(new LinkError(this.waiting === waiting ? code : 'closed', error.message, { cause: error }))
    })
    this.client.on('close', () => this.break(new LinkError('closed', 'the broker closed the connection')))
    await waiting.answered
    this.waiting = undefined
    this.options.counts.framesAcknowledged++
  }

  async send(reports: readonly Report[], onAcknowledged: (report: Report) => void): Promise<void> {
    if (this.broken !== undefined) throw this.broken
    const { client, encoder, options } = this
    const waiting = new Waiting('PUBACK', options.answerTimeoutMs)
    this.waiting = waiting
    const topic = encoder.topic(options.uniqueId)
    let left = reports.length
    for (const report of reports) {
      options.counts.framesSent++
      client!.publish(topic, encoder.payload(report), { qos: 1 }, (error) => {
        if (error) this.break(new LinkError('closed', error.message, { cause: error }))
        if (this.broken !== undefined || this.waiting !== waiting) return
        options.counts.framesAcknowledged++
        onAcknowledged(report)
        if (--left === 0) waiting.resolve()
      })
    }
    await waiting.answered
    this.waiting = undefined
  }

  close(): void {
    this.break(new LinkError('closed', 'the device closed the link'))
  }

  private break(error: LinkError): void {
    if (this.broken !== undefined) return
    this.broken = error
    this.client?.end(true)
    const { waiting } = this
    this.waiting = undefined
    if (waiting === undefined) this.options.onBroken()
    else waiting.reject(error)
  }
}
