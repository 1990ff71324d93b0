/**
 * Device registry: every registered device in memory, kept fresh by NOTIFY. A look-up costs no query, so a frame
 * never waits for one, and an unknown device costs the database nothing.
 */
import type pg from 'pg'
import type { Logger } from 'pino'
import type { KnownDevice } from '../../device-adapters/adapter.ts'
import type { LimitName, Limits } from '../limits.ts'
import type { IngestMetrics } from '../metrics.ts'
import { DeviceTraffic } from './device-traffic.ts'
import type { Channel, Notifications } from './notifications.ts'

export interface RegisteredDevice extends KnownDevice {
  /** `devices.id`. */
  readonly id: number
  readonly uniqueId: string
  readonly organizationId: number
  /** SHA-256 of the device's password; null = none is asked. */
  readonly secretHash: Buffer | null
  /** Nothing of it is taken: {@link DeviceRegistry.find} does not find it. */
  readonly disabled: boolean
  /** Stays the same when the device is changed. */
  readonly traffic: DeviceTraffic
}

interface DeviceRow {
  id: number
  unique_id: string
  organization_id: number
  model: string
  options: Record<string, unknown>
  secret_hash: Buffer | null
  disabled: boolean
}

const SELECT = 'SELECT id, unique_id, organization_id, model, options, secret_hash, disabled FROM devices'
/** Changes read with one query; more wait for the next. */
const CHANGES_MAX = 1_000

export interface DeviceRegistryOptions {
  readonly pool: pg.Pool
  /** Tell of changes; the devices are there when they have started. */
  readonly notifications: Notifications
  readonly log: Logger
  /** Organisation of devices that register themselves; undefined = they do not. */
  readonly registerInto: number | undefined
  readonly limits: Limits
  readonly metrics: IngestMetrics
  /** Who keeps something of these devices has to ask anew, also for their groups; undefined = of all. */
  readonly onChanged?: (devices: readonly number[] | undefined) => void
}

export class DeviceRegistry implements Channel {
  readonly name = 'devices'
  private readonly options: DeviceRegistryOptions
  private readonly byUniqueId = new Map<string, RegisteredDevice>()
  private readonly uniqueIds = new Map<number, string>()
  private changed = new Set<number>()
  private reading: Promise<void> | undefined
  private registering = new Map<
    string,
    { name: string; settle: ((device: RegisteredDevice | undefined) => void)[] }
  >()
  private registrations = { minute: 0, count: 0 }
  private registrationFails = false

  constructor(options: DeviceRegistryOptions) {
    this.options = options
    options.notifications.add(this)
  }

  /** Registered devices, also those that are disabled. */
  get size(): number {
    return this.byUniqueId.size
  }

  /** The registered, enabled device of that name. */
  readonly find = (uniqueId: string): RegisteredDevice | undefined => {
    const device = this.byUniqueId.get(uniqueId)
    return device?.disabled ? undefined : device
  }

  /** The registered, enabled device of that id. */
  findById(id: number): RegisteredDevice | undefined {
    return this.find(this.uniqueIds.get(id) ?? '')
  }

  /** Whether unknown devices are registered. */
  get registersUnknown(): boolean {
    return this.options.registerInto !== undefined
  }

  /**
   * Registers an unknown device.
   * @returns The device; undefined where a limit is met, or the device is there but disabled.
   */
  register(uniqueId: string, name: string): Promise<RegisteredDevice | undefined> {
    const { limits, metrics } = this.options
    const refuse = (limit: LimitName) => metrics.limitMet(limit)
    const minute = Math.floor(Date.now() / 60_000)
    if (this.registrations.minute !== minute) this.registrations = { minute, count: 0 }
    return new Promise((resolve) => {
      const waiting = this.registering.get(uniqueId)
      if (waiting !== undefined) {
        waiting.settle.push(resolve)
        return
      }
      if (this.byUniqueId.has(uniqueId)) {
        resolve(this.find(uniqueId))
        return
      }
      if (this.size + this.registering.size >= limits.registeringDevicesMax) {
        refuse('registeringDevicesMax')
        resolve(undefined)
        return
      }
      if (++this.registrations.count > limits.registrationsPerMinuteMax) {
        refuse('registrationsPerMinuteMax')
        resolve(undefined)
        return
      }
      this.registering.set(uniqueId, { name, settle: [resolve] })
      // All of one turn of the event loop go in one statement.
      if (this.registering.size === 1) setImmediate(() => void this.insertRegistering())
    })
  }

