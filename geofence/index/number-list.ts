/** A list of numbers that grows without being copied. */

const CHUNK_BITS = 16
const CHUNK = 1 << CHUNK_BITS

type Numbers = Int32Array | Uint32Array | Float64Array

/** Numbers of one type of array, in chunks. */
export class NumberList {
  length = 0
  private readonly chunks: Numbers[] = []
  private readonly make: new (
    length: number,
  ) => Numbers

  constructor(make: new (length: number) => Numbers) {
    this.make = make
  }

  push(number: number): void {
    const at = this.length++
    if (at >>> CHUNK_BITS === this.chunks.length) this.chunks.push(new this.make(CHUNK))
    this.chunks[at >>> CHUNK_BITS]![at & (CHUNK - 1)] = number
  }

  pushAll(numbers: Float64Array): void {
    for (const number of numbers) this.push(number)
  }

  at(index: number): number {
    return this.chunks[index >>> CHUNK_BITS]![index & (CHUNK - 1)]!
  }

  toArray(): Numbers {
    const array = new this.make(this.length)
    for (const [i, chunk] of this.chunks.entries()) {
      const start = i * CHUNK
      array.set(start + CHUNK <= this.length ? chunk : chunk.subarray(0, this.length - start), start)
    }
    return array
  }
}
