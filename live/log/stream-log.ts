/**
 * What live knows: the newest commits, the last position of every device, and whose devices are. Every change goes
 * through here, so that all three agree.
 */
import type { Commit } from '../../schemas/live-port.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import type { Dispatcher } from '../subscriptions/scope-filter.ts'
import { CommitLog, type Grown } from './commit-log.ts'
import { LastPositions, type LiveDevice, type Move } from './last-positions.ts'

export class StreamLog {
  readonly commits: CommitLog
  readonly positions = new LastPositions()
  /** Told of every new item. */
  readonly dispatchers: Dispatcher[] = []
  /** Devices that the registry does not have, and of which something is to be delivered. */
  private readonly absent = new Set<number>()

  /**
   * @param rowsKept Rows and events that are kept.
   * @param onForget Called before some go.
   */
  constructor(rowsKept: number, onForget: () => void) {
    this.commits = new CommitLog(rowsKept, onForget)
  }

  /** Devices of a commit of which it is not known yet whose they are: it has to wait, or they would be seen by nobody. */
  unknownDevices(batch: PositionBatch | null, { rows, events }: Commit): Set<number> {
    const unknown = new Set<number>()
    let last = 0
    const look = (device: number) => {
      if (device === last) return
      last = device
      if (!this.positions.isKnown(device) && !this.absent.has(device)) unknown.add(device)
    }
    if (batch !== null) for (const row of rows) if (batch.quality[row] === 0) look(batch.device[row]!)
    for (const { device } of events) look(device)
    return unknown
  }

  /** Appends a commit, which must be the next. */
  append(batch: PositionBatch | null, { sequence, rows, events }: Commit): void {
    const { commits, positions } = this
    const grown = commits.append(sequence, batch, rows, events, (device) => positions.slotOf(device))
    const { segment, from, to, base } = grown
    positions.append(segment.batch, segment.slots, from, to, base, sequence)
    this.dispatch(grown)
    this.absent.clear()
  }

  /** Takes last positions as they are behind a commit, in the place of all that is kept. */
  restart(sequence: number, batches: readonly PositionBatch[]): void {
    const { commits, positions } = this
    let item = commits.end
    for (const batch of batches) {
      const slots = new Int32Array(batch.length)
      for (let row = 0; row < batch.length; row++) slots[row] = positions.slotOf(batch.device[row]!)
      positions.append(batch, slots, 0, batch.length, item, Number.NaN)
      item += batch.length
    }
    commits.restart(sequence, item - commits.end)
    for (const dispatcher of this.dispatchers) dispatcher.restarted?.()
  }

  /** Takes what the registry says. @returns Who came into sight of somebody, or went out of it. */
  setDevices(devices: readonly LiveDevice[]): Move[] {
    const moves: Move[] = []
    for (const device of devices) {
      const move = this.positions.setDevice(device)
      if (move === undefined) continue
      moves.push(move)
      if (move.to !== null) this.showAgain(move.slot)
    }
    return moves
  }

  /** Takes devices out that the registry does not have. */
  removeDevices(ids: readonly number[]): Move[] {
    const moves: Move[] = []
    for (const id of ids) {
      const move = this.positions.removeDevice(id)
      if (move !== undefined) moves.push(move)
      this.absent.add(id)
    }
    return moves
  }

  private showAgain(slot: number): void {
    const { commits, positions } = this
    const row = positions.rowInSlot(slot)
    if (row < 0) return
    const grown = commits.showAgain(positions.batch, row, slot)
    positions.showAgain(slot, grown.base + grown.from, commits.sequence)
    this.dispatch(grown)
  }

  private dispatch({ segment, from, to, base }: Grown): void {
    for (const dispatcher of this.dispatchers) {
      for (let index = from; index < to; index++) dispatcher.dispatch(segment, index, base + index)
    }
  }
}
