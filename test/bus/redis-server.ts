/** A redis-server of a test's own, which can be stopped, paused, and started again where it was. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

export class RedisServer {
  readonly port: number
  private readonly options: readonly string[]
  private child: ChildProcess | undefined

  private constructor(port: number, options: readonly string[]) {
    this.port = port
    this.options = options
  }

  /** @param options Of its command line, such as `--requirepass`. */
  static async start(...options: readonly string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), options)
    await server.run()
    return server
  }

  /** @param login Such as `:password@`. */
  url(login = ''): string {
    return `redis://${login}127.0.0.1:${this.port}`
  }

  /** Starts it, unless it runs. @throws Error with what it said, if it does not come up. */
  async run(): Promise<void> {
    if (this.child !== undefined) return
    const child = spawn(
      'redis-server',
      ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', ...this.options],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    this.child = child
    let said = ''
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', () => reject(new Error(`redis-server ended: ${said}`)))
      child.stdout.on('data', (bytes: Buffer) => {
        said += bytes.toString()
        if (said.includes('Ready to accept connections')) resolve()
      })
    })
  }

  /** It answers no more, but its connections stand. */
  pause(): void {
    this.child!.kill('SIGSTOP')
  }

  resume(): void {
    this.child!.kill('SIGCONT')
  }

  /** SIGKILL. */
  async stop(): Promise<void> {
    const { child } = this
    if (child === undefined) return
    this.child = undefined
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
