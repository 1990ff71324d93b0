/**
 * Feeds a subscription so far behind the present: the last position of each device at that time, then what follows, as a
 * replay that never catches up. When the devices change it begins anew.
 */
import type { Logger } from 'pino'
import type { Tenant } from '../../storage/tenancy.ts'
import { batchOf } from '../log/position-rows.ts'
import { CHUNK_BYTES } from '../options.ts'
import type { Feed, Outlet } from '../subscriptions/feed.ts'
import { writeReplayCursor } from './replay-cursor.ts'
import type { ReplayFeed } from './replay-feed.ts'
import type { Replays } from './replays.ts'

/** Devices whose positions are asked for at a time. */
const DEVICES_MAX = 1_000

export interface DelayedOptions {
  readonly replays: Replays
  readonly log: Logger
  readonly outlet: Outlet
  readonly organizationId: number
  readonly delayMs: number
  /** Ids of the devices as they are now: another object when they have changed. */
  devices(): ReadonlySet<number>
  /** Whether the client wants the device. */
  wants(device: number): boolean
  /** The socket. */
  readonly socket: object
  onClosed(): void
}

/** Rows of a message. */
interface Piece {
  readonly texts: string[]
  bytes: number
}

export class DelayedFeed implements Feed {
  private readonly options: DelayedOptions
  private readonly tenant: Tenant
  /** Undefined before the first tick, with which it begins. */
  private devices: ReadonlySet<number> | undefined
  /** What was read of where they were, and is not sent yet. */
  private pieces: Piece[] = []
  private replay: ReplayFeed | undefined
  /** What was begun before is of no interest any more. */
  private generation = 0
  private announced = false
  private closed = false
  /** Where the replay begins, µs since 1970. */
  private fromUs = 0
  private isRead = false

  constructor(options: DelayedOptions) {
    this.options = options
    // Nobody in particular: the devices are named one by one.
    this.tenant = { userId: 0, organizationId: options.organizationId, role: 'viewer' }
  }

  tick(): void {
    const devices = this.options.devices()
    if (this.closed) return
    if (devices === this.devices) {
      this.replay?.tick()
      return
    }
    const { outlet } = this.options
    const left = this.wanted(this.devices ?? []).filter((device) => !devices.has(device))
    this.devices = devices
    this.replay?.close()
    this.replay = undefined
    if (left.length > 0) outlet.send({ type: 'left', id: outlet.id, devices: left })
    void this.begin(devices)
  }

  drained(): void {
    if (this.replay === undefined) this.send()
    else this.replay.drained()
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.generation++
    this.replay?.close()
    this.options.onClosed()
  }

  private wanted(devices: Iterable<number>): number[] {
    return [...devices].filter((device) => this.options.wants(device))
  }

  private async begin(devices: ReadonlySet<number>): Promise<void> {
    const generation = ++this.generation
    const { replays, delayMs, outlet, log } = this.options
    const at = new Date(Date.now() - delayMs)
    this.isRead = false
    this.pieces = []
    this.fromUs = at.getTime() * 1_000 + 1
    const ids = this.wanted(devices)
    try {
      for (let first = 0; first < ids.length; first += DEVICES_MAX) {
        const some = ids.slice(first, first + DEVICES_MAX)
        const positions = await replays.positionsAt(this.tenant, at, some)
        if (generation !== this.generation) return
        const batch = batchOf(positions)
        for (let row = 0; row < batch.length; row++) this.add(outlet.encoding.encodePosition(batch, row))
      }
    } catch (error) {
      log.warn({ err: error }, 'a delayed stream could not be read')
      if (generation === this.generation) this.fail('storage-unavailable', 'the database can not be read now')
      return
    }
    this.isRead = true
    this.send()
  }

  private add(text: string): void {
    const last = this.pieces.at(-1)
    if (last === undefined || last.bytes >= CHUNK_BYTES)
      this.pieces.push({ texts: [text], bytes: text.length })
    else {
      last.texts.push(text)
      last.bytes += text.length
    }
  }

  /** Sends where the devices were, as far as the socket takes it; then the replay begins. */
  private send(): void {
    const { outlet } = this.options
    const { encoding, id } = outlet
    if (this.closed || !this.isRead) return
    const cursor = writeReplayCursor({ beforeUs: this.fromUs })
    while (this.pieces.length > 0) {
      if (outlet.full) return
      const { texts } = this.pieces.shift()!
      const message = encoding.encodeRows(
        'positions',
        id,
        cursor,
        texts.length,
        texts.join(encoding.separator),
      )
      if (!outlet.writeRows(message, 'positions', texts.length)) return
    }
    if (!this.announced) {
      this.announced = true
      if (!outlet.send({ type: 'live', id, cursor })) return
    }
    this.follow(this.wanted(this.devices ?? []))
  }

  private follow(devices: readonly number[]): void {
    const { replays, outlet, organizationId, socket } = this.options
    const { tenant } = this
    const started = replays.start(
      {
        tenant,
        devices: () => devices,
        socket,
        from: { beforeUs: this.fromUs },
        toMs: undefined,
        speed: 1,
        events: false,
        area: null,
        delayed: true,
        deviceCount: 0,
        openLive: () => {
          throw new Error(`a delayed stream of organisation ${organizationId} became live`)
        },
        // It has the ticks of this feed.
        onOpen: () => undefined,
        onClosed: () => undefined,
      },
      outlet,
    )
    if (typeof started === 'string') this.fail('too-many-replays', 'too many streams are delayed: try later')
    else this.replay = started
  }

  private fail(code: 'storage-unavailable' | 'too-many-replays', detail: string): void {
    const { outlet } = this.options
    outlet.send({ type: 'error', id: outlet.id, code, detail })
    outlet.end()
  }
}