  private async insertRegistering(): Promise<void> {
    const batch = this.registering
    this.registering = new Map()
    // In one order, or two statements with the same devices could wait for each other.
    const uniqueIds = [...batch.keys()].sort()
    try {
      const { rows } = await this.options.pool.query<DeviceRow>(
        `WITH added AS (
           INSERT INTO devices (organization_id, unique_id, name)
           SELECT $1, * FROM unnest($2::text[], $3::text[])
           ON CONFLICT (unique_id) DO NOTHING
           RETURNING id, unique_id, organization_id, model, options, secret_hash, disabled)
         SELECT * FROM added UNION ALL ${SELECT} WHERE unique_id = ANY ($2)`,
        [this.options.registerInto, uniqueIds, uniqueIds.map((uniqueId) => batch.get(uniqueId)!.name)],
      )
      for (const row of rows) this.put(row)
      this.registrationFails = false
    } catch (error) {
      // Not each time: while the database is away, devices try many times a second.
      if (!this.registrationFails) this.options.log.error({ err: error }, 'devices can not be registered')
      this.registrationFails = true
    }
    for (const [uniqueId, { settle }] of batch) for (const done of settle) done(this.find(uniqueId))
  }

  /** Reads all devices. */
  async read(client: pg.ClientBase): Promise<void> {
    const { rows } = await client.query<DeviceRow>(SELECT)
    const present = new Set(rows.map((row) => row.id))
    for (const id of [...this.uniqueIds.keys()]) if (!present.has(id)) this.remove(id)
    for (const row of rows) this.put(row)
    this.options.onChanged?.(undefined)
  }

  told(payload: string): void {
    const id = Number(payload)
    if (!Number.isInteger(id)) return
    this.changed.add(id)
    this.reading ??= this.readChanged().finally(() => {
      this.reading = undefined
    })
  }

  private async readChanged(): Promise<void> {
    while (this.changed.size > 0) {
      const ids = [...this.changed].slice(0, CHANGES_MAX)
      for (const id of ids) this.changed.delete(id)
      try {
        const { rows } = await this.options.pool.query<DeviceRow>(`${SELECT} WHERE id = ANY ($1)`, [ids])
        for (const id of ids) {
          const row = rows.find((candidate) => candidate.id === id)
          if (row === undefined) this.remove(id)
          else this.put(row)
        }
        this.options.onChanged?.(ids)
      } catch (error) {
        this.options.log.warn({ err: error }, 'changed devices could not be read')
        // The connection that told of the change is lost too, or soon: reading everything anew puts it right.
        await this.options.notifications.reconnect()
        return
      }
    }
  }

  private put(row: DeviceRow): void {
    const before = this.byUniqueId.get(this.uniqueIds.get(row.id) ?? '')
    const traffic = before?.id === row.id ? before.traffic : undefined
    this.remove(row.id)
    this.uniqueIds.set(row.id, row.unique_id)
    this.byUniqueId.set(row.unique_id, {
      id: row.id,
      uniqueId: row.unique_id,
      organizationId: row.organization_id,
      model: row.model,
      options: row.options,
      secretHash: row.secret_hash,
      disabled: row.disabled,
      traffic: traffic ?? new DeviceTraffic(this.options.limits.bytesPerSecondPerDeviceMax),
    })
  }

  private remove(id: number): void {
    const uniqueId = this.uniqueIds.get(id)
    if (uniqueId === undefined) return
    this.uniqueIds.delete(id)
    // Its name may have gone to another device meanwhile, of which was heard first.
    if (this.byUniqueId.get(uniqueId)?.id === id) this.byUniqueId.delete(uniqueId)
  }
}
