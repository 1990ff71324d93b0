/** From the scope that a client asks for to the filter that it gets, or why it gets none. */
import type { Scope } from '../../schemas/stream.ts'
import { AreaError, areaOfBox, areaOfPolygon } from '../areas/area.ts'
import type { StreamUser } from '../sockets/authorise.ts'
import type { Refusal } from './feed.ts'
import type { Hub } from './hub.ts'
import { EVERYTHING, type ScopeFilter } from './scope-filter.ts'
import { SlotFilter } from './slot-filter.ts'

/** Unknown devices or groups that an error lists. */
const LISTED_MAX = 20

/**
 * A filter has to be opened in the turn in which it comes.
 * @returns Without a promise where nothing has to be looked up.
 * @param devicesRoom Devices that the subscription may name before the socket has too many.
 */
export function openScope(
  hub: Hub,
  user: StreamUser,
  scope: Scope,
  devicesRoom: number,
): ScopeFilter | Refusal | Promise<ScopeFilter | Refusal> {
  const { grant, organizationId } = user
  if (grant !== null) {
    if ('all' in scope) return hub.granted.filter(grant, organizationId, null)
    const isArea = 'bbox' in scope || 'polygon' in scope
    if (!('devices' in scope) && !(isArea && user.kind === 'user')) {
      return { code: 'forbidden', detail: 'subscribe to all, which is all that you may see, or to devices' }
    }
  }
  if ('all' in scope) return EVERYTHING
  if ('devices' in scope) return ofDevices(hub, user, scope.devices, devicesRoom)
  if ('groups' in scope) return unlessUnread(ofGroups(hub, organizationId, scope.groups))
  if ('geofence' in scope) return unlessUnread(ofGeofence(hub, organizationId, scope.geofence))
  try {
    const area = 'bbox' in scope ? areaOfBox(scope.bbox) : areaOfPolygon(scope.polygon)
    const filter = hub.areas.filter(area, organizationId)
    if (grant === null) return filter
    const { commits } = hub.stream
    const slotOf = (item: number) => commits.segmentOf(item).slots[commits.indexOf(item)]!
    return hub.granted.within(filter, grant, organizationId, slotOf)
  } catch (error) {
    if (error instanceof AreaError) return { code: 'invalid-area', detail: error.message }
    throw error
  }
}

async function unlessUnread(filter: Promise<ScopeFilter | Refusal>): Promise<ScopeFilter | Refusal> {
  return filter.catch(() => ({
    code: 'storage-unavailable',
    detail: 'the database can not be read: ask again later',
  }))
}

async function ofGroups(
  hub: Hub,
  organizationId: number | null,
  groups: readonly number[],
): Promise<ScopeFilter | Refusal> {
  const missing = await hub.areaReader.missingGroups(groups, organizationId)
  if (missing.length === 0) return hub.groups.filter(groups)
  return { code: 'unknown-group', detail: `there is no group ${listed(missing)} that you may see` }
}

async function ofGeofence(
  hub: Hub,
  organizationId: number | null,
  geofence: number,
): Promise<ScopeFilter | Refusal> {
  const filter = await hub.geofences.filter(geofence, organizationId)
  return filter ?? { code: 'unknown-geofence', detail: `there is no geofence ${geofence} that you may see` }
}

function listed(ids: readonly number[]): string {
  return `${ids.slice(0, LISTED_MAX).join(', ')}${ids.length > LISTED_MAX ? ' and more' : ''}`
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
    return {
      code: 'unknown-device',
      detail: `there is no device ${listed(unknown)} that you may see: nothing was subscribed`,
      devices: unknown.slice(0, LISTED_MAX),
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
