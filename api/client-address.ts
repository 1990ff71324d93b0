/** Where a request comes from. */
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type { Context } from 'hono'
import type { ApiEnv } from './route.ts'

/**
 * Address of the client, for limits: of IPv6 the first half, since a client has all of a /64.
 *
 * @param trustedProxy Whether a proxy of ours stands before us: then the last address of X-Forwarded-For, which
 *   that proxy wrote, is the client's. Without one the header is the client's own word and is not read.
 * @returns 'unknown' for a request that came through no socket.
 */
export function clientAddress(c: Context<ApiEnv>, trustedProxy: boolean): string {
  const forwarded = trustedProxy ? c.req.header('X-Forwarded-For')?.split(',').at(-1)?.trim() : undefined
  if (forwarded !== undefined && isIP(forwarded) !== 0) return limitKey(forwarded)
  const { incoming } = (c.env ?? {}) as { incoming?: IncomingMessage }
  const address = incoming?.socket.remoteAddress
  return address === undefined ? 'unknown' : limitKey(address)
}

/** IPv4 as it is, also when written as IPv6; of IPv6 the first 64 bits. */
export function limitKey(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped) return mapped
  if (isIP(address) !== 6) return address
  const [before = '', after] = address.replace(/%.*$/, '').split('::')
  const head = before === '' ? [] : before.split(':')
  const tail = after === undefined || after === '' ? [] : after.split(':')
  const zeros = after === undefined ? 0 : Math.max(0, 8 - head.length - tail.length)
  const groups = [...head, ...Array<string>(zeros).fill('0'), ...tail].slice(0, 4)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}
