/** From a subscription as a client asks for it to what feeds it, or why nothing does. */
import type { ReceivedMessage } from '../../schemas/stream.ts'
import { readCursor } from '../log/cursor.ts'
import type { StreamUser } from '../sockets/authorise.ts'
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
  if (isShare && (from ?? to ?? speed) !== undefined) {
    return { code: 'forbidden', detail: 'a link shows the present only: leave from, to and speed out' }
  }
  const isTime = from?.includes(':') ?? false
  const cursor = from === undefined || isTime ? undefined : readCursor(from)
  if (isTime) return { code: 'invalid-times', detail: 'there is no replay here' }
  if (from !== undefined && cursor === undefined) {
    return {
      code: 'cursor-invalid',
      detail: 'the cursor is none that this server gave: subscribe without it',
    }
  }
  if (to !== undefined || speed !== undefined) {
    return { code: 'invalid-times', detail: 'to and speed are of replays: give from as a time, too' }
  }
  const filter = openScope(hub, user, scope, devicesRoom)
  const feedOf = (filter: ScopeFilter | Refusal): Feed | Refusal => {
    if ('code' in filter) return filter
    return new LogFeed({ hub, outlet, filter, events: events && !isShare, from: cursor, intervalMs })
  }
  return filter instanceof Promise ? filter.then(feedOf) : feedOf(filter)
}
