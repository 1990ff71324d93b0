/** Damaged HTTP requests and MQTT messages, as they come past the parsers of their protocols. */
import { httpFrame, mqttFrame } from '../../device-adapters/requests.ts'
import type { Message } from './corpus.ts'
import type { Damager } from './damage.ts'
import type { Random } from './random.ts'

/** Of a request line and of a topic, as the listeners take them. */
const TARGET_BYTES_MAX = 16_000
const TOPIC_BYTES_MAX = 512
const CONTENT_TYPES = [
  '',
  'application/json',
  'application/json; charset=utf-16',
  'application/x-www-form-urlencoded',
  'application/x-ndjson',
  'multipart/form-data; boundary=x',
  'text/plain',
  'APPLICATION/JSON',
]
const IDEMPOTENCY_KEYS = ['', 'k', ' ', 'ÿ'.repeat(3), 'x'.repeat(200), 'x'.repeat(4_000)]

export function damagedRequest(message: Message, damager: Damager, random: Random, bytesMax: number): Buffer {
  let { method, target, bytes, contentType, idempotencyKey } = message
  const all = random.once(4)
  if (all || bytes.length === 0 || random.once(4)) {
    const damaged = damager.damage(Buffer.from(target), TARGET_BYTES_MAX)
    // What no request line can hold does not come past the parser.
    target = damaged.toString('latin1').replace(/[\0-\x20\x7f]/g, '%0A')
  }
  if (all || (bytes.length > 0 && !random.once(4))) bytes = damager.damage(bytes, bytesMax)
  if (random.once(8)) contentType = random.pick(CONTENT_TYPES)
  if (random.once(8)) idempotencyKey = random.pick(IDEMPOTENCY_KEYS)
  if (random.once(16)) method = 'PUT'
  // A form in the body, as clients that post send it.
  if (bytes.length === 0 && random.once(8)) {
    const query = target.indexOf('?')
    bytes = Buffer.from(target.slice(query + 1), 'latin1')
    target = random.pick(['/', '/?', '', '*', target.slice(0, query)])
  }
  return httpFrame({ method, target, contentType, idempotencyKey, body: bytes })
}

export function damagedMessage(message: Message, damager: Damager, random: Random, bytesMax: number): Buffer {
  let { topic, bytes } = message
  if (random.once(4)) {
    // The broker refuses control characters.
    topic = damager
      .damage(Buffer.from(topic), TOPIC_BYTES_MAX)
      .toString()
      .replace(/\p{Cc}/gu, '')
  }
  if (!random.once(8)) bytes = damager.damage(bytes, bytesMax)
  return mqttFrame({ topic, payload: bytes })
}
