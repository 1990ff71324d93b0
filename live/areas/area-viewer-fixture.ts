/** Somebody who watches the fleet of area-views-fixture.ts: the socket takes as much as it is told to. */
import type { ServerMessage, StreamRow } from '../../schemas/stream.ts'
import { encodingOf } from '../format/encoding.ts'
import { jsonFormat } from '../format/stream-format.ts'
import { readCursor } from '../log/cursor.ts'
import { LogFeed } from '../subscriptions/log-feed.ts'
import type { Device, TestScope, World } from './area-views-fixture.ts'

/** Somebody with a map: keeps the newest row of each device, and forgets devices that have left. */
export class Viewer {
  readonly organizationId: number | null
  readonly shown = new Map<number, StreamRow>()
  /** Every row that came, in order. */
  readonly rows: StreamRow[] = []
  scope: TestScope
  /** Messages that its socket takes before it has enough. */
  room = Number.POSITIVE_INFINITY
  cursor: string | undefined
  /** Whether it has got all that was before it came. */
  caughtUp = false
  private resumable = false
  readonly intervalMs: number | undefined
  private readonly world: World
  private feed: LogFeed | undefined

  constructor(world: World, organizationId: number | null, scope: TestScope, intervalMs?: number) {
    this.world = world
    this.organizationId = organizationId
    this.scope = scope
    this.intervalMs = intervalMs
  }

  get connected(): boolean {
    return this.feed !== undefined
  }

  /** Subscribes: behind the last cursor, if there is one. */
  connect(): void {
    const viewer = this
    this.caughtUp = false
    this.resumable = this.cursor !== undefined
    if (!this.resumable) this.shown.clear()
    this.feed = new LogFeed({
      hub: this.world.hub,
      outlet: {
        id: 1,
        encoding: encodingOf(jsonFormat, 'objects', true),
        organizationId: this.organizationId,
        get full() {
          return viewer.room <= 0
        },
        writeRows: (message) => this.receive(JSON.parse(message.toString())),
        send: (message) => this.receive(message),
        end: () => this.disconnect(),
      },
      filter: this.scope.open(this.organizationId),
      events: true,
      from: this.cursor === undefined ? undefined : readCursor(this.cursor),
      intervalMs: this.intervalMs,
    })
    this.feed.tick()
  }

  disconnect(): void {
    this.feed?.close()
    this.feed = undefined
    this.room = Number.POSITIVE_INFINITY
  }

  move(scope: TestScope): void {
    this.scope = scope
    // Until all of the difference has come, no cursor is one of the new scope.
    this.resumable = false
    this.cursor = undefined
    this.feed!.move(scope.open(this.organizationId))
  }

  /** The socket takes all there is. */
  drain(): void {
    this.room = Number.POSITIVE_INFINITY
    this.feed?.drained()
  }

  /** Devices that it should show, and where. */
  expected(): Map<number, readonly [number, number]> {
    const expected = new Map<number, readonly [number, number]>()
    for (const device of this.world.devices.values()) {
      if (device.last !== undefined && this.maySee(device) && this.scope.has(device)) {
        expected.set(device.id, [device.last.latitude, device.last.longitude])
      }
    }
    return expected
  }

  maySee({ organizationId, disabled }: Device): boolean {
    return !disabled && (this.organizationId === null || this.organizationId === organizationId)
  }

  private receive(message: ServerMessage): boolean {
    this.room--
    if (message.type === 'positions') {
      for (const row of message.rows) {
        this.rows.push(row)
        const before = this.shown.get(row.device)
        if (before === undefined || before.fixTime < row.fixTime) this.shown.set(row.device, row)
      }
    } else if (message.type === 'left') for (const device of message.devices) this.shown.delete(device)
    else if (message.type === 'error') throw new Error(message.detail)
    if (message.type === 'live') {
      this.caughtUp = true
      this.resumable = true
    }
    // A snapshot that is not complete can not be gone on with.
    if ('cursor' in message && this.resumable) this.cursor = message.cursor
    return true
  }
}
