/**
 * Devices that someone sees who does not see the whole organisation: a driver, or who has a share link. Each set is read
 * once and shared by all sockets that it is for; when devices change it is read again.
 */
import type pg from 'pg'

/** Time that a set is kept without a socket, ms: longer than an upgrade takes. */
const UNUSED_MS = 60_000

/** Devices that are all that somebody sees: one object for all of their sockets, and always as it is now. */
export interface Grant {
  /** Another set whenever they have changed. */
  readonly devices: ReadonlySet<number>
}

interface OpenGrant {
  devices: ReadonlySet<number>
  lastUsedMs: number
}

/** Devices that came to a grant, and that went from it. */
export interface GrantChange {
  readonly grant: Grant
  readonly added: readonly number[]
  readonly removed: readonly number[]
}

/** The grants of one kind of owner. */
class GrantsOf {
  private readonly pool: pg.Pool
  private readonly sql: string
  private readonly grants = new Map<number, OpenGrant>()
  /** Counts what may have changed the grants, and how much of that they have been read after. */
  private changes = 0
  private readChanges = 0

  /** @param sql Gives `owner` and `device`, for the owners `$1`. */
  constructor(pool: pg.Pool, sql: string) {
    this.pool = pool
    this.sql = sql
  }

  /** @throws Error if the database can not be asked. */
  async of(owner: number): Promise<Grant> {
    const changesBefore = this.changes
    const devices = this.grants.has(owner) ? undefined : (await this.read([owner])).get(owner)
    const grant = this.grants.get(owner) ?? { devices: devices ?? new Set<number>(), lastUsedMs: 0 }
    this.grants.set(owner, grant)
    grant.lastUsedMs = performance.now()
    // What was told while it was read may not be in it.
    this.readChanges = Math.min(this.readChanges, changesBefore)
    return grant
  }

  changed(): void {
    this.changes++
  }

  async refresh(used: ReadonlySet<Grant>): Promise<GrantChange[]> {
    const nowMs = performance.now()
    for (const [owner, grant] of this.grants) {
      if (used.has(grant)) grant.lastUsedMs = nowMs
      else if (nowMs - grant.lastUsedMs > UNUSED_MS) this.grants.delete(owner)
    }
    const { changes, readChanges } = this
    // Not afterwards: who comes while it is read, and was read before the change, sets it back.
    this.readChanges = changes
    if (readChanges === changes || this.grants.size === 0) return []
    const owners = new Map(this.grants)
    try {
      const read = await this.read([...owners.keys()])
      return [...owners].flatMap(([owner, grant]) => replaceDevices(grant, read.get(owner) ?? new Set()))
    } catch (error) {
      this.readChanges = Math.min(this.readChanges, readChanges)
      throw error
    }
  }

  private async read(owners: readonly number[]): Promise<Map<number, Set<number>>> {
    const { rows } = await this.pool.query<{ owner: number; device: number }>(this.sql, [owners])
    const devices = new Map<number, Set<number>>()
    for (const { owner, device } of rows) devices.set(owner, (devices.get(owner) ?? new Set()).add(device))
    return devices
  }
}

function replaceDevices(grant: OpenGrant, devices: ReadonlySet<number>): GrantChange[] {
  const before = grant.devices
  const added = [...devices].filter((device) => !before.has(device))
  const removed = [...before].filter((device) => !devices.has(device))
  if (added.length + removed.length === 0) return []
  grant.devices = devices
  return [{ grant, added, removed }]
}

/** Grants of drivers, by id of the user, and of share links, by their id. */
export class Grants {
  readonly drivers: Pick<GrantsOf, 'of'>
  readonly shareLinks: Pick<GrantsOf, 'of'>
  private readonly all: readonly GrantsOf[]

  /** @param pool Of the owner of the schema. */
  constructor(pool: pg.Pool) {
    const drivers = new GrantsOf(
      pool,
      'SELECT user_id AS owner, device_id AS device FROM driver_devices WHERE user_id = ANY ($1)',
    )
    const shareLinks = new GrantsOf(
      pool,
      'SELECT share_link_id AS owner, device_id AS device FROM share_devices($1)',
    )
    this.drivers = drivers
    this.shareLinks = shareLinks
    this.all = [drivers, shareLinks]
  }

  /** To be called when a device has changed, a group or driver that it is of among it. */
  devicesChanged(): void {
    for (const grants of this.all) grants.changed()
  }

  /**
   * Reads again what may have changed, and forgets what no socket needs.
   * @param used Grants of open sockets.
   * @param onRead Called for each kind with what has changed, also if nothing has: what is read of one is told although
   *   the other could not be read.
   * @throws Error if the database can not be asked: the next call reads it, then.
   */
  async refresh(used: ReadonlySet<Grant>, onRead: (changes: readonly GrantChange[]) => void): Promise<void> {
    const reads = await Promise.allSettled(this.all.map(async (grants) => onRead(await grants.refresh(used))))
    for (const read of reads) if (read.status === 'rejected') throw read.reason
  }
}
