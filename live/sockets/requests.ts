/** Messages of clients: reads them, checks them against the user's rights and the limits, and answers. */
import { ClientMessage, type ReceivedMessage } from '../../schemas/stream.ts'
import { encodingOf } from '../format/encoding.ts'
import type { StreamFormat } from '../format/stream-format.ts'
import type { Feed, Refusal } from '../subscriptions/feed.ts'
import type { Hub } from '../subscriptions/hub.ts'
import { openFeed, type SubscribeMessage } from '../subscriptions/open-feed.ts'
import type { ScopeFilter } from '../subscriptions/scope-filter.ts'
import { openScope } from '../subscriptions/scopes.ts'
import type { Client } from './client.ts'

/** Does what a message asks for. The bytes are not used afterwards. */
export function handleMessage(client: Client, hub: Hub, bytes: Buffer, isBinary: boolean): void {
  const refuse = (id: number | null, refusal: Refusal) => client.send({ type: 'error', id, ...refusal })
  let received: unknown
  try {
    received = decode(client.format, bytes, isBinary)
  } catch (error) {
    const detail = `the message can not be read as ${client.format.subprotocol}: ${(error as Error).message}`
    refuse(null, { code: 'malformed', detail: detail.slice(0, 300) })
    return
  }
  const parsed = ClientMessage.safeParse(received)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!
    const detail = `${path.length === 0 ? 'message' : path.join('.')}: ${message}`
    refuse(idOf(received), { code: 'invalid-message', detail: detail.slice(0, 300) })
    return
  }
  const message = parsed.data
  client.inTurn(async () => {
    const refusal = answer(client, hub, message)
    const awaited = refusal instanceof Promise ? await refusal : refusal
    if (awaited !== undefined) refuse(message.id, awaited)
  })
}

type Answer = Refusal | undefined | Promise<Refusal | undefined>

function answer(client: Client, hub: Hub, message: ReceivedMessage): Answer {
  if (message.type === 'subscribe') return subscribe(client, hub, message)
  const { id } = message
  const feed = client.subscriptions.get(id)
  if (feed === undefined) return { code: 'unknown-subscription', detail: `no subscription ${id} is open` }
  if (message.type === 'unsubscribe') {
    client.unsubscribe(id)
    return undefined
  }
  if (message.type === 'scope') {
    if (feed.move === undefined) return { code: 'scope-fixed', detail: 'a replay keeps its scope' }
    const room = hub.limits.devicesPerSocketMax - client.deviceCount + (feed.deviceCount ?? 0)
    const filter = openScope(hub, client.user, message.scope, room)
    const move = (filter: ScopeFilter | Refusal) => {
      if ('code' in filter) return filter
      // It may have ended meanwhile.
      if (client.subscriptions.get(id) === feed) feed.move!(filter)
      return undefined
    }
    return filter instanceof Promise ? filter.then(move) : move(filter)
  }
  if (feed.control === undefined) return { code: 'not-a-replay', detail: `subscription ${id} is live` }
  return feed.control(message)
}

function subscribe(client: Client, hub: Hub, message: SubscribeMessage): Answer {
  const { limits, metrics } = hub
  const { id, rows } = message
  if (client.subscriptions.has(id)) {
    return {
      code: 'id-in-use',
      detail: `subscription ${id} is open: unsubscribe it first or take another id`,
    }
  }
  if (client.subscriptions.size >= limits.subscriptionsPerSocketMax) {
    metrics.limitMet('subscriptionsPerSocketMax')
    return {
      code: 'too-many-subscriptions',
      detail: `a socket may have ${limits.subscriptionsPerSocketMax} subscriptions: unsubscribe one first`,
    }
  }
  const encoding = encodingOf(client.format, rows, client.user.kind === 'user')
  const room = limits.devicesPerSocketMax - client.deviceCount
  const feed = openFeed(hub, client.user, message, client.outlet(id, encoding), room)
  const begin = (feed: Feed | Refusal) => {
    if ('code' in feed) return feed
    client.subscribe(id, feed, encoding.header(id))
    return undefined
  }
  return feed instanceof Promise ? feed.then(begin) : begin(feed)
}

function decode(format: StreamFormat, bytes: Buffer, isBinary: boolean): unknown {
  if (isBinary !== format.isBinary) {
    throw new TypeError(format.isBinary ? 'send it in a binary frame' : 'send it in a text frame')
  }
  return format.decode(bytes)
}

/** Id of a message that is otherwise wrong, so that the client can tell which it was. */
function idOf(received: unknown): number | null {
  const id = (received as { id?: unknown } | null | undefined)?.id
  return Number.isSafeInteger(id) ? (id as number) : null
}
