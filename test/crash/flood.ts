/**
 * Devices that do not wait for replies: they send records again that they have sent before, as fast as they are read,
 * which shows how far a server reads that cannot reply.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { teltonika } from '../../simulate/encoders/teltonika.ts'
import { type FleetDevice, recordOf } from './fleet.ts'

/** As many as the number of a packet can say. */
export const FLOOD_RECORDS = 255

const UNREAD_BYTES_MAX = 1_000_000
const WATCH_MS = 1000

export class Flood {
  private readonly sockets: readonly Socket[]

  private constructor(sockets: readonly Socket[]) {
    this.sockets = sockets
  }

  /** @param devices Teltonika trackers that have made {@link FLOOD_RECORDS} records already. */
  static async start(port: number, devices: readonly FleetDevice[]): Promise<Flood> {
    // All log in before any sends: what they send takes the room in which a login would be read.
    const sockets = await Promise.all(
      devices.map(async ({ uniqueId }) => {
        const socket = connect({ port, host: '127.0.0.1' })
        socket.on('error', () => undefined)
        socket.write(teltonika.login!(uniqueId))
        await once(socket, 'data')
        // Answers to packets are read and forgotten.
        socket.on('data', () => undefined)
        return socket
      }),
    )
    for (const [i, device] of devices.entries()) {
      const socket = sockets[i]!
      const reports = Array.from({ length: FLOOD_RECORDS }, (_, n) => ({
        ...recordOf(device, n),
        serial: n + 1,
      }))
      const packet = Buffer.concat(teltonika.frames(device.uniqueId, reports))
      const send = () => {
        while (!socket.destroyed && socket.writableLength < UNREAD_BYTES_MAX) socket.write(packet)
      }
      socket.on('drain', send)
      send()
    }
    return new Flood(sockets)
  }

  /** Waits until no more is read of any of them. @returns Whether that came in time. */
  async stalled(timeoutMs: number): Promise<boolean> {
    const end = performance.now() + timeoutMs
    for (let before = -1; performance.now() < end; ) {
      const taken = this.takenBytes
      if (taken === before) return true
      before = taken
      await delay(WATCH_MS)
    }
    return false
  }

  /** Bytes that the system took of all of them. */
  get takenBytes(): number {
    return this.sockets.reduce((sum, socket) => sum + socket.bytesWritten - socket.writableLength, 0)
  }

  stop(): void {
    for (const socket of this.sockets) socket.destroy()
  }
}
