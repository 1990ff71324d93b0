import { expect, test } from 'vitest'
import { Checkpoint } from './checkpoint.ts'
import { SimulatedDisk } from './simulated-disk.ts'

function write(disk: SimulatedDisk, ...positions: number[]): void {
  const checkpoint = new Checkpoint(disk)
  for (const position of positions) {
    checkpoint.write(position)
    checkpoint.sync()
  }
  checkpoint.close()
}

test('remembers nothing at first, then what was written last', () => {
  const disk = new SimulatedDisk()
  expect(new Checkpoint(disk).remembered).toBeUndefined()
  write(disk, 5)
  expect(new Checkpoint(disk).remembered).toBe(5)
  write(disk, 6, 7, 2 ** 50)
  expect(new Checkpoint(disk).remembered).toBe(2 ** 50)
  write(disk, 0)
  expect(new Checkpoint(disk).remembered).toBe(0)
})

test.each([1, 2, 3])(
  'a write after %i others that ends at any byte leaves the one before or its own',
  (earlier) => {
    const disk = new SimulatedDisk()
    write(disk, ...Array.from({ length: earlier }, (_, index) => 100 + index))
    const before = 100 + earlier - 1
    const after = 0x12_3456_789a
    new Checkpoint(disk).write(after)
    const bytes = disk.pendingBytes('checkpoint')
    for (let count = 0; count <= bytes; count++) {
      const { remembered } = new Checkpoint(new SimulatedDisk(disk.afterShortWrite('checkpoint', count)))
      expect(remembered).toBe(count < bytes ? before : after)
    }
  },
)

test('of a damaged file, the slot that is whole counts, and without one nothing is remembered', () => {
  const disk = new SimulatedDisk()
  write(disk, 100, 101)
  const whole = Buffer.from(disk.contents.get('checkpoint')!)
  const slots = [0, 4096]
  for (const slot of slots) {
    for (let at = slot; at < slot + 24; at++) {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= 0x10
      const { remembered } = new Checkpoint(new SimulatedDisk(new Map([['checkpoint', bytes]])))
      // The second write went to the first slot.
      expect(remembered).toBe(slot === 0 ? 100 : 101)
    }
  }
  for (const bytes of [Buffer.alloc(whole.length), Buffer.alloc(whole.length, 0xff), Buffer.alloc(3)]) {
    const damaged = new SimulatedDisk(new Map([['checkpoint', bytes]]))
    expect(new Checkpoint(damaged).remembered).toBeUndefined()
    write(damaged, 7)
    expect(new Checkpoint(damaged).remembered).toBe(7)
  }
})
