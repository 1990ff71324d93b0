/** From a subscription as a client asks for it to what feeds it, or why nothing does. */
import type { ReceivedMessage } from '../../schemas/stream.ts'
import { readCursor } from '../log/cursor.ts'
import { DelayedFeed } from '../replay/delayed-feed.ts'
import { openReplay, planReplay } from '../replay/open-replay.ts'
import type { ShareUser, StreamUser } from '../sockets/authorise.ts'
import type { Feed, Outlet, Refusal } from './feed.ts'
import type { Hub } from './hub.ts'
import { LogFeed } from './log-feed.ts'
import type { ScopeFilter } from './scope-filter.ts'
import { openScope } from './scopes.ts'

export type SubscribeMessage = Extract<ReceivedMessage, { type: 'subscribe' }>

/** @param devicesRoom Devices that the subscription may name before the socket has too many. */
export function openFeed(
  hub: Hub,
  user: StreamUser,
  request: SubscribeMessage,
  outlet: Outlet,
  devicesRoom: number,
): Feed | Refusal | Promise<Feed | Refusal> {
  const { scope, from, to, speed, intervalMs, events } = request
  const isShare = user.kind === 'share'
  if (isShare && (to ?? speed ?? (from?.includes(':') ? from : undefined)) !== undefined) {
    return { code: 'forbidden', detail: 'a link shows the present only: leave from, to and speed out' }
  }
  if (isShare && from !== undefined) {
    return { code: 'cursor-expired', detail: 'a link keeps nothing: subscribe without the cursor' }
  }
  const plan = planReplay(request, Date.now())
  if (plan !== undefined && 'code' in plan) return plan
  const cursor = from === undefined || plan !== undefined ? undefined : readCursor(from)
  if (plan === undefined && from !== undefined && cursor === undefined) {
    return {
      code: 'cursor-invalid',
      detail: 'the cursor is none that this server gave: subscribe without it',
    }
  }
  if (plan === undefined && (to ?? speed) !== undefined) {
    return { code: 'invalid-times', detail: 'to and speed are of replays: give from as a time, too' }
  }
  const filter = openScope(hub, user, scope, devicesRoom)
  const feedOf = (filter: ScopeFilter | Refusal): Feed | Refusal => {
    if ('code' in filter) return filter
    if (isShare && user.delayS > 0) return openDelayed(hub, user, request, outlet)
    if (plan !== undefined) {
      const reopen = () => openScope(hub, user, scope, devicesRoom)
      return openReplay({ hub, user, outlet, filter, reopen }, plan, request)
    }
    return new LogFeed({ hub, outlet, filter, events: events && !isShare, from: cursor, intervalMs })
  }
  return filter instanceof Promise ? filter.then(feedOf) : feedOf(filter)
}

/** What a link shows that is behind the present. */
function openDelayed(
  hub: Hub,
  user: ShareUser,
  { scope, intervalMs }: SubscribeMessage,
  outlet: Outlet,
): Feed | Refusal {
  if (intervalMs !== undefined) {
    return { code: 'invalid-times', detail: 'intervalMs is not possible behind the present: leave it out' }
  }
  const { history, clocked } = hub
  if (history === undefined) return { code: 'storage-unavailable', detail: 'nothing is stored here' }
  const named = 'devices' in scope ? new Set(scope.devices) : undefined
  const feed = new DelayedFeed({
    ...history,
    outlet,
    organizationId: user.organizationId,
    delayMs: user.delayS * 1_000,
    devices: () => user.grant.devices,
    wants: (device) => named?.has(device) ?? true,
    // Every socket has a user of its own.
    socket: user,
    onClosed: () => clocked.delete(feed),
  })
  clocked.add(feed)
  return feed
}
