/** Names of devices, as what they send has them. */
import { DecodeError } from '../../device-adapters/adapter.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import type { DeviceRegistry } from './devices.ts'

/** @throws DecodeError for a name that no device has: too long, or with control characters. */
export function checkUniqueId(uniqueId: string, lengthMax: number): void {
  if (uniqueId !== storableId(uniqueId, lengthMax)) {
    throw new DecodeError(
      'malformed',
      `a device id of ${uniqueId.length} characters, or with control characters`,
    )
  }
}

/** What of a name can be stored, whatever it is. */
export function storableId(uniqueId: string, lengthMax: number): string {
  return uniqueId
    .slice(0, lengthMax)
    .replace(/\p{Cc}/gu, '')
    .toWellFormed()
}

/** Names of the devices of a frame that are not registered: the session's, and those that a gateway reports for. */
export function strangersOf(
  session: { readonly uniqueId: string },
  rows: PositionBatch,
  devices: DeviceRegistry,
): Set<string> {
  const names = new Set([session.uniqueId])
  for (let row = 0; row < rows.length; row++) names.add(rows.uniqueIdOf(row) ?? session.uniqueId)
  for (const name of names) if (devices.find(name) !== undefined) names.delete(name)
  return names
}
