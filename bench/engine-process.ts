/** The engine as it is run: `fleetflow start` in a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { projectRoot } from '../storage/project-root.ts'
import { type Bench, end } from './bench.ts'

export const JWT_SECRET = 'a secret of the benchmarks that is long enough'
export const ORGANIZATION = 'Bench'

/** What the engine takes over of our environment: the rest of its configuration is given, not found. */
const PASSED_ON = ['PATH', 'HOME', 'TMPDIR', 'SystemRoot', 'NODE_OPTIONS', 'ACK_AFTER']

/** What a packet has to reach before its reply goes, for the texts of the benchmarks. */
export const ACKNOWLEDGED_WHEN =
  process.env.ACK_AFTER === 'database'
    ? 'committed (`ACK_AFTER=database`)'
    : 'synced to the journal (`ACK_AFTER=journal`, the default)'

/** How often the engine is asked whether all is stored, and for how long it may stay as it is, ms. */
const STORED_POLL_MS = 20
const STORED_TIMEOUT_MS = 60_000
const GEOFENCES_POLL_MS = 500

export class EngineProcess {
  readonly teltonikaPort: number
  readonly apiUrl: string
  readonly streamUrl: string
  readonly stop: () => Promise<void>

  private constructor(lines: readonly string[], stop: () => Promise<void>) {
    const address = (name: string) => lines.find((line) => line.startsWith(name))!.split(/ +/)[2]!
    this.teltonikaPort = Number(address('teltonika').split(':').at(-1))
    this.apiUrl = address('api')
    this.streamUrl = address('stream')
    this.stop = stop
  }

  /** Starts it on a database and free ports; it ends at the latest with the question. */
  static async start(bench: Bench, databaseUrl: string): Promise<EngineProcess> {
    const command = fileURLToPath(new URL('dist/fleetflow.js', projectRoot))
    const given = Object.fromEntries(PASSED_ON.map((name) => [name, process.env[name]]))
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', command, 'start'], {
      cwd: bench.folder,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...given,
        PORT: '0',
        STREAM_PORT: '0',
        PROTOCOLS: 'teltonika:0',
        DATA_DIR: `${bench.folder}/engine${new URL(databaseUrl).pathname}`,
        DATABASE_URL: databaseUrl,
        JWT_SECRET,
        UNKNOWN_DEVICES: 'register',
        DEFAULT_ORGANIZATION: ORGANIZATION,
        LOG_LEVEL: 'warn',
      },
    })
    const stop = () => end(child)
    bench.defer(stop)
    const lines: string[] = []
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line)
      if (line === 'ready') {
        child.stdout.resume()
        return new EngineProcess(lines, stop)
      }
    }
    const [code, signal] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode]
    throw new Error(`the engine ended before it was ready: ${signal ?? `exit ${code}`}`)
  }

  /** Processor time that it has used so far, s. */
  cpuSeconds(): Promise<number> {
    return this.metric('process_cpu_seconds_total')
  }

  /**
   * Waits until it has committed so many positions since it started: replies may come before that.
   * @throws Error if the number stands still.
   */
  async stored(positions: number): Promise<void> {
    let stored = -1
    for (let sinceMs = performance.now(); ; await delay(STORED_POLL_MS)) {
      const now = await this.metric('fleetflow_positions_stored_total')
      if (now >= positions) return
      if (now > stored) sinceMs = performance.now()
      else if (performance.now() - sinceMs > STORED_TIMEOUT_MS) {
        throw new Error(`the engine stored ${stored} of ${positions} positions that it acknowledged`)
      }
      stored = now
    }
  }

  /** Waits until it evaluates by so many geofences. @throws Error if it does not get there. */
  async geofences(count: number): Promise<void> {
    for (let waitedMs = 0; (await this.metric('fleetflow_geofences', 'part="base"')) < count; ) {
      if (waitedMs > STORED_TIMEOUT_MS) throw new Error(`the engine did not read ${count} geofences`)
      await delay(GEOFENCES_POLL_MS)
      waitedMs += GEOFENCES_POLL_MS
    }
  }

  /** @param labels As they are written; undefined = the first of any. */
  private async metric(name: string, labels = '.*'): Promise<number> {
    const text = await (await fetch(`${this.apiUrl}/metrics`)).text()
    return Number(new RegExp(`^${name}(?:\\{${labels}\\})? (\\S+)`, 'm').exec(text)![1])
  }
}
