/** A folder, ports and child processes of one run of the crash suite, and a log of what was done to them. */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { appendFileSync } from 'node:fs'
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CrashProtocol, PROTOCOLS } from './fleet.ts'

/** Below the ports that the system gives to connections, which come and go while the engine is down. */
const PORT_MIN = 10_000
const PORT_MAX = 32_000

const given = new Set<number>()

export interface EnginePorts {
  readonly api: number
  readonly stream: number
  readonly protocols: Readonly<Record<CrashProtocol, number>>
}

export interface LabOptions {
  /** Of all that is random. */
  readonly seed: number
  /** Told what is under way. */
  readonly onProgress?: ((line: string) => void) | undefined
}

export class Lab {
  readonly folder: string
  private readonly stops: (() => unknown)[] = []
  private readonly startMs = performance.now()

  private constructor(folder: string) {
    this.folder = folder
  }

  /**
   * Runs something in a lab of its own, whose folder stays where it throws or there are complaints.
   * @throws Error what it throws, with the seed and the folder.
   */
  static async run<Result>(
    { seed, onProgress }: LabOptions,
    work: (lab: Lab) => Promise<Result>,
    complaintsOf: (result: Result) => readonly string[],
  ): Promise<Result> {
    const lab = await Lab.open()
    let done = false
    try {
      const result = await work(lab)
      done = complaintsOf(result).length === 0
      if (!done) onProgress?.(`logs are in ${lab.folder}`)
      return result
    } catch (error) {
      const { message } = error as Error
      throw new Error(`seed ${seed}: ${message}; logs are in ${lab.folder}`, { cause: error })
    } finally {
      await lab.close(!done)
    }
  }

  private static async open(): Promise<Lab> {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'fleetflow-crash-')))
    // Run by root, PostgreSQL is another user and must be able to enter.
    await chmod(folder, 0o755)
    return new Lab(folder)
  }

  /** Has `stop` called at the end; what was deferred last is stopped first. */
  defer(stop: () => unknown): void {
    this.stops.push(stop)
  }

  /** Stops everything. The folder stays where its logs are still wanted. */
  private async close(keepFolder: boolean): Promise<void> {
    for (let stop = this.stops.pop(); stop !== undefined; stop = this.stops.pop()) await stop()
    if (!keepFolder) await rm(this.folder, { recursive: true, force: true })
  }

  /** Adds a line to `events.log`, with the time as the engine's log has it. */
  event(text: string): void {
    const seconds = ((performance.now() - this.startMs) / 1000).toFixed(3)
    appendFileSync(join(this.folder, 'events.log'), `${Date.now()} ${seconds} s ${text}\n`)
  }

  /** Ports that are free now, and that stay the engine's over its restarts. */
  static async ports(): Promise<EnginePorts> {
    const protocols: [CrashProtocol, number][] = []
    for (const protocol of PROTOCOLS) protocols.push([protocol, await Lab.port()])
    return {
      api: await Lab.port(),
      stream: await Lab.port(),
      protocols: Object.fromEntries(protocols) as Record<CrashProtocol, number>,
    }
  }

  /** A port that is free now and that no call has had before. */
  static async port(): Promise<number> {
    for (;;) {
      const port = randomInt(PORT_MIN, PORT_MAX)
      if (given.has(port) || !(await isFree(port))) continue
      given.add(port)
      return port
    }
  }
}

async function isFree(port: number): Promise<boolean> {
  const tcp = await new Promise<boolean>((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
  const udp = await new Promise<boolean>((resolve) => {
    const socket = createSocket('udp4')
    socket.once('error', () => resolve(false))
    socket.bind(port, '127.0.0.1', () => socket.close(() => resolve(true)))
  })
  return tcp && udp
}
