/** Options of the stream, and its limits with their defaults. */
import { SCOPE_DEVICES_MAX } from '../schemas/stream.ts'
import type { BusAddress } from '../storage/redis/bus-address.ts'
import { LiveError } from './live-error.ts'

/**
 * Limits: every one has a name, a unit and a default, and counts in `fleetflow_stream_limits_total{limit}`; what is kept in
 * memory is a gauge, too.
 *
 * What live takes of memory is bounded by them, whatever clients do: a socket `closeSocketBytes` at most, and no
 * more than `slowSocketBytes` and a chunk as long as it asks for nothing; the newest rows some 330 bytes each, and
 * as much again for those that are encoded; pages likewise; and the last position of each device twice. Ten thousand
 * sockets that all stall at once are 1.6 GB until they are closed; the kernel's buffers come on top.
 */
export const LIVE_LIMITS = {
  /** Open sockets, and upgrades under way; one more is answered 503. */
  socketsMax: 10_000,
  /** Of them, sockets of one user, so that nobody keeps all others out. One more is answered 503. */
  socketsPerUserMax: 2_000,
  /** Of them, sockets of one share link: whoever has it may be anybody. One more is answered 503. */
  socketsPerShareLinkMax: 500,
  subscriptionsPerSocketMax: 16,
  /** Devices that all subscriptions of a socket name together. */
  devicesPerSocketMax: 2 * SCOPE_DEVICES_MAX,
  /** Bytes of one message of a client; a longer one closes its socket. */
  messageBytesMax: 131_072,
  /** Messages of a client in one second; more close its socket. */
  messagesPerSecondMax: 20,
  /** Bytes that a socket may hold unsent before its positions are conflated. */
  slowSocketBytes: 131_072,
  /** Time that a socket may stay at {@link slowSocketBytes} before it is closed, ms. */
  slowSocketTimeoutMs: 30_000,
  /** Bytes that a socket may hold unsent, replies and all; what would go beyond closes it. */
  closeSocketBytes: 262_144,
  /** Replays of all users. */
  replaysMax: 256,
  /** Subscriptions of share links that are behind the present: each reads as a replay does. */
  delayedMax: 256,
  /** Of either. */
  replaysPerSocketMax: 4,
  /** Rows of some 500 bytes that all replays together read ahead; one may have 500, however many there are. */
  replayRowsAhead: 400_000,
  /** Newest rows and events kept in memory, for who comes back or is slow; what is older is read from storage. */
  rowsKept: 262_144,
  /** Rows and events of a page of storage, about, and pages kept for all who go on from an old cursor. */
  resumePageRows: 4_096,
  resumePagesMax: 32,
  /** Rows and events that wait for a commit before theirs; more are left out, and read from storage. */
  waitingRowsMax: 65_536,
  /** Time without a byte in either direction, pings included, after which a socket is closed, s: 8 to 960. */
  idleTimeoutS: 120,
} as const

export type LiveLimits = { readonly [Name in keyof typeof LIVE_LIMITS]: number }

/** Time in which positions are gathered into one message a subscription, ms. */
export const TICK_MS = 50

/** How often subscriptions that have a clock are looked at, ms. */
export const CLOCK_MS = 50

/** Time after which it is checked again who the users of open sockets are and what they may see, ms. */
export const USER_CHECK_MS = 2_000

/**
 * Bytes of rows that a `positions` message is filled up to. With {@link LiveLimits.slowSocketBytes} it bounds what a
 * socket holds; the kernel's own buffer comes on top.
 */
export const CHUNK_BYTES = 32_768

export interface LiveOptions {
  readonly host: string
  /** 0 = any free one. */
  readonly port: number
  /** Whether other processes may listen on the port, too, each of which gets some of the clients; false by default. */
  readonly portShared?: boolean
  /** Origins of the pages that may connect, such as `https://fleet.example`; clients that are no browser send none. */
  readonly allowedOrigins: readonly string[]
  /** Connection string of the owner of the schema. */
  readonly databaseUrl: string
  /** Secret that access tokens are signed with. */
  readonly jwtSecret: string
  /** {@link TICK_MS} by default; 0 = every batch at once. */
  readonly tickMs?: number
  /** {@link USER_CHECK_MS} by default. */
  readonly userCheckMs?: number
  /** Level of the log, as pino names it; `info` by default. */
  readonly logLevel?: string
  readonly limits?: Partial<LiveLimits>
  /** Of a route that sends every message back, for tests of the protocol; none by default. */
  readonly echoPath?: string
  /** Redis, over which processes of ingest tell what they have stored; none by default. */
  readonly bus?: { readonly redisUrl: string; readonly address: BusAddress } | undefined
}

/** @throws LiveError `wrong-options` if the limits contradict each other. */
export function limitsOf(options: LiveOptions): LiveLimits {
  const limits: LiveLimits = { ...LIVE_LIMITS, ...options.limits }
  const { slowSocketBytes, closeSocketBytes, idleTimeoutS } = limits
  // A socket just below the first limit may be given one more message, and must not be closed for it.
  if (closeSocketBytes < slowSocketBytes + 2 * CHUNK_BYTES) {
    throw new LiveError(
      'wrong-options',
      `closeSocketBytes is ${closeSocketBytes}: it must exceed slowSocketBytes, ${slowSocketBytes}, by ${2 * CHUNK_BYTES}`,
    )
  }
  if (idleTimeoutS < 8 || idleTimeoutS > 960) {
    throw new LiveError('wrong-options', `idleTimeoutS is ${idleTimeoutS}: it must be 8 to 960`)
  }
  return limits
}
