/**
 * Drives the buses of the demo: each is a simulated tracker of one of {@link DEMO_PROTOCOLS} that plays its bus's day at ten
 * times its speed, with the present as the time of its fixes.
 */
import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { type DeviceCounts, newCounts, SimulatedDevice } from '../simulate/devices.ts'
import { ENCODERS } from '../simulate/encoders/index.ts'
import { Path } from '../simulate/geometry.ts'
import { keepPace } from '../simulate/pace.ts'
import { reportOf } from '../simulate/report.ts'
import { type Span, thereAndBack } from '../simulate/there-and-back.ts'
import { type Routes, type Track, trackOf } from '../simulate/track-player.ts'
import { readTracks } from '../simulate/tracks.ts'
import { uniqueIdOf } from '../simulate/unique-ids.ts'
import { demoFile } from './files.ts'

/** The part of the slice that is played, without its first and last minutes, in which buses appear and vanish. */
const SPAN: Span = [Date.parse('2016-11-25T07:05:00-06:00'), Date.parse('2016-11-25T18:55:00-06:00')]

/** Play counts from here: odometers of six digits of kilometres then turn over once in ten months of driving, not every day. */
const EPOCH_MS = Date.UTC(2026, 10, 1)

/** How often the progress is told, ms. */
const PROGRESS_EVERY_MS = 1000

/** Model of the tracker in a bus, as registered, by its protocol. */
const MODELS = {
  teltonika: 'FMB920',
  gt06: 'GT06N',
  h02: 'ST-901',
  osmand: 'OsmAnd',
  'mqtt-json': 'MQTT gateway',
  gl200: 'GV300',
  jt808: 'JT/T 808-2013',
  gps103: 'TK103B',
  tk103: 'TK103',
  suntech: 'ST300',
  meitrack: 'T366',
  wialon: 'Wialon IPS',
  ruptela: 'FM-Eco4',
  eelink: 'TK116',
  galileo: 'Galileosky 7',
  atrack: 'AK11',
} as const

export type DemoProtocol = keyof typeof MODELS

/** Protocols of the buses, by their place in the list of all: each has as many, give or take one. */
export const DEMO_PROTOCOLS = Object.keys(MODELS) as DemoProtocol[]

/** A bus as it must be registered before {@link driveBuses}. */
export interface DemoDevice {
  readonly uniqueId: string
  /** Such as `Bus 2228`. */
  readonly name: string
  readonly model: string
  readonly protocol: DemoProtocol
}

export interface DriveOptions {
  /** Where the server listens. */
  readonly ports: Readonly<Record<DemoProtocol, number>>
  readonly host: string
  /** Minutes of the recording that pass in one minute; 10 if not given. */
  readonly speedFactor?: number
  /** Ends the drive. */
  readonly signal: AbortSignal
  /** Called once a second with what the buses have done so far. */
  onProgress?(progress: DriveProgress): void
}

export interface DriveProgress {
  /** Buses that drive or stand on their routes now; the others are off duty and silent. */
  readonly busesOut: number
  /** Time of the recording that is played now, ms UTC. */
  readonly trackTimeMs: number
  readonly counts: Readonly<DeviceCounts>
}

/** The buses of the demo, ordered by the number of the vehicle. */
export async function demoDevices(): Promise<DemoDevice[]> {
  return (await readTracks(demoFile('tracks.csv.gz')))
    .map(({ vehicle }) => vehicle)
    .sort(byNumber)
    .map(deviceOf)
}

/**
 * Drives all buses until `signal` aborts, and resolves when their links are closed. Which place a bus is at follows
 * from the clock alone, so that a demo that is started again goes on where the clock has got to. Each bus reports once
 * a second, one after the other, unless it is off duty. At the end of the day the buses turn and drive it backwards: see
 * there-and-back.ts.
 *
 * @throws Error if the demo's files cannot be read.
 */
export async function driveBuses(options: DriveOptions): Promise<void> {
  const { host, ports, signal, speedFactor = 10, onProgress } = options
  const counts = newCounts()
  const buses = await readBuses()
  const elapsedMs = (atMs: number) => (atMs - EPOCH_MS) * speedFactor
  const drivers = buses.map(({ uniqueId, protocol, track }) => ({
    track,
    device: new SimulatedDevice({
      encoder: ENCODERS[protocol],
      host,
      port: ports[protocol],
      uniqueId,
      counts,
    }),
  }))
  const lastOut = new Map<number, boolean>()

  const runs = drivers.map(({ device }) => device.run())
  const stopPace = keepPace(drivers.length, (n, atMs) => {
    const bus = n % drivers.length
    const { device, track } = drivers[bus]!
    const state = thereAndBack(track, SPAN, elapsedMs(atMs))
    lastOut.set(bus, state !== undefined)
    if (state !== undefined) device.report(reportOf(state, bus, atMs))
  })
  const progress = setInterval(() => {
    const busesOut = [...lastOut.values()].filter(Boolean).length
    onProgress?.({ busesOut, trackTimeMs: trackTimeOf(elapsedMs(Date.now())), counts })
  }, PROGRESS_EVERY_MS)

  const stop = () => {
    stopPace()
    clearInterval(progress)
    for (const { device } of drivers) device.stop()
  }
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })
  await Promise.all(runs)
}

/** Buses that have a track within the day. */
async function readBuses(): Promise<(DemoDevice & { readonly track: Track })[]> {
  const [recorded, routes] = await Promise.all([readTracks(demoFile('tracks.csv.gz')), readRoutes()])
  return recorded
    .sort((a, b) => byNumber(a.vehicle, b.vehicle))
    .flatMap((fixes, place) => {
      const track = trackOf(fixes, routes)
      return track === undefined ? [] : { ...deviceOf(fixes.vehicle, place), track }
    })
}

/** Lines of the routes out of the overlay. */
async function readRoutes(): Promise<Routes> {
  const overlay = JSON.parse(gunzipSync(await readFile(demoFile('overlay.geojson.gz'))).toString('utf8')) as {
    readonly features: readonly {
      readonly properties: { readonly kind: string; readonly route: string }
      readonly geometry: { readonly coordinates: readonly (readonly [number, number])[] }
    }[]
  }
  return new Map(
    overlay.features
      .filter(({ properties }) => properties.kind === 'route')
      .map(({ properties, geometry }) => [
        properties.route,
        new Path(geometry.coordinates.map(([longitudeDeg, latitudeDeg]) => ({ latitudeDeg, longitudeDeg }))),
      ]),
  )
}

/** Names begin otherwise than those of `simulate`, so that both can run at one server. */
function deviceOf(vehicle: string, place: number): DemoDevice {
  const protocol = DEMO_PROTOCOLS[place % DEMO_PROTOCOLS.length]!
  return {
    uniqueId: uniqueIdOf(protocol, Number(vehicle), ENCODERS[protocol].namedByImei ? '35100000' : '91'),
    name: `Bus ${vehicle}`,
    model: MODELS[protocol],
    protocol,
  }
}

/** Time of the recording after `elapsedMs` of play. */
function trackTimeOf(elapsedMs: number): number {
  const lengthMs = SPAN[1] - SPAN[0]
  const legs = Math.floor(elapsedMs / lengthMs)
  const intoMs = elapsedMs - legs * lengthMs
  return legs % 2 === 0 ? SPAN[0] + intoMs : SPAN[1] - intoMs
}

function byNumber(a: string, b: string): number {
  return Number(a) - Number(b)
}
