/** A cursor over the bytes of a frame. Reading past the end is a RangeError, which counts as a malformed frame. */
export class ByteReader {
  readonly frame: Buffer
  /** Next byte to read. */
  at: number
  /** Where reading ends. */
  protected limit: number

  /** Reads `frame[at, limit)`. */
  constructor(frame: Buffer, at = 0, limit: number = frame.length) {
    this.frame = frame
    this.at = at
    this.limit = limit
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.limit - this.at
  }

  u8(): number {
    return this.frame[this.take(1)]!
  }

  i8(): number {
    return this.frame.readInt8(this.take(1))
  }

  u16(): number {
    return this.frame.readUInt16BE(this.take(2))
  }

  i16(): number {
    return this.frame.readInt16BE(this.take(2))
  }

  u24(): number {
    return this.frame.readUIntBE(this.take(3), 3)
  }

  u32(): number {
    return this.frame.readUInt32BE(this.take(4))
  }

  i32(): number {
    return this.frame.readInt32BE(this.take(4))
  }

  u48(): number {
    return this.frame.readUIntBE(this.take(6), 6)
  }

  /** Exact up to 2^53. */
  u64(): number {
    return Number(this.frame.readBigUInt64BE(this.take(8)))
  }

  u16LittleEndian(): number {
    return this.frame.readUInt16LE(this.take(2))
  }

  i16LittleEndian(): number {
    return this.frame.readInt16LE(this.take(2))
  }

  u32LittleEndian(): number {
    return this.frame.readUInt32LE(this.take(4))
  }

  i32LittleEndian(): number {
    return this.frame.readInt32LE(this.take(4))
  }

  hex(bytes: number): string {
    const at = this.take(bytes)
    return this.frame.toString('hex', at, at + bytes)
  }

  bytes(bytes: number): Buffer {
    const at = this.take(bytes)
    return this.frame.subarray(at, at + bytes)
  }

  /** Latin-1, without the NULs that pad it. */
  latin1(bytes: number): string {
    const at = this.take(bytes)
    return this.frame.toString('latin1', at, at + bytes).replaceAll('\0', '')
  }

  /** MAC address, `c8:3a:35:0f:a1:b8`. */
  mac(): string {
    return this.hex(6).replace(/..(?=.)/g, '$&:')
  }

  /** Six bytes yy mm dd hh mm ss, UTC, as ms since 1970-01-01T00:00Z. */
  date(): number {
    return Date.UTC(2000 + this.u8(), this.u8() - 1, this.u8(), this.u8(), this.u8(), this.u8())
  }

  /** The same six bytes as binary coded decimals. */
  dateBcd(): number {
    const two = () => {
      const byte = this.u8()
      return (byte >> 4) * 10 + (byte & 0x0f)
    }
    return Date.UTC(2000 + two(), two() - 1, two(), two(), two(), two())
  }

  skip(bytes: number): void {
    this.take(bytes)
  }

  /** Steps over the next bytes, and returns where they start. */
  protected take(bytes: number): number {
    const at = this.at
    if (bytes < 0 || at + bytes > this.limit)
      throw new RangeError(`${bytes} bytes at ${at} end past ${this.limit}`)
    this.at = at + bytes
    return at
  }
}
