/** Who may have a socket: so many at all, and so many of each user and share link, so that nobody takes all. */
import type { LiveLimits } from '../options.ts'
import type { StreamUser } from './authorise.ts'

type PlaceLimits = Pick<LiveLimits, 'socketsMax' | 'socketsPerUserMax' | 'socketsPerShareLinkMax'>

export class Places {
  private readonly limits: PlaceLimits
  private readonly onLimit: (limit: keyof PlaceLimits) => void
  /** Sockets, upgrades under way, and closed sockets that still hold what they did not send. */
  private taken = 0
  /** Open sockets by user or link. */
  private readonly open = new Map<string, number>()

  /** @param onLimit Told of each limit that keeps somebody out. */
  constructor(limits: PlaceLimits, onLimit: (limit: keyof PlaceLimits) => void) {
    this.limits = limits
    this.onLimit = onLimit
  }

  /** Takes a place, whosever it will be. @returns Whether there is one. */
  enter(): boolean {
    if (this.taken >= this.limits.socketsMax) {
      this.onLimit('socketsMax')
      return false
    }
    this.taken++
    return true
  }

  /** Gives a place back. */
  leave(): void {
    this.taken--
  }

  /** Whether one more socket of the user may be opened. */
  admits(user: StreamUser): boolean {
    const limit = user.kind === 'share' ? 'socketsPerShareLinkMax' : 'socketsPerUserMax'
    if ((this.open.get(keyOf(user)) ?? 0) < this.limits[limit]) return true
    this.onLimit(limit)
    return false
  }

  opened(user: StreamUser): void {
    const key = keyOf(user)
    this.open.set(key, (this.open.get(key) ?? 0) + 1)
  }

  closed(user: StreamUser): void {
    const key = keyOf(user)
    const left = this.open.get(key)! - 1
    if (left === 0) this.open.delete(key)
    else this.open.set(key, left)
  }
}

function keyOf(user: StreamUser): string {
  return user.kind === 'share' ? `link ${user.shareLinkId}` : `user ${user.userId}`
}
