/** Bytes of one connection or datagram, cut into frames by an adapter. */
import { type Adapter, DecodeError, type Transport } from './adapter.ts'

const NO_BYTES = Buffer.alloc(0)
/** A piece of a frame that is a smaller part of the memory that it came in gets memory of its own. */
const OWN_MEMORY_BELOW = 1 / 4

export class FrameReader {
  private rest: Buffer = NO_BYTES
  private readonly adapter: Adapter
  private readonly transport: Transport
  private readonly frameBytesMax: number

  /** @param frameBytesMax Longest frame to take, where the protocol allows longer ones. */
  constructor(adapter: Adapter, transport: Transport, frameBytesMax = Infinity) {
    this.adapter = adapter
    this.transport = transport
    this.frameBytesMax = Math.min(adapter.maxFrameBytes, frameBytesMax)
  }

  /** What waits for the rest of its frame. */
  get waiting(): Buffer {
    return this.rest
  }

  /** Bytes that wait for the rest of their frame. */
  get buffered(): number {
    return this.rest.length
  }

  /** Adds what came in. */
  push(bytes: Buffer): void {
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
  }

  /** Takes out what is buffered. */
  take(): Buffer {
    const bytes = this.rest
    this.rest = NO_BYTES
    return bytes
  }

  /**
   * The next whole frame, without its escapes; undefined when more bytes are needed. The frame may share memory with
   * what was pushed.
   * @throws DecodeError if what is buffered is longer than any frame may be, or the protocol has no stream; and whatever
   *   the adapter throws.
   */
  next(): Buffer | undefined {
    const { adapter, frameBytesMax } = this
    if (adapter.frame === undefined) {
      throw new DecodeError('unsupported', `${adapter.id} comes in requests or messages, not on a stream`)
    }
    while (this.rest.length > 0) {
      const length = adapter.frame(this.rest, this.transport)
      if (length < 0) this.rest = this.rest.subarray(-length)
      else if (length > 0 && length <= frameBytesMax) {
        // Mostly a device sends one frame, and waits: without two more buffers a frame takes 0.04 µs instead of 0.13.
        if (length === this.rest.length) return unescaped(adapter, this.take())
        const frame = this.rest.subarray(0, length)
        this.rest = this.rest.subarray(length)
        return unescaped(adapter, frame)
      } else {
        if (length > 0 || this.rest.length > frameBytesMax) {
          throw new DecodeError('too-large', `frame longer than ${frameBytesMax} bytes`)
        }
        if (this.rest.length < this.rest.buffer.byteLength * OWN_MEMORY_BELOW) {
          const own = Buffer.allocUnsafeSlow(this.rest.length)
          this.rest.copy(own)
          this.rest = own
        }
        return undefined
      }
    }
    this.rest = NO_BYTES
    return undefined
  }
}

/** A frame as `decode` gets it. @param wire What `frame` found. */
export function unescaped(adapter: Adapter, wire: Buffer): Buffer {
  return adapter.unescape === undefined ? wire : adapter.unescape(wire)
}
