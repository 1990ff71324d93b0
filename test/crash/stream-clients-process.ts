/** Clients of the stream, seen from the runner, and what they must have got: all that the table has, once. */
import type pg from 'pg'
import { type FleetDevice, numberOf } from './fleet.ts'
import { PartProcess } from './part-process.ts'
import type {
  ClientUnion,
  FromStreamClients,
  StreamClientsOptions,
  StreamProgress,
  ToStreamClients,
} from './stream-clients.ts'

export interface StreamVerdict {
  readonly clients: number
  /** Rows and events that all clients together got. */
  readonly rows: number
  readonly events: number
  readonly drops: number
  readonly losses: number
  readonly lagging: number
  /** What a client did not get, got twice or should not have got. */
  readonly faults: readonly string[]
}

const FAULTS_MAX = 20

export class StreamClients {
  progress: StreamProgress | undefined
  private faults: readonly string[] = []
  private readonly process: PartProcess<ToStreamClients, FromStreamClients>
  private readonly clients: number
  private readonly unions: ClientUnion[] = []
  private told = false

  /** Starts them from dist/; they connect as soon as there is something to connect to. */
  constructor(options: StreamClientsOptions) {
    this.clients = options.clients
    const part = { file: 'stream-clients', title: 'the clients of the stream', options }
    this.process = new PartProcess(part, (message) => {
      if (message.kind === 'progress') {
        this.progress = message.progress
        this.faults = message.faults
      } else if (message.kind === 'union') this.unions[message.index] = message.union
      else this.told = true
    })
  }

  /** Drops clients from now on. */
  drop(): void {
    this.process.tell('drop')
  }

  /** Waits until all have caught up. */
  allLive(timeoutMs: number): Promise<void> {
    return this.until(() => this.progress?.live === this.clients, timeoutMs, 'all live')
  }

  /** Drops nobody any more, and waits until all have caught up and those that subscribe to all have the same. */
  async settle(timeoutMs: number): Promise<void> {
    this.process.tell('settle')
    await this.allLive(timeoutMs)
    await this.until(
      () => {
        const [least, most] = this.progress!.rowsOfAll
        return least === most
      },
      timeoutMs,
      'with the same rows',
    )
  }

  /** Compares what each has with the tables, which must not change meanwhile. */
  async verify(
    client: pg.ClientBase,
    fleet: readonly FleetDevice[],
    devices: readonly number[],
  ): Promise<StreamVerdict> {
    this.process.tell('tell')
    await this.until(() => this.told, 60_000, 'heard')
    const expected = await expectedOf(client, fleet, devices)
    const faults = [...this.faults]
    for (const [index, union] of this.unions.entries()) {
      if (faults.length >= FAULTS_MAX) break
      faults.push(...differences(union, expected).map((text) => `client ${index}: ${text}`))
    }
    const { rows, events, drops, losses, lagging } = this.progress!
    return { clients: this.clients, rows, events, drops, losses, lagging, faults }
  }

  end(): Promise<void> {
    return this.process.end()
  }

  private until(met: () => boolean, timeoutMs: number, what: string): Promise<void> {
    const state = () => `${JSON.stringify(this.progress)} ${this.faults.join('; ')}`
    return this.process.until(met, timeoutMs, what, state)
  }
}

/** Undoubted rows and the events of the tables, by place of the device in the fleet. */
interface Expected {
  readonly records: readonly ReadonlySet<number>[]
  readonly events: readonly ReadonlySet<number>[]
}

async function expectedOf(
  client: pg.ClientBase,
  fleet: readonly FleetDevice[],
  devices: readonly number[],
): Promise<Expected> {
  const records = fleet.map(() => new Set<number>())
  const events = fleet.map(() => new Set<number>())
  for (const [place, device] of fleet.entries()) {
    const { rows } = await client.query<{ fix_ms: number }>(
      `SELECT (extract(epoch FROM fix_time) * 1000)::float8 AS fix_ms FROM positions WHERE device_id = $1 AND quality = 0`,
      [devices[place]],
    )
    for (const { fix_ms } of rows) records[place]!.add(numberOf(device, fix_ms)!)
    const found = await client.query<{ id: number }>(
      'SELECT id::float8 AS id FROM events WHERE device_id = $1',
      [devices[place]],
    )
    for (const { id } of found.rows) events[place]!.add(id)
  }
  return { records, events }
}

function differences(union: ClientUnion, expected: Expected): string[] {
  const found: string[] = []
  const events = new Set<number>()
  for (const [place, wanted] of expected.records.entries()) {
    const mine = union.scope === null || union.scope.includes(place)
    const bits = Buffer.from(union.records[place]!, 'base64')
    const missing: number[] = []
    if (mine) {
      for (const record of wanted)
        if (((bits[record >> 3] ?? 0) & (1 << (record & 7))) === 0) missing.push(record)
      for (const id of expected.events[place]!) events.add(id)
    }
    const got = bits.reduce((count, byte) => count + bitsOf(byte), 0)
    const more = got - (mine ? wanted.size - missing.length : 0)
    if (missing.length > 0) {
      found.push(
        `${missing.length} records of device ${place} are missing, such as ${missing.slice(0, 5).join(', ')}`,
      )
    }
    if (more > 0) found.push(`${more} records of device ${place} are not in the table`)
  }
  const got = new Set(union.events)
  const missing = [...events].filter((id) => !got.has(id))
  const more = [...got].filter((id) => !events.has(id))
  if (missing.length > 0)
    found.push(`${missing.length} events are missing, such as ${missing.slice(0, 5).join(', ')}`)
  if (more.length > 0)
    found.push(`${more.length} events are not in the table, such as ${more.slice(0, 5).join(', ')}`)
  return found
}

function bitsOf(byte: number): number {
  let count = 0
  for (let rest = byte; rest !== 0; rest &= rest - 1) count++
  return count
}
