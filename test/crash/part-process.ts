/** A part of the suite that has a process of its own, seen from the runner. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { projectRoot } from '../../storage/project-root.ts'
import { until } from './until.ts'

export interface Part {
  /** File of dist/test/crash that it runs, without its ending. */
  readonly file: string
  /** What it is called where it ends, or takes too long. */
  readonly title: string
  /** JSON that it is started with. */
  readonly options: object
}

export class PartProcess<ToPart extends string, FromPart> {
  private readonly child: ChildProcess
  private readonly title: string
  private ended: string | undefined

  constructor({ file, title, options }: Part, onMessage: (message: FromPart) => void) {
    this.title = title
    const path = fileURLToPath(new URL(`dist/test/crash/${file}.js`, projectRoot))
    this.child = fork(path, [JSON.stringify(options)], { execArgv: [] })
    this.child.on('message', onMessage)
    this.child.once('exit', (code, signal) => {
      this.ended = `${title} ended: ${signal ?? `exit ${code}`}`
    })
  }

  tell(message: ToPart): void {
    this.child.send(message)
  }

  /** @param state Where it stands, for the error. @throws Error when it takes too long, or the process has ended. */
  until(met: () => boolean, timeoutMs: number, what: string, state: () => string): Promise<void> {
    return until(
      () => {
        if (this.ended !== undefined) throw new Error(this.ended)
        return met()
      },
      timeoutMs,
      () => `${this.title}: not ${what} within ${timeoutMs} ms: ${state()}`,
    )
  }

  /** Kills it, unless it has ended. */
  async end(): Promise<void> {
    if (this.ended !== undefined) return
    const exit = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await exit
  }
}
