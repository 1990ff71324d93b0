import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A way to the database that can lose what it answers. */
export class LossyWay {
  lost = 0
  readonly url: string
  private losing: 'end' | 'reset' | undefined
  private readonly sockets: Socket[] = []
  private readonly server = createServer((socket) => this.pass(socket))
  private readonly target: URL

  private constructor(target: URL, url: string) {
    this.target = target
    this.url = url
  }

  static async before(databaseUrl: string): Promise<LossyWay> {
    const url = new URL(databaseUrl)
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    url.port = String(port)
    const proxy = new LossyWay(new URL(databaseUrl), url.href)
    proxy.server.listen(port, '127.0.0.1')
    await once(proxy.server, 'listening')
    return proxy
  }

  /** The next commit gets through, and the connection is cut instead of the answer. */
  loseNextAnswer(how: 'end' | 'reset' = 'end'): void {
    this.losing = how
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.server.close()
    await once(this.server, 'close')
  }

  private pass(socket: Socket): void {
    const server = connect(Number(this.target.port), this.target.hostname)
    this.sockets.push(socket, server)
    for (const end of [socket, server]) end.on('error', () => undefined)
    socket.on('data', (bytes) => server.write(bytes))
    server.on('data', (bytes) => {
      // A command tag of COPY comes when all before it is done; what follows it says that it is committed.
      if (this.losing && bytes.includes('COPY ')) {
        if (this.losing === 'reset') socket.resetAndDestroy()
        else socket.destroy()
        this.losing = undefined
        this.lost++
        return
      }
      socket.write(bytes)
    })
    socket.on('close', () => server.destroy())
    server.on('close', () => socket.destroy())
  }
}
