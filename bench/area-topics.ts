/**
 * Two ways to bring rows to those whose map has them: topics of uWebSockets, one a cell, to which each row is published;
 * and an index of areas, by which the rows of a tick are gathered into one message a socket.
 */
import type { ChildProcess } from 'node:child_process'
import { latLngToCell, polygonToCells } from 'h3-js'
import { areaOfBox } from '../live/areas/area.ts'
import { placeKey } from '../live/areas/area-cells.ts'
import { AreaIndex } from '../live/areas/area-index.ts'
import { listenOn, loadUws, type TemplatedApp, type WebSocket } from '../live/sockets/uws.ts'
import { Fleet, type Viewport, viewports } from './area-fleet.ts'
import { type Bench, end } from './bench.ts'

/** Cells that a map is covered with where cells are topics: fewer would send much that is not on the map. */
const TOPIC_CELLS = 50
const RESOLUTION_MAX = 10
const TICKS_A_SECOND = 20
/** Steps through the devices, so that those who report together are of all towns. */
const STRIDE = 7_919
const ROW_PADDING = 'x'.repeat(110)

interface Place {
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  readonly text: string
}

/** One server with its sockets, each of which has a viewport. */
export class Publisher {
  private readonly app: TemplatedApp
  private readonly fleet: Fleet
  private readonly sockets: WebSocket<unknown>[] = []
  private readonly index = new AreaIndex<number>()
  private readonly resolutions: number[]
  private nextDevice = 0
  private child: ChildProcess | undefined

  private constructor(
    app: TemplatedApp,
    fleet: Fleet,
    sockets: WebSocket<unknown>[],
    boxes: readonly Viewport[],
  ) {
    this.app = app
    this.fleet = fleet
    this.sockets = sockets
    const used = new Set<number>()
    for (const [i, box] of boxes.entries()) {
      this.index.add(i, areaOfBox(box))
      const { resolution, cells } = topicCells(box)
      used.add(resolution)
      for (const cell of cells) sockets[i]!.subscribe(cell)
    }
    this.resolutions = [...used]
  }

  static async start(bench: Bench, sockets: number, devices: number): Promise<Publisher> {
    const uws = loadUws()
    const app = uws.App()
    const open: WebSocket<unknown>[] = []
    app.ws('/*', {
      maxBackpressure: 64 * 1024 * 1024,
      open: (socket) => {
        open.push(socket)
      },
      message: () => undefined,
    })
    const listening = await listenOn(app, '127.0.0.1', 0, false)
    if (listening === false) throw new Error('no port for the publisher')
    const child = bench.fork('subscribers', {
      url: `ws://127.0.0.1:${uws.us_socket_local_port(listening)}/`,
      token: '',
      subprotocol: 'fleetflow.json',
      sockets,
      subscribe: '',
      isBinary: false,
    })
    child.on('exit', (code) => {
      if (code !== null && code !== 0) throw new Error(`the subscribers ended: exit ${code}`)
    })
    while (open.length < sockets) await new Promise((resolve) => setTimeout(resolve, 10))
    const publisher = new Publisher(app, new Fleet(devices), open, viewports(sockets, devices))
    publisher.child = child
    bench.defer(() => publisher.close())
    return publisher
  }

  /**
   * Sends a second of rows, in ticks; each is on its way before the next.
   * @returns Processor time, ms.
   */
  async second(rows: number, way: 'topics' | 'index'): Promise<number> {
    let cpuMs = 0
    for (let tick = 0; tick < TICKS_A_SECOND; tick++) {
      const places = this.places(Math.round(rows / TICKS_A_SECOND))
      const before = process.cpuUsage()
      if (way === 'topics') this.publishTick(places)
      else this.gatherTick(places)
      // uWebSockets sends what was published at the end of this turn.
      await new Promise((resolve) => setImmediate(resolve))
      await new Promise((resolve) => setImmediate(resolve))
      const { user, system } = process.cpuUsage(before)
      cpuMs += (user + system) / 1000
    }
    return cpuMs
  }

  async close(): Promise<void> {
    const { child } = this
    this.child = undefined
    if (child === undefined) return
    await end(child)
    this.app.close()
  }

  private places(count: number): Place[] {
    return Array.from({ length: count }, () => {
      const device = (this.nextDevice++ * STRIDE) % this.fleet.devices
      const [longitudeDeg, latitudeDeg] = this.fleet.drive(device)
      const text = JSON.stringify({
        device,
        latitude: latitudeDeg,
        longitude: longitudeDeg,
        more: ROW_PADDING,
      })
      return { latitudeDeg, longitudeDeg, text }
    })
  }

  private publishTick(places: readonly Place[]): void {
    for (const { latitudeDeg, longitudeDeg, text } of places) {
      const message = `{"type":"positions","rows":[${text}]}`
      for (const resolution of this.resolutions) {
        this.app.publish(latLngToCell(latitudeDeg, longitudeDeg, resolution), message)
      }
    }
  }

  private gatherTick(places: readonly Place[]): void {
    const rows = new Map<number, string[]>()
    for (const { latitudeDeg, longitudeDeg, text } of places) {
      this.index.find(placeKey(latitudeDeg, longitudeDeg), latitudeDeg, longitudeDeg, (socket) => {
        const texts = rows.get(socket)
        if (texts === undefined) rows.set(socket, [text])
        else texts.push(text)
      })
    }
    for (const [socket, texts] of rows) {
      this.sockets[socket]!.send(Buffer.from(`{"type":"positions","rows":[${texts.join(',')}]}`, 'latin1'))
    }
  }
}

/** Cells of the coarsest resolution that has so many. */
function topicCells([west, south, east, north]: Viewport): { resolution: number; cells: string[] } {
  const ring = [
    [south, west],
    [south, east],
    [north, east],
    [north, west],
  ]
  for (let resolution = 0; ; resolution++) {
    const cells = polygonToCells(ring, resolution)
    if (cells.length >= TOPIC_CELLS || resolution === RESOLUTION_MAX) return { resolution, cells }
  }
}
