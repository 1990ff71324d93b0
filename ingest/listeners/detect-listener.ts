/**
 * The port of all protocols: finds out which one a device speaks by its first bytes, and hands it over with all that it
 * sent, so that nothing is lost and no state of the search is left. What it cannot find out is in the quarantine, with
 * what it looks like, and gets no answer.
 */
import type { Socket } from 'node:net'
import type { Adapter } from '../../device-adapters/adapter.ts'
import {
  adapterFound,
  type Carrier,
  Detection,
  type StreamDetector,
} from '../../device-adapters/detection.ts'
import type { Intake } from '../intake.ts'
import type { LimitName } from '../limits.ts'
import type { ConnectionCount } from './connection-count.ts'
import { closeHttpServer, createHttpServer } from './http-listener.ts'
import {
  addressOf,
  addressOfSocket,
  bindServer,
  type ListenAddress,
  type Listener,
  UNDETECTED,
  UNKNOWN_PROTOCOL,
} from './listener.ts'
import type { MqttListener } from './mqtt-listener.ts'
import { createTcpServer, TcpConnections } from './tcp-listener.ts'
import { listenDatagrams } from './udp-listener.ts'

/** Name of the port in log lines and metrics. */
export const DETECT = 'detect'

/** Period of the search for connections that stay unknown, ms. */
const SWEEP_EVERY_MS = 1_000

/** A connection of which it is not known what it speaks. */
interface Undetected {
  readonly socket: Socket
  readonly detector: StreamDetector
  readonly openedMs: number
  /** Counted as held, bytes. */
  heldBytes: number
  /** Forgets the socket here. */
  readonly release: () => void
}

/**
 * @param adapters Those that may be found.
 * @param broker Takes MQTT, where there is one.
 * @throws ListenError if the port cannot be had.
 */
export async function listenDetectTcp(
  adapters: Iterable<Adapter>,
  broker: MqttListener | undefined,
  intake: Intake,
  count: ConnectionCount,
  address: ListenAddress,
): Promise<Listener> {
  const { limits, metrics } = intake
  const detection = new Detection(adapters)
  const connections = new TcpConnections(intake, count)
  const requests = createHttpServer(requestsOf(detection), intake, count)
  // It never listens itself, and looks for slow requests only from this event on.
  requests.emit('listening')
  const open = new Map<Socket, Undetected>()

  const giveUp = ({ socket, detector, release }: Undetected, limit?: LimitName, why = detector.explain()) => {
    release()
    if (limit !== undefined) metrics.limitMet(limit)
    if (detector.bytes.length > 0) rejectUndetected(intake, detector.bytes, addressOfSocket(socket), why)
    socket.destroy()
  }

  const handOver = (undetected: Undetected, carrier: Carrier) => {
    const { socket, detector, release } = undetected
    if (carrier === 'mqtt' && broker === undefined) {
      giveUp(undetected, undefined, 'looks like MQTT, and there is no broker: add mqtt to PROTOCOLS')
      return
    }
    release()
    socket.allowHalfOpen = carrier === 'http'
    if (carrier === 'mqtt') broker!.serve(socket, detector.bytes)
    else {
      // Node tells the server of the socket about timeouts and faults of its requests.
      Object.assign(socket, { server: requests })
      socket.pause()
      socket.unshift(detector.bytes)
      requests.emit('connection', socket)
      socket.resume()
    }
  }

  const look = (undetected: Undetected, bytes: Buffer) => {
    const { socket, detector, release } = undetected
    const finding = detector.push(bytes)
    switch (finding.kind) {
      case 'adapter':
        release()
        connections.serve(socket, finding.adapter, detector.bytes)
        return
      case 'carrier':
        handOver(undetected, finding.carrier)
        return
      case 'unknown':
        giveUp(undetected)
        return
      case 'waiting': {
        const heldBefore = undetected.heldBytes
        undetected.heldBytes = detector.bytes.length
        const mayGoOn = count.hold(undetected.heldBytes, heldBefore)
        if (undetected.heldBytes > limits.detectBytesMax) giveUp(undetected, 'detectBytesMax')
        else if (!mayGoOn) giveUp(undetected)
      }
    }
  }

  const server = createTcpServer((socket) => {
    if (!count.admit(socket, { protocol: DETECT, transport: 'tcp' })) return
    const detector = detection.stream(Date.now(), (uniqueId) => intake.find(uniqueId))
    const take = (bytes: Buffer) => look(undetected, bytes)
    const end = () => giveUp(undetected)
    const release = () => {
      open.delete(socket)
      count.hold(0, undetected.heldBytes)
      socket.off('data', take).off('end', end).off('close', end)
    }
    const undetected: Undetected = { socket, detector, openedMs: performance.now(), heldBytes: 0, release }
    open.set(socket, undetected)
    socket.on('data', take)
    socket.on('end', end)
    socket.on('close', end)
    // A reset by the device is its way to hang up; `close` follows.
    socket.on('error', () => undefined)
  })
  const port = await bindServer(server, DETECT, address, metrics)
  // A timer of the socket would start anew with every byte that drips in.
  const sweep = setInterval(() => {
    const oldestMs = performance.now() - limits.firstFrameTimeoutMs
    for (const undetected of open.values()) {
      // In the order of opening: all that follow are younger.
      if (undetected.openedMs > oldestMs) return
      giveUp(undetected, 'firstFrameTimeoutMs')
    }
  }, SWEEP_EVERY_MS)

  return {
    protocol: DETECT,
    transport: 'tcp',
    host: address.host,
    port,
    close: async () => {
      clearInterval(sweep)
      const closed = new Promise((resolve) => server.close(resolve))
      for (const { socket, release } of open.values()) {
        release()
        socket.destroy()
      }
      connections.close()
      await closeHttpServer(requests)
      await closed
    },
  }
}

/** @throws ListenError if the port cannot be had. */
export function listenDetectUdp(
  adapters: Iterable<Adapter>,
  intake: Intake,
  address: ListenAddress,
): Promise<Listener> {
  const detection = new Detection(adapters)
  const adapterOf = (datagram: Buffer, remote: { readonly address: string; readonly port: number }) => {
    const detected = detection.datagram(datagram, Date.now(), (uniqueId) => intake.find(uniqueId))
    const adapter = adapterFound(detected)
    if (adapter === undefined) rejectUndetected(intake, datagram, addressOf(remote), detected.explain())
    return adapter
  }
  return listenDatagrams(DETECT, adapterOf, intake, address)
}

/** Requests of all adapters that take some. */
function requestsOf(detection: Detection) {
  const taking = detection.adapters.filter(({ listen }) => listen.http !== undefined)
  return {
    id: DETECT,
    maxFrameBytes: Math.max(0, ...taking.map(({ maxFrameBytes }) => maxFrameBytes)),
    adapterOf: (frame: Buffer) => {
      const detected = detection.request(frame, 'http', Date.now())
      return adapterFound(detected) ?? detected.explain()
    },
  }
}

function rejectUndetected(intake: Intake, bytes: Buffer, address: string, why: string): void {
  intake.reject(UNKNOWN_PROTOCOL, UNDETECTED, bytes, address, '', why)
}
