/** `fleetflow start` under a supervisor: whatever ends it, it is started again on the same ports and the same data. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { projectRoot } from '../../storage/project-root.ts'
import type { EnginePorts, Lab } from './lab.ts'
import { until } from './until.ts'

/** What the engine takes over of our environment: its configuration is given, not found. */
const PASSED_ON = ['PATH', 'HOME', 'TMPDIR', 'SystemRoot', 'NODE_OPTIONS']
/** A supervisor starts again after a while, ms. */
const RESTART_MS = 100
/** Longest time from SIGTERM to the end, ms. */
const STOP_TIMEOUT_MS = 90_000
const REQUEST_TIMEOUT_MS = 4000

export interface EngineOptions {
  readonly ports: EnginePorts
  readonly dataDir: string
  /** Undefined = PostgreSQL embedded under `dataDir`. */
  readonly databaseUrl?: string | undefined
  /** More of its environment. */
  readonly environment?: Readonly<Record<string, string>>
}

/** An end that nobody asked for. */
export interface EngineEnd {
  readonly startedMs: number
  readonly atMs: number
  readonly how: string
  /** Whether it had said that it is ready. */
  readonly wasReady: boolean
}

export class EngineProcess {
  /** Ends that were not kills of ours, oldest first. */
  readonly ends: EngineEnd[] = []
  /** Starts, the first included. */
  starts = 0
  readonly logFile: string
  private readonly lab: Lab
  private readonly options: EngineOptions
  private child: ChildProcess | undefined
  private ready = false
  private startedMs = 0
  private stopping = false

  constructor(lab: Lab, options: EngineOptions) {
    this.lab = lab
    this.options = options
    this.logFile = join(lab.folder, 'engine.log')
    lab.defer(() => this.abandon())
  }

  /** Starts it, without waiting until it is ready. */
  start(): void {
    const { ports, dataDir, databaseUrl, environment } = this.options
    const log = openSync(this.logFile, 'a')
    const command = fileURLToPath(new URL('dist/fleetflow.js', projectRoot))
    const { 'mqtt-json': mqtt, ...others } = ports.protocols
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', command, 'start'], {
      cwd: this.lab.folder,
      stdio: ['ignore', 'pipe', log],
      env: {
        ...Object.fromEntries(PASSED_ON.map((name) => [name, process.env[name]])),
        PORT: String(ports.api),
        STREAM_PORT: String(ports.stream),
        PROTOCOLS: [...Object.entries(others), ['mqtt', mqtt]].map(([id, port]) => `${id}:${port}`).join(','),
        DATA_DIR: dataDir,
        ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
        UNKNOWN_DEVICES: 'register',
        DEFAULT_ORGANIZATION: 'Crash',
        SHARDS: '2',
        ...environment,
      },
    })
    closeSync(log)
    this.child = child
    this.starts++
    this.startedMs = performance.now()
    this.ready = false
    let said = ''
    child.stdout!.on('data', (bytes: Buffer) => {
      said = (said + bytes.toString()).slice(-4096)
      if (/^ready$/m.test(said)) this.ready = true
    })
    child.once('exit', (code, signal) => this.ended(child, signal ?? `exit ${code}`))
  }

  get isReady(): boolean {
    return this.ready
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  /** Waits for a process that is about to be started. */
  appears(): Promise<void> {
    return until(
      () => this.child !== undefined,
      10_000,
      () => 'the engine was not started again',
    )
  }

  /** SIGKILL, at once. */
  kill(): void {
    const { child } = this
    this.child = undefined
    child?.kill('SIGKILL')
  }

  /** SIGTERM. @returns How it ended, `exit 0` where all is well. */
  async stop(): Promise<string> {
    this.stopping = true
    const { child } = this
    if (child === undefined) return 'not running'
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    const [code, signal] = await exit
    clearTimeout(late)
    return signal ?? `exit ${code}`
  }

  /** `/ready`: its status, 0 where nobody answers, and its text. */
  async readiness(): Promise<{ readonly status: number; readonly body: string }> {
    return this.get('/ready')
  }

  /** Sum of a metric over its labels, 0 where there is none; undefined without an answer. */
  async metric(name: string): Promise<number | undefined> {
    const { status, body } = await this.get('/metrics')
    if (status !== 200) return undefined
    const values = [...body.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)`, 'gm'))]
    return values.reduce((sum, [, value]) => sum + Number(value), 0)
  }

  /** Memory that it holds, bytes; of Linux. */
  async rssBytes(): Promise<number> {
    const text = await readFile(`/proc/${this.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(text)![1]) * 1024
  }

  private async get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.options.ports.api}${path}`, {
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      })
      return { status: response.status, body: await response.text() }
    } catch (error) {
      return { status: 0, body: (error as Error).message }
    }
  }

  private ended(child: ChildProcess, how: string): void {
    const killed = this.child !== child
    this.lab.event(`engine ${child.pid} ended: ${how}${killed ? ', killed' : ''}`)
    if (!killed) {
      this.child = undefined
      if (!this.stopping) {
        const { startedMs, ready: wasReady } = this
        this.ends.push({ startedMs, atMs: performance.now(), how, wasReady })
      }
    }
    this.ready = false
    void delay(RESTART_MS).then(() => {
      if (!this.stopping && this.child === undefined) this.start()
    })
  }

  private async abandon(): Promise<void> {
    this.stopping = true
    const { child } = this
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }
}
