/** Messages of clients: reads them, checks them against the user's rights and the limits, and answers. */
import { ClientMessage, type Scope, type StreamErrorCode } from '../../schemas/stream.ts'
import type { StreamFormat } from '../format/stream-format.ts'
import type { LiveScope } from '../log/chunks.ts'
import type { Client, Hub } from './client.ts'

/** Unknown devices that an error lists. */
const LISTED_DEVICES_MAX = 20

interface Refusal {
  readonly code: StreamErrorCode
  readonly detail: string
  readonly devices?: readonly number[]
}

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
  const { id } = parsed.data
  if (parsed.data.type === 'unsubscribe') {
    if (client.unsubscribe(id)) return
    refuse(id, { code: 'unknown-subscription', detail: `no subscription ${id} is open` })
    return
  }
  if (parsed.data.type !== 'subscribe') {
    refuse(id, { code: 'not-a-replay', detail: `subscription ${id} is live` })
    return
  }
  const scope = liveScope(client, hub, id, parsed.data.scope)
  if ('code' in scope) refuse(id, scope)
  else client.subscribe(id, scope)
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

function liveScope(client: Client, hub: Hub, id: number, scope: Scope): LiveScope | Refusal {
  const { limits, metrics, positions } = hub
  const { organizationId, grant } = client.user
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
  if (grant !== null) return { code: 'forbidden', detail: 'you may not watch the fleet' }
  if ('all' in scope) return { organizationId, slots: null }

  if (!('devices' in scope)) {
    return { code: 'invalid-area', detail: 'subscribe to all, or to devices' }
  }
  const slots = new Set<number>()
  const unknown: number[] = []
  for (const device of scope.devices) {
    const slot = positions.slotIn(organizationId, device)
    if (slot === undefined) unknown.push(device)
    else slots.add(slot)
  }
  if (unknown.length > 0) {
    const more = unknown.length > LISTED_DEVICES_MAX ? ' and more' : ''
    const devices = unknown.slice(0, LISTED_DEVICES_MAX)
    return {
      code: 'unknown-device',
      detail: `there is no device ${devices.join(', ')}${more} that you may see: nothing was subscribed`,
      devices,
    }
  }
  if (client.slotCount + slots.size > limits.devicesPerSocketMax) {
    metrics.limitMet('devicesPerSocketMax')
    return {
      code: 'too-many-devices',
      detail: `the subscriptions of a socket may name ${limits.devicesPerSocketMax} devices: subscribe to all, or to less`,
    }
  }
  return { organizationId, slots: Uint32Array.from(slots).sort() }
}
