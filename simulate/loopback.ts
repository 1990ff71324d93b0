/** Servers on loopback for tests: real sockets, real adapters, and faults on demand. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { Aedes } from 'aedes'
import type { Adapter } from '../device-adapters/adapter.ts'
import { DeviceSession, decodeFrame, repliesOf } from '../device-adapters/decoder.ts'
import { FrameReader } from '../device-adapters/frames.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import { ENCODERS, isUnanswered, type SimulatedProtocol } from './encoders/index.ts'

/** Lets the server lose a frame with positions: it is neither stored nor answered. */
export type Loses = (frames: number) => boolean

export interface LoopbackServer {
  readonly port: number
  /** Keys of the records stored, each time that they were: device, time and digest. */
  readonly stored: string[]
  /** Sockets that connected. */
  readonly connections: () => number
  close(): Promise<void>
}

const adapters = await loadAdapters()

/**
 * Starts a server of one protocol on 127.0.0.1.
 * @param port 0 is any free one.
 * @param loses Asked with the number of frames so far before a frame with positions is stored; over TCP its connection is closed.
 */
export async function serve(
  protocol: SimulatedProtocol,
  { port = 0, loses = () => false }: { readonly port?: number; readonly loses?: Loses } = {},
): Promise<LoopbackServer> {
  const stored: string[] = []
  if (protocol === 'mqtt-json') return serveMqtt(stored, port)
  if (protocol === 'osmand') return serveHttp(stored, port, loses)
  const adapter = adapters.get(protocol)!
  return (ENCODERS[protocol].transport === 'udp' ? serveUdp : serveTcp)(adapter, stored, port, loses)
}

/**
 * Waits until the server stored as many different records, where it answers none: what counts as acknowledged when it
 * is written is read some time after that.
 */
export async function untilRead(
  protocol: SimulatedProtocol,
  { stored }: LoopbackServer,
  records: number,
): Promise<void> {
  while (isUnanswered(protocol) && new Set(stored).size < records) await setImmediate()
}

async function serveTcp(
  adapter: Adapter,
  stored: string[],
  port: number,
  loses: Loses,
): Promise<LoopbackServer> {
  const sockets = new Set<Socket>()
  let connections = 0
  let frames = 0
  const server = createServer((socket) => {
    connections++
    sockets.add(socket.on('close', () => sockets.delete(socket)).on('error', () => {}))
    const session = new DeviceSession(adapter, 'tcp', () => ({ model: '', options: {} }))
    const reader = new FrameReader(adapter, 'tcp')
    socket.on('data', (bytes) => {
      reader.push(bytes)
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        const keys = keysOf(adapter, frame, session)
        if (keys.length > 0 && loses(frames++)) return void socket.destroy()
        stored.push(...keys)
        for (const reply of repliesOf(adapter, frame, session)) socket.write(reply)
      }
    })
  })
  await once(server.listen(port, '127.0.0.1'), 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    stored,
    connections: () => connections,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function serveUdp(
  adapter: Adapter,
  stored: string[],
  port: number,
  loses: Loses,
): Promise<LoopbackServer> {
  const senders = new Set<number>()
  let open = true
  let frames = 0
  const socket = createSocket('udp4')
  socket.on('message', (bytes, sender) => {
    senders.add(sender.port)
    const session = new DeviceSession(adapter, 'udp', () => ({ model: '', options: {} }))
    session.receivedMs = Date.now()
    const reader = new FrameReader(adapter, 'udp')
    reader.push(bytes)
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      const keys = keysOf(adapter, frame, session)
      if (loses(frames++)) return
      stored.push(...keys)
      for (const reply of repliesOf(adapter, frame, session)) socket.send(reply, sender.port, sender.address)
    }
  })
  await once(socket.bind(port, '127.0.0.1'), 'listening')
  return {
    port: socket.address().port,
    stored,
    connections: () => senders.size,
    async close() {
      if (!open) return
      open = false
      await new Promise<void>((resolve) => socket.close(resolve))
    },
  }
}

async function serveHttp(stored: string[], port: number, loses: Loses): Promise<LoopbackServer> {
  let connections = 0
  let frames = 0
  const server = createHttpServer((request, response) => {
    const lost = loses(frames++)
    if (!lost) stored.push(request.url!)
    response.writeHead(lost ? 503 : 200).end()
  })
  server.on('connection', () => connections++)
  await once(server.listen(port, '127.0.0.1'), 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    stored,
    connections: () => connections,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function serveMqtt(stored: string[], port: number): Promise<LoopbackServer> {
  const broker = await Aedes.createBroker()
  let connections = 0
  broker.authenticate = (client, username, password, done) => {
    connections++
    done(null, username === client.id && String(password) !== 'wrong')
  }
  broker.authorizePublish = (client, packet, done) => {
    stored.push(`${client?.id} ${packet.topic} ${packet.qos} ${packet.payload}`)
    done(null)
  }
  const server = createServer(broker.handle)
  await once(server.listen(port, '127.0.0.1'), 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    stored,
    connections: () => connections,
    async close() {
      await new Promise<void>((resolve) => broker.close(() => resolve()))
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function keysOf(adapter: Adapter, frame: Buffer, session: DeviceSession): string[] {
  const batch = new PositionBatch(256)
  decodeFrame(adapter, frame, session, batch)
  return Array.from({ length: batch.length }, (_, row) => row)
    .filter((row) => !Number.isNaN(batch.latitudeDeg[row]!))
    .map((row) =>
      [session.uniqueId, batch.fixTimeMs[row], batch.digestHigh[row], batch.digestLow[row]].join(' '),
    )
}
