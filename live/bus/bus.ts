/**
 * Live's end of the bus: what comes over Redis goes into the stream, and while Redis can not be used every client is told
 * that positions come late. They come nevertheless: the stream reads the database once a second.
 */
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Commit } from '../../schemas/live-port.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import type { ServerMessage } from '../../schemas/stream.ts'
import type { BusAddress } from '../../storage/redis/bus-address.ts'
import { type Subscriber, subscribe } from './subscriber.ts'

export type StatusMessage = Extract<ServerMessage, { readonly type: 'status' }>

const WHOLE: StatusMessage = {
  type: 'status',
  delayed: false,
  detail: 'Positions come at once again; none is missing.',
}
const DELAYED: StatusMessage = {
  type: 'status',
  delayed: true,
  detail: 'Positions come up to some seconds late: the way from ingest is interrupted. None is lost.',
}

export interface BusOptions {
  readonly redisUrl: string
  readonly address: BusAddress
  /** Takes what was stored, in any order. */
  receive(batch: PositionBatch | null, commits: readonly Commit[]): void
  /** Reads from the database what did not come; resolves when it is there. */
  catchUp(): Promise<void>
  /** Takes what clients are to be told. */
  tell(status: StatusMessage): void
  readonly log: Logger
  readonly registry: Registry
}

export class Bus {
  private readonly subscriber: Subscriber
  private readonly options: BusOptions
  private delayed = false
  private up = true

  constructor(options: BusOptions) {
    this.options = options
    const { receive } = options
    this.subscriber = subscribe({
      ...options,
      onStored: ({ batch, commits }) => receive(batch && PositionBatch.fromMessage(batch), commits),
      onChange: (up) => void this.changed(up),
    })
  }

  /** What a client is to be told that has just come; undefined = nothing. */
  get greeting(): StatusMessage | undefined {
    return this.delayed ? DELAYED : undefined
  }

  close(): void {
    this.subscriber.close()
  }

  private async changed(up: boolean): Promise<void> {
    this.up = up
    // Not before what was missed is there.
    if (up) await this.options.catchUp()
    // It may be gone again by now.
    if (this.up !== up || this.delayed === !up) return
    this.delayed = !up
    this.options.tell(up ? WHOLE : DELAYED)
  }
}
