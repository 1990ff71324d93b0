/**
 * A connection to Redis that is only up while Redis answers: it is asked every second, what does not answer is given up and
 * connected anew, for as long as it takes. What is sent meanwhile fails at once, and is not kept.
 *
 * Errors of the client hold the command with its arguments, which may be a password: only their messages go into the log.
 */
import { Redis } from 'ioredis'
import type { Logger } from 'pino'

const PROBE_MS = 1_000
/** Without a byte for so long although an answer is due, the connection is given up, ms. */
const SILENCE_TIMEOUT_MS = 3_000
const CONNECT_TIMEOUT_MS = 3_000
const RETRY_MS_MIN = 100
const RETRY_MS_MAX = 1_000

export interface RedisLinkOptions {
  /** `redis:` or `rediss:`, with user and password where needed. */
  readonly url: string
  /** Shown by Redis in CLIENT LIST; without spaces. */
  readonly name: string
  /** Makes a new connection ready for use, and throws if it can not be used; called again for each. */
  readonly prepare?: (redis: Redis) => Promise<unknown>
  /** Asked every second: throws if the connection can not be used. */
  readonly probe: (redis: Redis) => Promise<unknown>
  /** Called when it becomes usable, and when it no longer is; the first time when either is known. */
  readonly onChange: (up: boolean) => void
  readonly log: Logger
}

export class RedisLink {
  /** Whether Redis answered last time, and the connection stands since. */
  up = false
  readonly redis: Redis
  private readonly options: RedisLinkOptions
  private readonly timer: NodeJS.Timeout
  private known = false
  private reason = ''
  private probing = false
  private closed = false

  constructor(options: RedisLinkOptions) {
    this.options = options
    this.redis = new Redis(options.url, {
      connectionName: options.name,
      connectTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: SILENCE_TIMEOUT_MS,
      retryStrategy: (times) => Math.min(RETRY_MS_MIN * times, RETRY_MS_MAX),
      enableOfflineQueue: false,
      enableReadyCheck: false,
      disableClientInfo: true,
      autoResubscribe: false,
      autoResendUnfulfilledCommands: false,
      // What is under way when the connection is lost fails then.
      maxRetriesPerRequest: 0,
    })
    this.redis.on('error', (error: Error) => this.failed(error))
    this.redis.on('close', () => this.failed(new Error('connection lost')))
    this.redis.on('ready', () => void this.check(options.prepare))
    this.timer = setInterval(() => {
      if (this.redis.status === 'ready' && !this.probing)
        void this.check(this.up ? undefined : options.prepare)
    }, PROBE_MS)
  }

  /** Ends the connection, also one that does not answer. */
  close(): void {
    this.closed = true
    clearInterval(this.timer)
    this.redis.disconnect()
    this.redis.stream?.destroy()
  }

  private async check(prepare: ((redis: Redis) => Promise<unknown>) | undefined): Promise<void> {
    this.probing = true
    try {
      await prepare?.(this.redis)
      await this.options.probe(this.redis)
      this.change(true, '')
    } catch (error) {
      this.failed(error as Error)
    } finally {
      this.probing = false
    }
  }

  private failed(error: Error): void {
    // What follows from the loss of a connection says less than what led to it.
    const reason = error.message
    const isNews = this.up || !this.known || (reason !== this.reason && !isConsequence(reason))
    if (isNews && !this.closed) {
      this.options.log.warn({ reason }, 'Redis can not be used now; positions are not lost by that')
      this.reason = reason
    }
    this.change(false, reason)
  }

  private change(up: boolean, reason: string): void {
    if (this.closed || (this.known && up === this.up)) return
    this.known = true
    this.up = up
    this.reason = reason
    if (up) this.options.log.info('Redis can be used')
    this.options.onChange(up)
  }
}

function isConsequence(message: string): boolean {
  return /^(connection lost|Connection is closed|Stream isn't writeable|Reached the max retries)/.test(
    message,
  )
}
