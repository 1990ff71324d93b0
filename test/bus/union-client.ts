/**
 * A client of the stream that wants every row: it goes on from its last cursor, at the next address, whatever ends its
 * connection, and remembers what it got.
 */
import { WebSocket } from 'ws'
import {
  type ClientMessage,
  type ServerMessage,
  STREAM_PATH,
  STREAM_PROTOCOLS,
} from '../../schemas/stream.ts'

const RETRY_MS = 100

export class UnionClient {
  /** Rows that it got, `DEVICE/FIX TIME, ms`, in their order. */
  readonly rows: string[] = []
  /** What it was told of delays, in their order. */
  readonly delays: boolean[] = []
  readonly faults: string[] = []
  /** Rows of the first snapshot, by device. */
  readonly first = new Map<number, number>()
  live = false
  connections = 0
  private readonly urls: readonly string[]
  private readonly token: string
  private cursor: string | undefined
  private socket: WebSocket | undefined
  private closed = false
  private subscription = 0

  /** @param urls Where processes of live are; it begins at the first. */
  constructor(urls: readonly string[], token: string) {
    this.urls = urls
    this.token = token
    this.connect()
  }

  close(): void {
    this.closed = true
    this.socket?.terminate()
  }

  private connect(): void {
    const url = this.urls[this.connections++ % this.urls.length]!
    const socket = new WebSocket(url + STREAM_PATH, STREAM_PROTOCOLS.json, {
      headers: { authorization: `Bearer ${this.token}` },
    })
    this.socket = socket
    socket.on('error', () => undefined)
    socket.on('open', () => this.subscribe())
    socket.on('message', (bytes) => this.take(JSON.parse(String(bytes)) as ServerMessage))
    socket.on('close', () => {
      this.live = false
      if (!this.closed) setTimeout(() => this.closed || this.connect(), RETRY_MS)
    })
  }

  private subscribe(): void {
    const from = this.cursor === undefined ? {} : { from: this.cursor }
    this.send({ type: 'subscribe', id: ++this.subscription, scope: { all: true }, ...from })
  }

  private send(message: ClientMessage): void {
    this.socket!.send(JSON.stringify(message))
  }

  private take(message: ServerMessage): void {
    if ('id' in message && message.id !== this.subscription) return
    switch (message.type) {
      case 'positions':
        for (const { device, fixTime } of message.rows) this.add(device, Date.parse(fixTime))
        this.cursor = message.cursor
        return
      case 'live':
        this.live = true
        this.cursor = message.cursor
        return
      case 'status':
        this.delays.push(message.delayed)
        return
      case 'lagging':
        // It wants all: what was left out is asked for.
        this.send({ type: 'unsubscribe', id: this.subscription })
        this.subscribe()
        return
      case 'error':
        this.faults.push(`${message.code}: ${message.detail}`)
        return
      default:
    }
  }

  private add(device: number, fixTimeMs: number): void {
    if (!this.first.has(device)) this.first.set(device, fixTimeMs)
    this.rows.push(`${device}/${fixTimeMs}`)
  }

  /** Of the stored rows, those that it must have: of each device from the first that it got. */
  expectedOf(stored: readonly [device: number, fixTimeMs: number][]): string[] {
    return stored
      .filter(([device, fixTimeMs]) => fixTimeMs >= (this.first.get(device) ?? 0))
      .map(([device, fixTimeMs]) => `${device}/${fixTimeMs}`)
  }
}
