/**
 * Clients of the stream, a process of their own: each subscribes once and then goes on from its last cursor, is dropped at
 * random and comes back later, and remembers what it got. It is never killed.
 */
import { WebSocket } from 'ws'
import {
  type ClientMessage,
  type ServerMessage,
  STREAM_PATH,
  STREAM_PROTOCOLS,
} from '../../schemas/stream.ts'
import { seededRandom } from '../seeded-random.ts'

export interface StreamClientsOptions {
  readonly clients: number
  /** Ids of the devices, by their place in the fleet. */
  readonly devices: readonly number[]
  /** Time of the first record of each, ms UTC. */
  readonly startsMs: readonly number[]
  readonly apiUrl: string
  readonly streamUrl: string
  readonly email: string
  readonly password: string
  readonly seed: number
  /** How long a client stays, and how long it stays away, ms. */
  readonly stayMs: Range
  readonly awayMs: Range
}

export interface Range {
  readonly min: number
  readonly max: number
}

export interface StreamProgress {
  /** Clients that have caught up, and are connected. */
  readonly live: number
  readonly rows: number
  readonly events: number
  /** Connections that we ended, and that ended otherwise. */
  readonly drops: number
  readonly losses: number
  /** Times that a client was told that something was left out, and asked for it anew. */
  readonly lagging: number
  /** Least and greatest number of rows that a client has that subscribes to all. */
  readonly rowsOfAll: readonly [least: number, most: number]
}

/** What a client has at the end. */
export interface ClientUnion {
  /** Places in the fleet of the devices that it subscribes to; null = all. */
  readonly scope: readonly number[] | null
  /** For each device of the fleet, its records as bits, base64. */
  readonly records: readonly string[]
  readonly events: readonly number[]
}

/** From the parent: drop clients from now on; drop nobody any more; tell what each has. */
export type ToStreamClients = 'drop' | 'settle' | 'tell'
export type FromStreamClients =
  | { readonly kind: 'progress'; readonly progress: StreamProgress; readonly faults: readonly string[] }
  | { readonly kind: 'union'; readonly index: number; readonly union: ClientUnion }
  | { readonly kind: 'told' }

const STEP_MS = 1000
const PROGRESS_MS = 200
const RETRY_MS: Range = { min: 300, max: 1500 }
const HANDSHAKE_TIMEOUT_MS = 20_000
const FAULTS_MAX = 20
/** A client in so many subscribes to a few devices, the others to all. */
const NARROW_EVERY = 2
const NARROW_DEVICES = 5
const RECORDS_MIN = 1024

const options = JSON.parse(process.argv[2]!) as StreamClientsOptions
process.once('disconnect', () => process.exit(1))

const random = seededRandom(options.seed)
const between = ({ min, max }: Range) => min + random() * (max - min)
const placeOf = new Map(options.devices.map((id, place) => [id, place]))
const faults: string[] = []
let dropping = false
let drops = 0
let losses = 0
let laggings = 0
let token: Promise<string> | undefined

function fault(text: string): void {
  if (faults.length < FAULTS_MAX) faults.push(text)
}

