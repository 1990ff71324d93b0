/**
 * People with maps, a process of its own: each socket subscribes to what its map shows and moves it now and then. They
 * check that each row lies on the map, and keep what each map shows, so that it can be compared with where devices are.
 */
import { WebSocket } from 'ws'
import type { ClientMessage } from '../schemas/stream.ts'
import { dragged, isOn, STAYS_EVERY, type Viewport } from './area-fleet.ts'

export interface ReceiversOptions {
  readonly url: string
  readonly token: string
  readonly viewports: readonly Viewport[]
  /** Time between two moves of a map, ms; of each tenth map never. */
  readonly moveEveryMs: number
}

export interface MapReport {
  readonly viewport: Viewport
  /** That it shows. */
  readonly devices: readonly number[]
  readonly rows: number
  readonly moves: number
}

/** Since the start, over all maps. */
export interface ReceiversReport {
  readonly live: number
  readonly rows: number
  readonly messages: number
  readonly left: number
  readonly moves: number
  readonly onMap: number
  /** Rows that were on no map that was asked for and not complete yet, nor on the one before. */
  readonly astray: number
  /** Rows that came twice, or after one of the same device with a later time. */
  readonly disorder: number
  /** From the time of receipt that a row carries to its arrival, ms. */
  readonly latenciesMs: number[]
  /** Of each map: where it is, and which devices it shows. */
  readonly maps: readonly MapReport[]
}

export type ReceiversCommand = 'move' | 'stay' | 'report' | 'forget'

/** Maps that are opened at the same time. */
const OPENING_MAX = 20
const LATENCIES_MAX = 400_000

class Person {
  viewport: Viewport
  /** Fix time of the row shown, by device. */
  readonly shown = new Map<number, number>()
  private readonly socket: WebSocket
  rows = 0
  moves = 0
  private live = false
  /** Maps that were asked for and are complete. */
  private settled = 0
  private earlier: Viewport[] = []

  constructor(viewport: Viewport) {
    this.viewport = viewport
    this.socket = new WebSocket(options.url, 'fleetflow.json', {
      headers: { Authorization: `Bearer ${options.token}` },
      perMessageDeflate: false,
      skipUTF8Validation: true,
    })
    this.socket.on('open', () =>
      this.send({ type: 'subscribe', id: 1, scope: { bbox: [...viewport] }, rows: 'arrays', events: false }),
    )
    this.socket.on('message', (bytes: Buffer) => this.receive(JSON.parse(bytes.toString('latin1'))))
    this.socket.on('close', (code) => {
      throw new Error(`the stream closed a map: ${code}`)
    })
  }

  move(): void {
    this.earlier.push(this.viewport)
    this.viewport = dragged(this.viewport, this.moves++)
    this.send({ type: 'scope', id: 1, scope: { bbox: [...this.viewport] } })
    counts.moves++
  }

  private send(message: ClientMessage): void {
    this.socket.send(JSON.stringify(message))
  }

  private receive(message: { type: string; rows: number[][]; devices: number[]; positions: string[] }): void {
    counts.messages++
    if (message.type === 'positions') {
      const nowMs = Date.now()
      for (const row of message.rows) this.receiveRow(row, nowMs)
    } else if (message.type === 'left') {
      counts.left += message.devices.length
      for (const device of message.devices) this.shown.delete(device)
    } else if (message.type === 'header') columns = message.positions
    else if (message.type === 'live') this.becomeLive()
    else throw new Error(`the stream said ${JSON.stringify(message)}`)
  }

  /** All of the map that was asked for is there: said once at first, and after each move. */
  private becomeLive(): void {
    if (!this.live) counts.live++
    this.live = true
    this.settled++
    if (this.settled > this.moves) this.earlier = []
  }

  private receiveRow(row: number[], nowMs: number): void {
    counts.rows++
    this.rows++
    const at = (name: string) => row[columns.indexOf(name)]!
    const device = at('device')
    const fixTimeMs = at('fixTimeMs')
    // What a move of the map brings was received long ago.
    if (this.shown.has(device) && latenciesMs.length < LATENCIES_MAX) {
      latenciesMs.push(nowMs - at('receivedMs'))
    }
    if (isOn(this.viewport, at('longitude'), at('latitude'))) counts.onMap++
    else if (!this.earlier.some((viewport) => isOn(viewport, at('longitude'), at('latitude'))))
      counts.astray++
    if (fixTimeMs <= (this.shown.get(device) ?? 0)) counts.disorder++
    this.shown.set(device, fixTimeMs)
  }
}

const options = JSON.parse(process.argv[2]!) as ReceiversOptions
process.once('disconnect', () => process.exit(0))

const counts = { live: 0, rows: 0, messages: 0, left: 0, moves: 0, onMap: 0, astray: 0, disorder: 0 }
let latenciesMs: number[] = []
let columns: string[] = []
let moving: NodeJS.Timeout | undefined
let next = 0
const people: Person[] = []
process.on('message', (command: ReceiversCommand) => {
  if (command === 'move') {
    moving = setInterval(() => {
      next = (next + 1) % people.length
      if (next % STAYS_EVERY !== 0) people[next]!.move()
    }, options.moveEveryMs / people.length)
  } else if (command === 'stay') clearInterval(moving)
  else if (command === 'forget') latenciesMs = []
  else if (command === 'report') {
    const maps = people.map(({ viewport, shown, rows, moves }) => ({
      viewport,
      devices: [...shown.keys()],
      rows,
      moves,
    }))
    process.send!({ ...counts, latenciesMs, maps } satisfies ReceiversReport)
  }
})

for (const viewport of options.viewports) {
  people.push(new Person(viewport))
  // Each is let in by a query of the database: not all at once.
  while (people.length - counts.live >= OPENING_MAX) await new Promise((resolve) => setTimeout(resolve, 5))
}
