/** Open device connections over all listeners, against their limit. */
import type { IngestMetrics } from './metrics.ts'

export class ConnectionCount {
  private open = 0
  private readonly max: number
  private readonly metrics: IngestMetrics

  constructor(max: number, metrics: IngestMetrics) {
    this.max = max
    this.metrics = metrics
  }

  /** Counts one more, unless there is no room for it. */
  add(): boolean {
    if (this.open >= this.max) {
      this.metrics.limits.inc({ limit: 'connectionsMax' })
      return false
    }
    this.open++
    return true
  }

  remove(): void {
    this.open--
  }
}
