/** The client of the stream over real sockets, with a server that says what each test wants it to say. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WebSocket as Socket, WebSocketServer } from 'ws'
import type { ClientMessage, ServerMessage } from '../../../schemas/stream.ts'
import { Stream, type StreamStatus } from './stream.ts'
import type { SubscriptionListener } from './subscription.ts'

const FIX_MS = Date.UTC(2026, 0, 5, 12)
const POSITIONS = [
  'device',
  'fixTimeMs',
  'receivedMs',
  'latitude',
  'longitude',
  'altitude',
  'speed',
  'course',
  'attributes',
]
const EVENTS = [
  'id',
  'device',
  'geofence',
  'type',
  'timeMs',
  'latitude',
  'longitude',
  'speed',
  'crossing',
  'replaces',
  'retracted',
  'current',
]

/** What the server hears and says on one connection. */
class Peer {
  readonly socket: Socket
  readonly #heard: ClientMessage[] = []
  #wake: (() => void) | undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('message', (bytes: Buffer) => {
      this.#heard.push(JSON.parse(bytes.toString()) as ClientMessage)
      this.#wake?.()
    })
  }

  async hear(): Promise<ClientMessage> {
    while (this.#heard.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#heard.shift()!
  }

  say(message: ServerMessage | Record<string, unknown>): void {
    this.socket.send(JSON.stringify(message))
  }
}

let server: WebSocketServer
let stream: Stream
let peers: Peer[]
let statuses: StreamStatus[]

/** The next connection that is opened. */
async function nextPeer(): Promise<Peer> {
  const known = peers.length
  while (peers.length === known) await once(server, 'connection')
  return peers[known]!
}

