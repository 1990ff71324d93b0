/** The one buffer that a row is written into, byte by byte, and taken from as a string with one character a byte. */

/** What a writer may use without asking: numbers, heads and marks between two texts. */
const SPARE_BYTES = 1_024

export class RowBuffer {
  bytes = Buffer.allocUnsafe(65_536)
  view = viewOf(this.bytes)
  /** Where the next byte goes. */
  at = 0

  /** Makes room for so many bytes, and a few numbers behind them. */
  makeRoom(more: number): void {
    if (this.at + more + SPARE_BYTES <= this.bytes.length) return
    const grown = Buffer.allocUnsafe(2 * (this.at + more + SPARE_BYTES))
    this.bytes.copy(grown, 0, 0, this.at)
    this.bytes = grown
    this.view = viewOf(grown)
  }

  /** Writes a byte, for which there is room. */
  writeByte(value: number): void {
    this.bytes[this.at++] = value
  }

  /** Writes a few bytes, for which there is room. */
  writeBytes(source: Uint8Array): void {
    const { bytes, at } = this
    // A loop: `set` takes four times as long for a few.
    for (let i = 0; i < source.length; i++) bytes[at + i] = source[i]!
    this.at = at + source.length
  }

  /** Writes text of ASCII, such as keys are, for which there is room. @returns Whether it is; else nothing is written. */
  writeAscii(text: string): boolean {
    const { bytes, at } = this
    const { length } = text
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) return false
      bytes[at + i] = code
    }
    this.at = at + length
    return true
  }

  /** Writes text as UTF-8, for which there is room: three bytes a UTF-16 unit at most. @returns How many bytes it takes. */
  writeUtf8(text: string): number {
    const count = this.bytes.write(text, this.at)
    this.at += count
    return count
  }

  /** Begins a row, whatever became of the one before. */
  begin(): void {
    this.at = 0
  }

  /** What was written since {@link begin}. */
  text(): string {
    return this.bytes.toString('latin1', 0, this.at)
  }
}

function viewOf({ buffer, byteOffset, length }: Buffer): DataView {
  return new DataView(buffer, byteOffset, length)
}
