/** From a subscription that asks for history to its replay, or why there is none. */
import type { ReceivedMessage } from '../../schemas/stream.ts'
import { wholeCommit } from '../log/cursor.ts'
import type { StreamUser } from '../sockets/authorise.ts'
import type { Feed, Outlet, Refusal } from '../subscriptions/feed.ts'
import type { Hub } from '../subscriptions/hub.ts'
import { LogFeed } from '../subscriptions/log-feed.ts'
import type { ScopeFilter } from '../subscriptions/scope-filter.ts'
import { placeUs, type ReplayPlace, readReplayCursor } from './replay-cursor.ts'
import type { OpenReplay } from './replays.ts'

type SubscribeMessage = Extract<ReceivedMessage, { type: 'subscribe' }>

/** Where it begins and how it goes on. */
export interface ReplayPlan {
  readonly from: ReplayPlace
  readonly toMs: number | undefined
  readonly speed: number
}

/**
 * Whether the subscription is a replay, as its times say; undefined = it is one to the log.
 * @param nowMs Time of the wall, ms UTC.
 */
export function planReplay(
  { from, to, speed, intervalMs }: SubscribeMessage,
  nowMs: number,
): ReplayPlan | Refusal | undefined {
  if (from === undefined) return undefined
  // Nothing is older than 1970: cursors say no such time, and the database knows no year 0.
  const place = from.includes(':')
    ? { beforeUs: Math.max(0, Date.parse(from)) * 1_000 }
    : readReplayCursor(from)
  if (place === undefined) return undefined
  const toMs = to === undefined ? undefined : Date.parse(to)
  const wrong =
    intervalMs !== undefined
      ? 'intervalMs is of live subscriptions'
      : toMs !== undefined && toMs * 1_000 < placeUs(place)
        ? 'to lies before from'
        : placeUs(place) > nowMs * 1_000
          ? 'from lies in the future'
          : undefined
  if (wrong !== undefined) return { code: 'invalid-times', detail: wrong }
  return { from: place, toMs, speed: speed ?? 1 }
}

export interface ReplayParties {
  readonly hub: Hub
  readonly user: StreamUser
  readonly outlet: Outlet
  /** The scope that was asked for, as a filter; it is not opened. */
  readonly filter: ScopeFilter
  /** The same again, when the replay becomes live. */
  reopen(): ScopeFilter | Refusal | Promise<ScopeFilter | Refusal>
}

export function openReplay(
  { hub, user, outlet, filter, reopen }: ReplayParties,
  plan: ReplayPlan,
  { scope, events }: SubscribeMessage,
): Feed | Refusal {
  if (user.kind !== 'user') return { code: 'forbidden', detail: 'a link shows the present only' }
  if (hub.history === undefined) return { code: 'storage-unavailable', detail: 'nothing is stored here' }
  const request: OpenReplay = {
    ...plan,
    delayed: false,
    events,
    area: filter.contains === undefined ? null : { contains: filter.contains.bind(filter) },
    deviceCount: filter.deviceCount,
    // The devices of a grant are named one by one; what is counted of the organisation is shared with others.
    tenant: user.grant === null ? user : { ...user, role: 'viewer' },
    devices: devicesOf(hub, user, scope, filter),
    // There is one for each socket.
    socket: user,
    async openLive(head) {
      const live = await reopen()
      if ('code' in live) return live
      return new LogFeed({
        hub,
        outlet,
        filter: live,
        events,
        from: wholeCommit(head),
        intervalMs: undefined,
      })
    },
    onOpen: (feed) => hub.clocked.add(feed),
    onClosed: (feed) => hub.clocked.delete(feed),
  }
  const feed = hub.history.replays.start(request, outlet)
  if (typeof feed !== 'string') return feed
  const { [feed]: most } = hub.limits
  return {
    code: 'too-many-replays',
    detail:
      feed !== 'replaysPerSocketMax'
        ? `there are ${most} replays now, which is all there may be: try again later`
        : `a socket may have ${most} replays: unsubscribe one first`,
  }
}

/** Ids of the devices, at any time; null = all of the organisation. */
function devicesOf(
  hub: Hub,
  { grant }: StreamUser,
  scope: SubscribeMessage['scope'],
  filter: ScopeFilter,
): () => readonly number[] | null {
  const named = 'devices' in scope ? [...new Set(scope.devices)] : null
  if (grant !== null) {
    return () => (named === null ? [...grant.devices] : named.filter((device) => grant.devices.has(device)))
  }
  const slots = filter.contains === undefined ? filter.slots() : null
  const devices = named ?? (slots && Array.from(slots, (slot) => hub.stream.positions.deviceIn(slot)))
  return () => devices
}
