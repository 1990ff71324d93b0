/** UDP listener of one adapter. A datagram is a stream of its own: the device is known by its id, not its address. */
import { createSocket, type RemoteInfo } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { type Adapter, DecodeError } from '../../device-adapters/adapter.ts'
import { FrameReader } from '../../device-adapters/frames.ts'
import { DatagramWay } from '../commands/datagram-way.ts'
import type { Intake } from '../intake.ts'
import { FIXED_LIMITS } from '../limits.ts'
import type { Receipt } from '../receipt.ts'
import { addressOf, type ListenAddress, ListenError, type Listener } from './listener.ts'

/** What the kernel holds while the engine is busy, bytes. */
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024

/** Bytes of IP and UDP around what a datagram holds. */
const DATAGRAM_HEAD_BYTES = 28
/**
 * Replies to a datagram may have so many times its bytes: where it comes from is only what it says, and nobody shall
 * have us send to others much more than he sends to us.
 */
const REPLY_SHARE_MAX = 2

/** Bytes that may still be sent as replies to a datagram. */
interface ReplyBudget {
  bytes: number
}

/** @throws ListenError if the port cannot be had. */
export function listenUdp(adapter: Adapter, intake: Intake, address: ListenAddress): Promise<Listener> {
  return listenDatagrams(adapter.id, () => adapter, intake, address)
}

/**
 * @param protocol Name of the listener.
 * @param adapterOf Whose a datagram is; undefined for one that is not taken.
 * @throws ListenError if the port cannot be had.
 */
export async function listenDatagrams(
  protocol: string,
  adapterOf: (datagram: Buffer, remote: RemoteInfo) => Adapter | undefined,
  intake: Intake,
  address: ListenAddress,
): Promise<Listener> {
  const { limits, metrics } = intake
  const socket = createSocket(isIPv6(address.host) ? 'udp6' : 'udp4')
  let pending = 0
  let closed = false

  const transmit = (bytes: Buffer, remote: RemoteInfo) => {
    // What is lost on the way is like what was never sent: of a reply, the device sends its question again.
    if (!closed) socket.send(bytes, remote.port, remote.address, () => undefined)
  }
  const send = (adapter: Adapter, replies: readonly Buffer[], remote: RemoteInfo, budget: ReplyBudget) => {
    // Port 0 is legal on the wire as that of a sender who wants no answer, and `send` throws at it.
    if (closed || remote.port === 0) return
    for (const reply of replies) {
      budget.bytes -= DATAGRAM_HEAD_BYTES + reply.length
      if (budget.bytes < 0) return
      metrics.replies.inc({ protocol: adapter.id })
      transmit(reply, remote)
    }
  }

  const takeFrame = (
    adapter: Adapter,
    frame: Buffer,
    remote: RemoteInfo,
    session: ReturnType<Intake['open']>,
    budget: ReplyBudget,
  ) => {
    let receipt: Receipt | undefined
    const accepted = intake.accept(adapter, session, frame, addressOf(remote), () => {
      pending--
      if (receipt !== undefined) send(adapter, receipt.replies, remote, budget)
    })
    const settle = (settled: Receipt) => {
      receipt = settled
      if ((settled.kind === 'session' || settled.kind === 'pending') && remote.port !== 0) {
        DatagramWay.keep(adapter, session, intake, (bytes) => transmit(bytes, remote))
      }
      if (settled.kind === 'pending') return
      pending--
      // A frame that names nobody may be from anybody; a refusal goes to who named himself.
      if (settled.kind === 'session' && session.device === undefined) return
      send(adapter, settled.replies, remote, budget)
    }
    pending++
    if (accepted instanceof Promise) void accepted.then(settle)
    else settle(accepted)
  }

  socket.on('message', (datagram, remote) => {
    const adapter = adapterOf(datagram, remote)
    if (adapter === undefined) return
    const session = intake.open(adapter, 'udp')
    const reader = new FrameReader(adapter, 'udp', limits.frameBytesMax)
    reader.push(datagram)
    const budget = { bytes: REPLY_SHARE_MAX * (DATAGRAM_HEAD_BYTES + datagram.length) }
    let frames = 0
    try {
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        if (++frames > FIXED_LIMITS.framesPerDatagramMax) return metrics.limitMet('framesPerDatagramMax')
        // No room: devices send again what gets no reply.
        const met = pending >= limits.pendingDatagramsMax ? 'pendingDatagramsMax' : intake.missingRoom
        if (met !== undefined) return metrics.limitMet(met)
        takeFrame(adapter, frame, remote, session, budget)
      }
      if (reader.buffered > 0) throw new DecodeError('malformed', 'the datagram ends within a frame')
    } catch (error) {
      intake.fault(adapter, session, datagram, addressOf(remote), error)
    }
  })

  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => reject(new ListenError(protocol, address, error)))
    socket.bind({ port: address.port, address: address.host }, () => {
      socket.removeAllListeners('error')
      // After binding, errors of this socket concern single datagrams.
      socket.on('error', () => metrics.faults.inc({ protocol, code: 'socket' }))
      socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES)
      resolve()
    })
  })
  return {
    protocol,
    transport: 'udp',
    host: address.host,
    port: socket.address().port,
    close: () =>
      new Promise((resolve) => {
        closed = true
        socket.close(() => resolve())
      }),
  }
}
