/**
 * Open sockets are looked at every few seconds: whether their users may still be here, and what they may see now. So a
 * log-out, the theft of a refresh token, a change of user or password and the end of a share link reach them.
 */
import type pg from 'pg'
import type { Logger } from 'pino'
import { STREAM_CLOSE } from '../../schemas/stream.ts'
import { holding, type StreamUser } from './authorise.ts'
import type { Grant, GrantChange, Grants } from './grants.ts'

/** What is checked of a socket. */
export interface CheckedSocket {
  readonly user: StreamUser
  close(code: number, reason: string): void
}

export interface UserChecksOptions {
  readonly pool: pg.Pool
  readonly grants: Grants
  readonly sockets: ReadonlySet<CheckedSocket>
  readonly intervalMs: number
  readonly log: Logger
  /** Called twice with each check: what came to the grants of sockets and went from them, if anything. */
  onGrants(changes: readonly GrantChange[]): void
}

/** Checks until it is stopped: one check at a time. */
export class UserChecks {
  private readonly options: UserChecksOptions
  private timer: NodeJS.Timeout
  private stopped = false

  constructor(options: UserChecksOptions) {
    this.options = options
    this.timer = this.later()
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
  }

  private later(): NodeJS.Timeout {
    return setTimeout(async () => {
      try {
        await this.check()
      } catch (error) {
        this.options.log.warn({ err: error }, 'the users of open sockets could not be checked')
      }
      if (!this.stopped) this.timer = this.later()
    }, this.options.intervalMs)
  }

  private async check(): Promise<void> {
    const { pool, grants, sockets, onGrants } = this.options
    const checked = [...sockets]
    if (checked.length > 0) {
      const holds = await holding(
        pool,
        checked.map(({ user }) => user),
      )
      for (const socket of checked) {
        if (!holds.has(socket.user)) socket.close(STREAM_CLOSE.policy, ENDED[socket.user.kind])
      }
    }
    const used = new Set(checked.flatMap(({ user }): Grant[] => (user.grant === null ? [] : [user.grant])))
    await grants.refresh(used, (changes) => {
      if (!this.stopped) onGrants(changes)
    })
  }
}

const ENDED = {
  user: 'the session has ended or the user has changed: log in again',
  share: 'the link has ended',
} as const
