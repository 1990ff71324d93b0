/**
 * Commands from the table to their devices. The database is the bus: every process hears of a command by NOTIFY, and the
 * one that has a way to the device claims it. Frames of devices without queued commands cost a look into a set.
 */
import type pg from 'pg'
import type { Logger } from 'pino'
import type { DeviceRegistry } from '../devices/devices.ts'
import type { Channel, Notifications } from '../devices/notifications.ts'
import type { IntakeSession } from '../frame-context.ts'
import type { Limits } from '../limits.ts'
import type { IngestMetrics } from '../metrics.ts'
import { CommandAnswers } from './command-answers.ts'
import { type Claim, CommandStore } from './command-store.ts'
import { type CommandWay, encodeCommand } from './command-way.ts'

/** Period of the search for commands that have expired, and for those whose claim failed, ms. */
const SWEEP_EVERY_MS = 1_000
/** Commands claimed at once for a device. */
const CLAIM_ROWS = 16
/** Claims at the same time: they share the pool with the API. */
const CLAIMS_MAX = 3

export interface CommandDeliveryOptions {
  readonly pool: pg.Pool
  readonly notifications: Notifications
  readonly devices: DeviceRegistry
  readonly engineStopSpeedKmhMax: number
  /** Positions of a device that were received before it are stored, ms since 1970-01-01T00:00Z. */
  readonly storedUntilMs: (deviceId: number) => number
  readonly limits: Limits
  readonly metrics: IngestMetrics
  readonly log: Logger
}

export class CommandDelivery implements Channel {
  readonly name = 'commands'
  private readonly store: CommandStore
  private readonly answers: CommandAnswers
  private readonly devices: DeviceRegistry
  private readonly storedUntilMs: (deviceId: number) => number
  private readonly limits: Limits
  private readonly metrics: IngestMetrics
  private readonly log: Logger
  /** Devices that may have queued commands. A device that hangs on another process stays until its next claim here. */
  private queued = new Set<number>()
  /** Devices that wait for a claim or are served, so that each has one at a time: its commands keep their order. */
  private readonly busy = new Set<number>()
  private readonly waiting = new Set<number>()
  /** Since when an engineStop could have been sent, of devices where one has to wait. */
  private readonly stopDueMs = new Map<number, number>()
  /** What became of claimed commands that were not sent, until the database has it; writing it twice changes nothing. */
  private readonly owed = new Set<() => Promise<void>>()
  private readonly running = new Set<Promise<void>>()
  private sweeping: Promise<void> | undefined
  private timer: NodeJS.Timeout | undefined
  private failing = false
  private closed = false

  constructor(options: CommandDeliveryOptions) {
    const { pool, limits, metrics, log, engineStopSpeedKmhMax } = options
    this.devices = options.devices
    this.storedUntilMs = options.storedUntilMs
    this.limits = limits
    this.metrics = metrics
    this.log = log
    this.store = new CommandStore(pool, { engineStopSpeedKmhMax, answerMs: limits.commandAnswerMs })
    this.answers = new CommandAnswers(this.store, limits, metrics, log)
    options.notifications.add(this)
  }

  /** Begins to look for what expires. */
  start(): void {
    this.timer = setInterval(() => {
      this.sweeping ??= this.sweep().finally(() => {
        this.sweeping = undefined
      })
    }, SWEEP_EVERY_MS)
  }

  /** Claims nothing more; what was claimed and could not be written is put back. */
  async close(): Promise<void> {
    this.closed = true
    clearInterval(this.timer)
    await Promise.all([this.answers.close(), this.sweeping, ...this.running])
    await this.settle().catch((error: unknown) => this.failed(error))
  }

  async read(client: pg.ClientBase): Promise<void> {
    this.queued = new Set(await CommandStore.queuedDevices(client))
    this.offerAll()
  }

  told(payload: string): void {
    const deviceId = Number(payload)
    if (!Number.isInteger(deviceId)) return
    this.queued.add(deviceId)
    this.stopDueMs.delete(deviceId)
    this.offer(deviceId)
    const traffic = this.devices.findById(deviceId)?.traffic
    if (traffic?.way === undefined && traffic?.datagramWay !== undefined) {
      this.metrics.limitMet('datagramReturnMs')
    }
  }

  /** To be called when a device has a way to it: sends what is queued for it. */
  offer(deviceId: number): void {
    if (!this.queued.has(deviceId) || this.closed || this.busy.has(deviceId)) return
    if (this.wayTo(deviceId) === undefined) return
    this.busy.add(deviceId)
    this.waiting.add(deviceId)
    this.work()
  }

