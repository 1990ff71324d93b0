/** The simulator's process, seen from the runner. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { projectRoot } from '../../storage/project-root.ts'
import type { DeviceJournal, FromSimulator, Progress, SimulatorOptions, ToSimulator } from './simulator.ts'
import { until } from './until.ts'

export class FleetProcess {
  /** As it was told last. */
  progress: Progress = { made: 0, acknowledged: 0, sent: 0, errors: {} }
  private readonly child: ChildProcess
  private ended: string | undefined
  private halted: number | undefined
  private journalTold: ((devices: readonly DeviceJournal[]) => void) | undefined

  /** Starts it from dist/; it makes records at once. */
  constructor(options: SimulatorOptions) {
    const file = fileURLToPath(new URL('dist/test/crash/simulator.js', projectRoot))
    this.child = fork(file, [JSON.stringify(options)], { execArgv: [] })
    this.child.on('message', (message: FromSimulator) => {
      if (message.kind === 'progress') this.progress = message.progress
      else if (message.kind === 'halted') this.halted = message.made
      else this.journalTold?.(message.devices)
    })
    this.child.once('exit', (code, signal) => {
      this.ended = `the simulator ended: ${signal ?? `exit ${code}`}`
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
    this.tell('halt')
    await this.until(() => this.progress.acknowledged === this.halted, timeoutMs, 'everything acknowledged')
  }

  /** What every device made and what was acknowledged, in the order of the fleet. */
  journal(): Promise<readonly DeviceJournal[]> {
    return new Promise((resolve, reject) => {
      this.journalTold = resolve
      this.child.once('exit', () => reject(new Error(this.ended)))
      this.tell('journal')
    })
  }

  async end(): Promise<void> {
    if (this.ended !== undefined) return
    const exit = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await exit
  }

  private tell(message: ToSimulator): void {
    this.child.send(message)
  }

  private until(met: () => boolean, timeoutMs: number, what: string): Promise<void> {
    return until(
      () => {
        if (this.ended !== undefined) throw new Error(this.ended)
        return met()
      },
      timeoutMs,
      () => `not ${what} within ${timeoutMs} ms: ${JSON.stringify(this.progress)}`,
    )
  }
}
