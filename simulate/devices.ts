/**
 * One simulated tracker: connects, logs in, sends its reports and keeps each until the server acknowledged it. When the
 * link fails it comes back after a while, longer each time, and sends again what is not acknowledged.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Encoder, Report } from './encoders/encoder.ts'
import { FrameLink } from './links/frame-link.ts'
import { HttpLink } from './links/http-link.ts'
import { type FrameCounts, type Link, LinkError, type LinkErrorCode, type LinkOptions } from './links/link.ts'
import { MqttLink } from './links/mqtt-link.ts'

/** Reports that a device keeps; beyond them it forgets its oldest, as trackers do. */
export const BUFFER_REPORTS_MAX = 500

/** Wait before the first new attempt after a failure, which doubles with every further one, up to the most, ms. */
const BACKOFF_FIRST_MS = 500
const BACKOFF_MAX_MS = 30_000

/** How long a device waits for an answer: a datagram or its answer may be lost, a server on TCP may be busy, ms. */
const ANSWER_TIMEOUT_MS = { tcp: 20_000, http: 20_000, mqtt: 20_000, udp: 3000 } as const

/** What devices did, counted over all that share it. */
export interface DeviceCounts extends FrameCounts {
  /** Positions that devices made. */
  positionsReported: number
  /** Positions put on the wire, each time that they were. */
  positionsSent: number
  /** Positions that the server acknowledged, each once. */
  positionsAcknowledged: number
  /** Positions that devices forgot because their buffers were full. */
  positionsDropped: number
  /** Devices whose link is open now. */
  connected: number
  /** Links that were opened after a first one. */
  reconnects: number
  readonly errors: Map<LinkErrorCode, number>
  /** Time from sending to acknowledgement, µs. */
  readonly answerUs: RecordableHistogram
}

export function newCounts(): DeviceCounts {
  return {
    framesSent: 0,
    framesAcknowledged: 0,
    positionsReported: 0,
    positionsSent: 0,
    positionsAcknowledged: 0,
    positionsDropped: 0,
    connected: 0,
    reconnects: 0,
    errors: new Map(),
    answerUs: createHistogram(),
  }
}

export interface DeviceOptions {
  readonly encoder: Encoder
  readonly host: string
  readonly port: number
  readonly uniqueId: string
  /** Password of an MQTT device. */
  readonly password?: string | undefined
  readonly counts: DeviceCounts
  /** Called with each report once the server acknowledged it. */
  onAcknowledged?(report: Report): void
  /** Called when a link failed, before the device tries again. */
  onError?(error: LinkError): void
  readonly backoffFirstMs?: number
  readonly backoffMaxMs?: number
  readonly answerTimeoutMs?: number
}

export class SimulatedDevice {
  readonly uniqueId: string
  private readonly options: DeviceOptions
  /** What is not acknowledged, oldest first; the first `inFlight` are on the wire. */
  private readonly buffer: Report[] = []
  private inFlight = 0
  private serial = 0
  private connections = 0
  private link: Link | undefined
  private readonly stopping = new AbortController()
  private wake: () => void = () => {}
  private onDrained: (() => void)[] = []

  constructor(options: DeviceOptions) {
    this.options = options
    this.uniqueId = options.uniqueId
  }

  /** Reports that wait for their acknowledgement. */
  get buffered(): number {
    return this.buffer.length
  }

  /** Takes a report to be sent; the oldest that is not on its way is forgotten where there is no room. */
  report(report: Omit<Report, 'serial'>): void {
    const { counts } = this.options
    this.serial = (this.serial % 65_535) + 1
    this.buffer.push({ ...report, serial: this.serial })
    counts.positionsReported++
    if (this.buffer.length > BUFFER_REPORTS_MAX) {
      this.buffer.splice(this.inFlight, 1)
      counts.positionsDropped++
    }
    this.wake()
  }

  /** Connects and sends until {@link stop}. */
  async run(): Promise<void> {
    const { counts, backoffFirstMs = BACKOFF_FIRST_MS, backoffMaxMs = BACKOFF_MAX_MS } = this.options
    const { signal } = this.stopping
    let failures = 0
    while (!signal.aborted) {
      this.link = this.newLink()
      let open = false
      try {
        await this.link.open()
        open = true
        counts.connected++
        if (this.connections++ > 0) counts.reconnects++
        while (await this.hasReports(this.link)) {
          await this.sendNext(this.link)
          failures = 0
        }
      } catch (error) {
        if (!(error instanceof LinkError)) throw error
        if (signal.aborted) return
        counts.errors.set(error.code, (counts.errors.get(error.code) ?? 0) + 1)
        this.options.onError?.(error)
      } finally {
        this.inFlight = 0
        if (open) counts.connected--
        this.link.close()
      }
      if (signal.aborted) return
      const backoffMs = Math.min(backoffFirstMs * 2 ** failures++, backoffMaxMs)
      // Jitter, so that a fleet does not come back in one moment.
      await sleep(backoffMs * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined)
    }
  }

  /** Resolves when every report is acknowledged, or the device stopped. */
  drained(): Promise<void> {
    if (this.buffer.length === 0 || this.stopping.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      this.onDrained.push(resolve)
    })
  }

  /** Closes the link at once; {@link run} then returns. */
  stop(): void {
    this.stopping.abort()
    this.link?.close()
    this.wake()
    this.settleDrained()
  }

  private async sendNext(link: Link): Promise<void> {
    const { counts, encoder, onAcknowledged } = this.options
    const reports = this.buffer.slice(0, encoder.reportsMax)
    this.inFlight = reports.length
    counts.positionsSent += reports.length
    const startMs = performance.now()
    await link.send(reports, (report) => {
      this.buffer.splice(this.buffer.indexOf(report), 1)
      this.inFlight--
      counts.positionsAcknowledged++
      onAcknowledged?.(report)
    })
    counts.answerUs.record(Math.max(1, Math.round((performance.now() - startMs) * 1000)))
    if (this.buffer.length === 0) this.settleDrained()
  }

  /**
   * Waits for a report; false when the device stops.
   * @throws LinkError if the link breaks meanwhile.
   */
  private async hasReports(link: Link): Promise<boolean> {
    while (!this.stopping.signal.aborted) {
      if (link.broken !== undefined) throw link.broken
      if (this.buffer.length > 0) return true
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    return false
  }

  private settleDrained(): void {
    for (const resolve of this.onDrained.splice(0)) resolve()
  }

  private newLink(): Link {
    const { encoder, host, port, uniqueId, password, counts } = this.options
    const answerTimeoutMs = this.options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS[encoder.transport]
    const options: LinkOptions = {
      host,
      port,
      uniqueId,
      password,
      answerTimeoutMs,
      counts,
      onBroken: () => this.wake(),
    }
    if (encoder.transport === 'http') return new HttpLink(encoder, options)
    if (encoder.transport === 'mqtt') return new MqttLink(encoder, options)
    return new FrameLink(encoder, options)
  }
}
