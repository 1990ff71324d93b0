/**
 * Bounds MQTT packets before the broker's parser collects them: the parser takes packets of up to 256 MB.
 * Walks the fixed headers of the byte stream (MQTT 3.1.1, section 2.2): type and flags, then the remaining length
 * in one to four bytes of seven bits.
 */
export class MqttGuard {
  private readonly packetBytesMax: number
  /** Bytes of the packet in hand that are still to come. */
  private remaining = 0
  /** Place in the fixed header: 0 = its first byte comes next, 1..4 = a length byte does. */
  private lengthBytes = 0
  private length = 0

  constructor(packetBytesMax: number) {
    this.packetBytesMax = packetBytesMax
  }

  /** Whether the stream may go on: false once a packet is longer than allowed, or its length is none. */
  passes(bytes: Buffer): boolean {
    let at = 0
    while (at < bytes.length) {
      if (this.remaining > 0) {
        const step = Math.min(this.remaining, bytes.length - at)
        this.remaining -= step
        at += step
      } else if (this.lengthBytes === 0) {
        this.lengthBytes = 1
        this.length = 0
        at++
      } else {
        const byte = bytes[at++]!
        this.length += (byte & 0x7f) * 128 ** (this.lengthBytes - 1)
        if ((byte & 0x80) !== 0) {
          if (++this.lengthBytes > 4) return false
        } else {
          if (this.length > this.packetBytesMax) return false
          this.remaining = this.length
          this.lengthBytes = 0
        }
      }
    }
    return true
  }
}