/** One log-in for all; asked for again while the API is away. */
async function logIn(): Promise<string> {
  const { apiUrl, email, password } = options
  const response = await fetch(`${apiUrl}/api/v1/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password }),
  })
  if (!response.ok) throw new Error(`log-in: ${response.status}`)
  return ((await response.json()) as { accessToken: string }).accessToken
}

class StreamClient {
  readonly scope: readonly number[] | null
  rows = 0
  live = false
  readonly events = new Set<number>()
  private readonly index: number
  private readonly records: Uint8Array[] = options.devices.map(() => new Uint8Array(RECORDS_MIN / 8))
  private cursor: string | undefined
  private subscription = 0
  private columns: readonly string[] = []
  private eventColumns: readonly string[] = []

  constructor(index: number) {
    this.index = index
    const first = Math.floor(random() * options.devices.length)
    this.scope =
      index % NARROW_EVERY === 0
        ? null
        : Array.from({ length: NARROW_DEVICES }, (_, i) => (first + i) % options.devices.length)
  }

  async run(): Promise<never> {
    for (;;) {
      const ours = await this.stay().catch(() => false)
      this.live = false
      if (ours) drops++
      else losses++
      await new Promise((resolve) => setTimeout(resolve, between(ours ? options.awayMs : RETRY_MS)))
    }
  }

  union(): ClientUnion {
    return {
      scope: this.scope,
      records: this.records.map((bits) => Buffer.from(bits).toString('base64')),
      events: [...this.events],
    }
  }

  /** @returns Whether it was we who ended the connection. */
  private async stay(): Promise<boolean> {
    token ??= logIn()
    const bearer = await token.catch((error: Error) => {
      token = undefined
      throw error
    })
    const socket = new WebSocket(options.streamUrl + STREAM_PATH, STREAM_PROTOCOLS.json, {
      headers: { authorization: `Bearer ${bearer}` },
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      perMessageDeflate: false,
    })
    let ours = false
    let timer: NodeJS.Timeout | undefined
    return await new Promise((resolve) => {
      socket.on('error', () => undefined)
      socket.on('close', () => {
        clearTimeout(timer)
        resolve(ours)
      })
      socket.on('open', () => {
        this.subscribe(socket)
        const leave = () => {
          if (dropping) {
            ours = true
            socket.terminate()
          } else timer = setTimeout(leave, between(options.stayMs))
        }
        timer = setTimeout(leave, between(options.stayMs))
      })
      // What comes after the end is not taken, as by a client that is gone.
      socket.on('message', (bytes) => {
        if (!ours) this.take(socket, JSON.parse(String(bytes)) as ServerMessage)
      })
    })
  }

  private subscribe(socket: WebSocket): void {
    const scope =
      this.scope === null
        ? { all: true as const }
        : { devices: this.scope.map((place) => options.devices[place]!) }
    const message: ClientMessage = {
      type: 'subscribe',
      id: ++this.subscription,
      scope,
      rows: 'arrays',
      ...(this.cursor === undefined ? {} : { from: this.cursor }),
    }
    socket.send(JSON.stringify(message))
  }

  private take(socket: WebSocket, message: ServerMessage): void {
    if ('id' in message && message.id !== this.subscription) return
    switch (message.type) {
      case 'header':
        this.columns = message.positions
        this.eventColumns = message.events
        return
      case 'positions': {
        const device = this.columns.indexOf('device')
        const fixTime = this.columns.indexOf('fixTimeMs')
        for (const row of message.rows as unknown as number[][]) this.add(row[device]!, row[fixTime]!)
        this.cursor = message.cursor
        return
      }
      case 'events': {
        const id = this.eventColumns.indexOf('id')
        for (const row of message.rows as unknown as number[][]) this.addEvent(row[id]!)
        this.cursor = message.cursor
        return
      }
      case 'live':
        this.live = true
        this.cursor = message.cursor
        return
      case 'lagging':
        laggings++
        this.live = false
        socket.send(JSON.stringify({ type: 'unsubscribe', id: this.subscription }))
        this.subscribe(socket)
        return
      case 'error':
        if (message.code === 'storage-unavailable') socket.terminate()
        else fault(`client ${this.index}: ${message.code}: ${message.detail}`)
        return
      default:
    }
  }

  private add(device: number, fixTimeMs: number): void {
    const place = placeOf.get(device)
    const record = place === undefined ? -1 : (fixTimeMs - options.startsMs[place]!) / STEP_MS
    if (place === undefined || !Number.isInteger(record) || record < 0) {
      fault(`client ${this.index}: a row of device ${device} at ${fixTimeMs} that was never made`)
      return
    }
    if (this.scope !== null && !this.scope.includes(place))
      fault(`client ${this.index}: a row outside its scope`)
    let bits = this.records[place]!
    while (bits.length * 8 <= record) {
      const more = new Uint8Array(bits.length * 2)
      more.set(bits)
      bits = more
    }
    this.records[place] = bits
    const bit = 1 << (record & 7)
    if ((bits[record >> 3]! & bit) !== 0)
      fault(`client ${this.index}: record ${record} of device ${place} twice`)
    bits[record >> 3]! |= bit
    this.rows++
  }

  private addEvent(id: number): void {
    if (this.events.has(id)) fault(`client ${this.index}: event ${id} twice`)
    this.events.add(id)
  }
}

const clients = Array.from({ length: options.clients }, (_, index) => new StreamClient(index))
for (const client of clients) void client.run()

const send = (message: FromStreamClients) => process.send!(message)
const sum = (of: (client: StreamClient) => number) => clients.reduce((total, client) => total + of(client), 0)

setInterval(() => {
  const rowsOfAll = clients.filter(({ scope }) => scope === null).map(({ rows }) => rows)
  send({
    kind: 'progress',
    faults,
    progress: {
      live: sum(({ live }) => Number(live)),
      rows: sum(({ rows }) => rows),
      events: sum(({ events }) => events.size),
      drops,
      losses,
      lagging: laggings,
      rowsOfAll: [Math.min(...rowsOfAll), Math.max(...rowsOfAll)],
    },
  })
}, PROGRESS_MS)

process.on('message', (message: ToStreamClients) => {
  if (message !== 'tell') {
    dropping = message === 'drop'
    return
  }
  for (const [index, client] of clients.entries()) send({ kind: 'union', index, union: client.union() })
  send({ kind: 'told' })
})
