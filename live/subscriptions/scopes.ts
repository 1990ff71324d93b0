/** From the scope that a client asks for to the filter that it gets, or why it gets none. */
import type { Scope } from '../../schemas/stream.ts'
import type { StreamUser } from '../sockets/authorise.ts'
import type { Refusal } from './feed.ts'
import type { Hub } from './hub.ts'
import { EVERYTHING, type ScopeFilter } from './scope-filter.ts'
import { SlotFilter } from './slot-filter.ts'

/** Unknown devices that an error lists. */
const LISTED_DEVICES_MAX = 20

/** @param devicesRoom Devices that the subscription may name before the socket has too many. */
export function openScope(
  hub: Hub,
  user: StreamUser,
  scope: Scope,
  devicesRoom: number,
): ScopeFilter | Refusal {
  const { grant, organizationId } = user
  if (grant !== null) {
    if ('all' in scope) return hub.granted.filter(grant, organizationId, null)
    if (!('devices' in scope)) {
      return { code: 'forbidden', detail: 'subscribe to all, which is all that you may see, or to devices' }
    }
  }
  if ('all' in scope) return EVERYTHING
  if ('devices' in scope) return ofDevices(hub, user, scope.devices, devicesRoom)
  return { code: 'invalid-area', detail: 'subscribe to all, or to devices' }
}

function ofDevices(
  hub: Hub,
  { organizationId, grant }: StreamUser,
  devices: readonly number[],
  devicesRoom: number,
): ScopeFilter | Refusal {
  const slots = new Set<number>()
  const unknown: number[] = []
  for (const device of devices) {
    const slot = hub.stream.positions.slotIn(organizationId, device)
    if (slot === undefined || grant?.devices.has(device) === false) unknown.push(device)
    else slots.add(slot)
  }
  if (unknown.length > 0) {
    const more = unknown.length > LISTED_DEVICES_MAX ? ' and more' : ''
    const listed = unknown.slice(0, LISTED_DEVICES_MAX)
    return {
      code: 'unknown-device',
      detail: `there is no device ${listed.join(', ')}${more} that you may see: nothing was subscribed`,
      devices: listed,
    }
  }
  const { limits, metrics } = hub
  if (slots.size > devicesRoom) {
    metrics.limitMet('devicesPerSocketMax')
    return {
      code: 'too-many-devices',
      detail: `the subscriptions of a socket may name ${limits.devicesPerSocketMax} devices: subscribe to all, or to less`,
    }
  }
  if (grant !== null) return hub.granted.filter(grant, organizationId, new Set(devices))
  return new SlotFilter(hub.slots, slots, slots.size)
}
