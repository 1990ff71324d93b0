/** Many Teltonika trackers on sockets of their own: they log in, send packets, and hear what was stored. */
import { connect, type Socket } from 'node:net'
import { loginOf } from './teltonika-packets.ts'

/** Connections opened at a time. */
const CONNECT_AT_ONCE = 100

/** Called when the server has acknowledged a packet with so many records, which are as many as it stored. */
export type Acknowledged = (device: number, records: number) => void

export class TeltonikaDevices {
  private readonly sockets: Socket[] = []
  private readonly onAcknowledged: Acknowledged

  private constructor(onAcknowledged: Acknowledged) {
    this.onAcknowledged = onAcknowledged
  }

  /** @throws Error if the server refuses a device or closes its connection, also later. */
  static async connect(port: number, count: number, onAcknowledged: Acknowledged): Promise<TeltonikaDevices> {
    const devices = new TeltonikaDevices(onAcknowledged)
    for (let first = 0; first < count; first += CONNECT_AT_ONCE) {
      const length = Math.min(CONNECT_AT_ONCE, count - first)
      await Promise.all(Array.from({ length }, (_, i) => devices.login(first + i, port)))
    }
    return devices
  }

  send(device: number, packet: Buffer): void {
    this.sockets[device]!.write(packet)
  }

  close(): void {
    for (const socket of this.sockets) {
      socket.removeAllListeners('close')
      socket.destroy()
    }
  }

  private login(device: number, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let loggedIn = false
      let value = 0
      let bytesOfValue = 0
      const socket = connect({
        port,
        host: '127.0.0.1',
        noDelay: true,
        // One buffer for all sockets: what came in is read at once.
        onread: {
          buffer: readBuffer,
          callback: (length, buffer) => {
            let at = 0
            if (!loggedIn) {
              if (buffer[at++] !== 1) throw new Error(`device ${device} was refused`)
              loggedIn = true
              resolve()
            }
            for (; at < length; at++) {
              value = value * 256 + buffer[at]!
              if (++bytesOfValue < 4) continue
              const records = value
              value = 0
              bytesOfValue = 0
              this.onAcknowledged(device, records)
            }
            return true
          },
        },
      })
      this.sockets[device] = socket
      socket.on('error', reject)
      socket.on('close', () => {
        throw new Error(`the server closed the connection of device ${device}`)
      })
      socket.write(loginOf(device))
    })
  }
}

const readBuffer = Buffer.alloc(65_536)
