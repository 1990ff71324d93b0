/**
 * Looks at the fixed headers of MQTT packets before the broker's parser collects them: it takes packets of up to
 * 256 MB, and packets that no device has to send, for which the broker keeps state. MQTT 3.1.1, section 2.2: type and
 * flags, then the remaining length in one to four bytes of seven bits.
 */

/** What is wrong: a packet that is longer than allowed; or none that a device may send, or may send here. */
export type MqttFault = 'too-large' | 'malformed'

const CONNECT = 0x10
const PUBLISH = 0x3
const QOS_NONE = 0x06
/**
 * PUBREL, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT, each with the only flags that it can have. Nothing is ever
 * published to a device, so it has nothing to acknowledge.
 */
const OTHERS: ReadonlySet<number> = new Set([0x62, 0x82, 0xa2, 0xc0, 0xe0])

export class MqttGuard {
  private readonly packetBytesMax: number
  private begun = false
  /** Whether the first packet says that it is a CONNECT. */
  saysConnect = false
  /** Bytes of the packet in hand that are still to come. */
  private remaining = 0
  /** Place in the fixed header: 0 = its first byte comes next, 1..4 = a length byte does. */
  private lengthBytes = 0
  private length = 0

  constructor(packetBytesMax: number) {
    this.packetBytesMax = packetBytesMax
  }

  /** Whether a packet has begun that has not ended. */
  get withinPacket(): boolean {
    return this.remaining > 0 || this.lengthBytes > 0
  }

  /** Bytes of that packet that have come in, without its fixed header. */
  get pieceBytes(): number {
    return this.remaining > 0 ? this.length - this.remaining : 0
  }

  /** Looks at the next bytes of the stream; after a fault it cannot be read on. */
  check(bytes: Buffer): MqttFault | undefined {
    let at = 0
    while (at < bytes.length) {
      if (this.remaining > 0) {
        const step = Math.min(this.remaining, bytes.length - at)
        this.remaining -= step
        at += step
      } else if (this.lengthBytes === 0) {
        if (!this.mayCome(bytes[at++]!)) return 'malformed'
        this.lengthBytes = 1
        this.length = 0
      } else {
        const byte = bytes[at++]!
        this.length += (byte & 0x7f) * 128 ** (this.lengthBytes - 1)
        if ((byte & 0x80) !== 0) {
          if (++this.lengthBytes > 4) return 'malformed'
        } else {
          if (this.length > this.packetBytesMax) return 'too-large'
          this.remaining = this.length
          this.lengthBytes = 0
        }
      }
    }
    return undefined
  }

  /** @param head Type and flags of a packet. */
  private mayCome(head: number): boolean {
    if (!this.begun) {
      this.begun = true
      this.saysConnect = head === CONNECT
      return this.saysConnect
    }
    return OTHERS.has(head) || (head >> 4 === PUBLISH && (head & QOS_NONE) !== QOS_NONE)
  }
}
