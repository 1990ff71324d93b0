/** postmaster.pid: where a server of ours says that it runs on a cluster, and where it listens. */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 20

export interface RunningServer {
  readonly pid: number
  readonly port: number
  /** Whether it takes connections. */
  readonly ready: boolean
}

export class PostmasterLock {
  /** The file. */
  readonly path: string
  private readonly data: string

  /** @param data Folder of the cluster as it is given to the server on its command line. */
  constructor(data: string) {
    this.data = data
    this.path = join(data, 'postmaster.pid')
  }

  /** What the file says; the process may be long gone. */
  async read(): Promise<RunningServer | undefined> {
    const text = await readFile(this.path, 'utf8').catch(() => '')
    // Process id, data folder, start time, port, socket folder, address, shared memory, state.
    const lines = text.split('\n')
    const pid = Number.parseInt(lines[0]!, 10)
    if (Number.isNaN(pid)) return undefined
    return { pid, port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' }
  }

  /** The server that runs on the cluster, starting and stopping ones too. */
  async running(): Promise<RunningServer | undefined> {
    const lock = await this.read()
    return lock !== undefined && (await this.isOurs(lock.pid)) ? lock : undefined
  }

  /** Whether the process is the server of this cluster: after a crash its number may be another's. */
  async isOurs(pid: number): Promise<boolean> {
    if (!processExists(pid)) return false
    if (process.platform !== 'linux') return true
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    return commandLine.split('\0').includes(this.data)
  }

  /** Waits until the process has ended. Returns false if it has not in time. */
  async gone(pid: number, timeoutMs: number): Promise<boolean> {
    const end = Date.now() + timeoutMs
    while (await this.isOurs(pid)) {
      if (Date.now() > end) return false
      await delay(POLL_MS)
    }
    return true
  }

  /**
   * Removes the file if its process is none of ours. PostgreSQL takes any process of that number for itself and
   * refuses to start, which happens in a new container, where numbers are small and soon used again.
   */
  async removeStale(): Promise<void> {
    const lock = await this.read()
    if (lock !== undefined && !(await this.isOurs(lock.pid))) {
      await rm(this.path, { force: true })
    }
  }
}

export function processExists(pid: number): boolean {
  if (!(pid > 0)) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
