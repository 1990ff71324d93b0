/**
 * HTTP requests and MQTT messages as frames. A frame is bytes on every transport, so that one journal holds them
 * all: a request is its method, target, content type and idempotency key on a line each, then the body; a message is
 * its topic on a line, then the payload.
 */
import { DecodeError } from './adapter.ts'

export interface HttpRequest {
  readonly method: string
  /** Path and query as sent, such as `/?id=123&lat=…`. */
  readonly target: string
  /** Media type without parameters, lower case; '' if not given. */
  readonly contentType: string
  /** Header `Idempotency-Key` as sent; '' if not given. */
  readonly idempotencyKey?: string
  readonly body: Buffer
}

/** A request, and where its parts are in its frame. */
export interface FramedRequest extends Required<HttpRequest> {
  readonly idempotencyKeyStart: number
  readonly idempotencyKeyEnd: number
  readonly bodyStart: number
}

export interface MqttMessage {
  readonly topic: string
  readonly payload: Buffer
}

export function httpFrame(request: HttpRequest): Buffer {
  const { method, target, idempotencyKey = '', body } = request
  const contentType = request.contentType.split(';')[0]!.trim().toLowerCase()
  return Buffer.concat([
    Buffer.from(`${method}\n${target}\n${contentType}\n${idempotencyKey}\n`, 'utf8'),
    body,
  ])
}

/** @throws DecodeError if the frame is none of {@link httpFrame}. */
export function parseHttpFrame(frame: Buffer): FramedRequest {
  const [[method, target, contentType, idempotencyKey], body] = headLines(frame, 4)
  const bodyStart = frame.length - body.length
  const idempotencyKeyEnd = bodyStart - 1
  return {
    method: method!,
    target: target!,
    contentType: contentType!,
    idempotencyKey: idempotencyKey!,
    body,
    bodyStart,
    idempotencyKeyStart: frame.lastIndexOf(0x0a, idempotencyKeyEnd - 1) + 1,
    idempotencyKeyEnd,
  }
}

/** A whole HTTP/1.1 response. */
export function httpResponse(status: number, reason: string, body = ''): string {
  return `HTTP/1.1 ${status} ${reason}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

export function mqttFrame(message: MqttMessage): Buffer {
  return Buffer.concat([Buffer.from(`${message.topic}\n`, 'utf8'), message.payload])
}

/** @throws DecodeError if the frame is none of {@link mqttFrame}. */
export function parseMqttFrame(frame: Buffer): MqttMessage {
  const [[topic], payload] = headLines(frame, 1)
  return { topic: topic!, payload }
}

/** @throws DecodeError if `bytes` are not JSON. */
export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new DecodeError('malformed', `not JSON: ${(error as Error).message}`)
  }
}

/** @throws DecodeError if `bytes` are not the JSON of an object. */
export function parseJsonObject(bytes: Buffer): Record<string, unknown> {
  const value = parseJson(bytes)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DecodeError('malformed', 'the JSON is not an object')
  }
  return value as Record<string, unknown>
}

function headLines(frame: Buffer, count: number): [string[], Buffer] {
  const lines: string[] = []
  let start = 0
  for (let i = 0; i < count; i++) {
    const end = frame.indexOf(0x0a, start)
    if (end < 0) throw new DecodeError('malformed', 'the frame lacks its head lines')
    lines.push(frame.toString('utf8', start, end))
    start = end + 1
  }
  return [lines, frame.subarray(start)]
}
