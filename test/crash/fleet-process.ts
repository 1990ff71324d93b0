/** The simulator's process, seen from the runner. */
import { PartProcess } from './part-process.ts'
import type { DeviceJournal, FromSimulator, Progress, SimulatorOptions, ToSimulator } from './simulator.ts'

const JOURNAL_TIMEOUT_MS = 60_000

export class FleetProcess {
  /** As it was told last. */
  progress: Progress = { made: 0, acknowledged: 0, sent: 0, errors: {} }
  private readonly process: PartProcess<ToSimulator, FromSimulator>
  private halted: number | undefined
  private devices: readonly DeviceJournal[] | undefined

  /** Starts it from dist/; it makes records at once. */
  constructor(options: SimulatorOptions) {
    this.process = new PartProcess({ file: 'simulator', title: 'the simulator', options }, (message) => {
      if (message.kind === 'progress') this.progress = message.progress
      else if (message.kind === 'halted') this.halted = message.made
      else this.devices = message.devices
    })
  }

  /** Waits until `records` more are acknowledged than now. @throws Error when it takes too long. */
  async acknowledges(records: number, timeoutMs: number): Promise<void> {
    const goal = this.progress.acknowledged + records
    await this.until(
      () => this.progress.acknowledged >= goal,
      timeoutMs,
      `${records} more records acknowledged`,
    )
  }

  /** Makes no more records, and waits until all that were made are acknowledged. @throws Error when it takes too long. */
  async finish(timeoutMs: number): Promise<void> {
    this.process.tell('halt')
    await this.until(() => this.progress.acknowledged === this.halted, timeoutMs, 'everything acknowledged')
  }

  /** What every device made and what was acknowledged, in the order of the fleet. */
  async journal(): Promise<readonly DeviceJournal[]> {
    this.devices = undefined
    this.process.tell('journal')
    await this.until(() => this.devices !== undefined, JOURNAL_TIMEOUT_MS, 'all told')
    return this.devices!
  }

  end(): Promise<void> {
    return this.process.end()
  }

  private until(met: () => boolean, timeoutMs: number, what: string): Promise<void> {
    return this.process.until(met, timeoutMs, what, () => JSON.stringify(this.progress))
  }
}