/** A listener that notes all it hears, and a promise of the next call of one of its methods. */
function notes() {
  const calls: [name: string, ...values: unknown[]][] = []
  let wake: (() => void) | undefined
  const listener = new Proxy({} as SubscriptionListener, {
    get: (_, name: string) => {
      if (name === 'onReturn') return undefined
      return (...values: unknown[]) => {
        calls.push([name, ...values])
        wake?.()
      }
    },
  })
  const next = async () => {
    while (calls.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    return calls.shift()!
  }
  return { listener, next }
}

beforeEach(async () => {
  peers = []
  statuses = []
  server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  server.on('connection', (socket) => peers.push(new Peer(socket)))
  await once(server, 'listening')
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
  stream = new Stream(
    {
      ticket: async () => ({ ticket: 'a ticket', url }),
      mayReturn: () => true,
      connect: (address, subprotocol) => new Socket(address, subprotocol) as unknown as WebSocket,
    },
    (status) => statuses.push(status),
  )
})

afterEach(() => {
  stream.stop()
  server.close()
})

test('rows come as arrays whose header names their fields', async () => {
  const { listener, next } = notes()
  stream.subscribe({ scope: { all: true } }, listener)
  const connected = nextPeer()
  stream.start()
  const peer = await connected
  expect(await peer.hear()).toEqual({ type: 'subscribe', id: 1, scope: { all: true }, rows: 'arrays' })
  peer.say({ type: 'header', id: 1, positions: POSITIONS, events: EVENTS })
  const position = [7, FIX_MS, FIX_MS + 40, 30.25, -97.75, null, 41.5, 90, { ignition: true }]
  peer.say({ type: 'positions', id: 1, cursor: 'c1', rows: [position] })
  peer.say({
    type: 'events',
    id: 1,
    cursor: 'c2',
    rows: [[9, 7, 3, 'enter', FIX_MS, 30.25, -97.75, 41.5, false, null, false, true]],
  })
  peer.say({ type: 'live', id: 1 })
  expect(await next()).toEqual([
    'onPositions',
    [
      {
        device: 7,
        fixTimeMs: FIX_MS,
        receivedMs: FIX_MS + 40,
        latitude: 30.25,
        longitude: -97.75,
        altitude: null,
        speed: 41.5,
        course: 90,
        attributes: { ignition: true },
      },
    ],
  ])
  const [name, events] = await next()
  expect(name).toBe('onEvents')
  expect(events).toMatchObject([{ id: 9, geofence: 3, type: 'enter', timeMs: FIX_MS, current: true }])
  expect(await next()).toEqual(['onLive'])
  expect(statuses).toEqual([{ kind: 'connecting' }, { kind: 'live', delay: null }])
})

test('after a lost connection it goes on from its last cursor, in the scope that it has been moved to', async () => {
  const { listener, next } = notes()
  const subscription = stream.subscribe({ scope: { all: true } }, listener)
  let connected = nextPeer()
  stream.start()
  const first = await connected
  await first.hear()
  first.say({ type: 'positions', id: 1, cursor: 'c1', rows: [] })
  first.say({ type: 'live', id: 1 })
  await next()
  await next()
  subscription.moveTo({ devices: [7] })
  expect(await first.hear()).toEqual({ type: 'scope', id: 1, scope: { devices: [7] } })
  connected = nextPeer()
  first.socket.terminate()
  const second = await connected
  expect(await second.hear()).toMatchObject({ type: 'subscribe', id: 1, scope: { devices: [7] }, from: 'c1' })
  expect(statuses.map(({ kind }) => kind)).toEqual(['connecting', 'live', 'lost', 'connecting'])
})

test('where the cursor is too old it begins anew, and says that something was missed', async () => {
  const { listener, next } = notes()
  stream.subscribe({ scope: { all: true } }, listener)
  let connected = nextPeer()
  stream.start()
  const first = await connected
  await first.hear()
  first.say({ type: 'positions', id: 1, cursor: 'c1', rows: [] })
  await next()
  connected = nextPeer()
  first.socket.terminate()
  const second = await connected
  expect(await second.hear()).toMatchObject({ from: 'c1' })
  second.say({ type: 'error', id: 1, code: 'cursor-expired', detail: 'it is too old' })
  expect(await second.hear()).toEqual({ type: 'subscribe', id: 1, scope: { all: true }, rows: 'arrays' })
  expect(await next()).toEqual(['onGap'])
})

test('a subscription that is closed hears nothing more, and another takes a new id', async () => {
  const [gone, stays] = [notes(), notes()]
  const connected = nextPeer()
  stream.start()
  const subscription = stream.subscribe({ scope: { devices: [7] } }, gone.listener)
  const peer = await connected
  await peer.hear()
  subscription.close()
  expect(await peer.hear()).toEqual({ type: 'unsubscribe', id: 1 })
  stream.subscribe({ scope: { devices: [8] } }, stays.listener)
  expect(await peer.hear()).toMatchObject({ type: 'subscribe', id: 2 })
  peer.say({ type: 'positions', id: 1, cursor: 'c1', rows: [] })
  peer.say({ type: 'error', id: 1, code: 'unknown-subscription', detail: 'no subscription 1 is open' })
  peer.say({ type: 'left', id: 2, devices: [8] })
  expect(await stays.next()).toEqual(['onLeft', [8]])
  const heard = await Promise.race([gone.next(), Promise.resolve('nothing')])
  expect(heard).toBe('nothing')
})

test('a delay on the way to the stream is told, and its end', async () => {
  const connected = nextPeer()
  stream.subscribe({ scope: { all: true } }, {})
  stream.start()
  const peer = await connected
  peer.say({ type: 'status', delayed: true, detail: 'the bus is away' })
  peer.say({ type: 'live', id: 1 })
  peer.say({ type: 'status', delayed: false, detail: '' })
  peer.socket.close()
  await expect.poll(() => statuses.length).toBe(4)
  expect(statuses.slice(0, 3)).toEqual([
    { kind: 'connecting' },
    { kind: 'live', delay: 'the bus is away' },
    { kind: 'live', delay: null },
  ])
})

test('what the server refuses is told to the one whom it is about', async () => {
  const [one, other] = [notes(), notes()]
  stream.subscribe({ scope: { devices: [7] } }, one.listener)
  stream.subscribe({ scope: { all: true } }, other.listener)
  const connected = nextPeer()
  stream.start()
  const peer = await connected
  peer.say({ type: 'error', id: 1, code: 'unknown-device', detail: 'there is no device 7' })
  peer.say({ type: 'lagging', id: 2, dropped: 12, events: 3 })
  expect(await one.next()).toEqual(['onError', 'unknown-device', 'there is no device 7'])
  expect(await other.next()).toEqual(['onLagging', 12, 3])
})