  /** Takes what the last frame of a registered device says of commands. */
  answered(deviceId: number, session: IntakeSession): void {
    for (const answer of session.answers.splice(0)) this.answers.add(deviceId, answer)
  }

  private offerAll(): void {
    for (const deviceId of this.queued) this.offer(deviceId)
  }

  /** The newest way to the device by its name of now; undefined while it may not be written to. */
  private wayTo(deviceId: number): CommandWay | undefined {
    const device = this.devices.findById(deviceId)
    const way = device?.traffic.way
    return way?.session.uniqueId === device?.uniqueId ? way : undefined
  }

  private work(): void {
    for (const deviceId of this.waiting) {
      if (this.running.size >= CLAIMS_MAX) return
      this.waiting.delete(deviceId)
      const run = this.deliver(deviceId).finally(() => {
        this.busy.delete(deviceId)
        this.running.delete(run)
        this.work()
      })
      this.running.add(run)
    }
  }

  private async deliver(deviceId: number): Promise<void> {
    while (this.queued.has(deviceId) && !this.closed) {
      const way = this.wayTo(deviceId)
      if (way === undefined) return
      // Before the claim: what is queued after it is told of, and adds the device again.
      this.queued.delete(deviceId)
      try {
        const { sinceMs, session } = way
        const waits = Date.now() - sinceMs < this.limits.engineStopWaitMs
        const dueMs = this.stopDueMs.get(deviceId) ?? Date.now()
        const unstored = this.storedUntilMs(deviceId) <= Math.max(dueMs, sinceMs)
        const position = { sinceMs, waits, unstored }
        const claim = await this.store.claim(deviceId, session.commandSerial, CLAIM_ROWS, position)
        const { commands, stale, held } = claim
        const allSent = await this.send(deviceId, way, claim)
        this.failing = false
        if (stale && !waits) this.metrics.limitMet('engineStopWaitMs')
        if (held) this.stopDueMs.set(deviceId, dueMs)
        else this.stopDueMs.delete(deviceId)
        const more = commands.length === CLAIM_ROWS
        if (!allSent || more || held) this.queued.add(deviceId)
        // The sweep comes back to what waits for a position.
        if (held && !more) return
      } catch (error) {
        // The sweep comes back to it.
        this.queued.add(deviceId)
        this.failed(error)
        return
      }
    }
  }

  /** @returns Whether none had to be put back. */
  private async send(deviceId: number, way: CommandWay, claim: Claim): Promise<boolean> {
    const { session, adapter } = way
    const failures = new Map<number, string>()
    const unsent: number[] = []
    for (const command of claim.commands) {
      const { id, state, serial } = command
      if (state === 'failed') {
        this.metrics.commands.inc({ state })
        continue
      }
      const device = this.devices.findById(deviceId)
      if (device === undefined || !way.open) {
        unsent.push(id)
        continue
      }
      const encoded = encodeCommand(way, device, command)
      session.commandSerial = serial + 1
      if (!Buffer.isBuffer(encoded)) {
        failures.set(id, `${encoded.code}: ${encoded.detail.replaceAll('\0', '')}`)
        this.metrics.commands.inc({ state: 'failed' })
        if (encoded.code === 'adapter-bug') {
          this.log.error({ err: encoded.cause, protocol: adapter.id }, 'bug of an adapter: a command fails')
        }
      } else if (way.sendCommand(encoded)) this.metrics.commands.inc({ state })
      else unsent.push(id)
    }
    if (failures.size > 0) this.owed.add(() => this.store.fail(failures, claim))
    if (unsent.length > 0) this.owed.add(() => this.store.putBack(unsent, claim))
    await this.settle()
    return unsent.length === 0
  }

  private async settle(): Promise<void> {
    for (const write of this.owed) {
      await write()
      this.owed.delete(write)
    }
  }

  private async sweep(): Promise<void> {
    try {
      await this.settle()
      const { expired, queued } = await this.store.expire()
      if (expired > 0) this.metrics.commands.inc({ state: 'expired' }, expired)
      this.metrics.commandsQueued.set(queued)
      this.failing = false
    } catch (error) {
      this.failed(error)
      return
    }
    this.offerAll()
  }

  /** Not each time: while the database is away, it is asked every second. */
  private failed(error: unknown): void {
    if (!this.failing) this.log.warn({ err: error }, 'commands can not be read')
    this.failing = true
  }
}
