/** Drives a fleet of simulated devices along recorded tracks: real device frames at a server, at a given rate. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type DeviceCounts, newCounts, SimulatedDevice } from './devices.ts'
import type { Report } from './encoders/encoder.ts'
import { ENCODERS, type SimulatedProtocol, simulatedProtocols } from './encoders/index.ts'
import { keepPace } from './pace.ts'
import { showProgress } from './progress.ts'
import { reportOf } from './report.ts'
import { type Span, thereAndBack } from './there-and-back.ts'
import { longestRun, type Track, trackOf } from './track-player.ts'
import { readTracks } from './tracks.ts'
import { uniqueIdOf } from './unique-ids.ts'

/** Most devices of one run: each has a socket, and processes may not open many more. */
export const DEVICES_MAX = 50_000

/** Devices connect one after the other, this many a second. */
const CONNECTS_PER_SECOND = 1000

/** How long devices may still send what they have when the time is over, ms. */
const DRAIN_MS = 10_000

/** Devices that share a track are this far apart on it, ms. */
const APART_MS = 7 * 60_000

/** Where on their tracks devices start, ms: where the buses have left their first stop. */
const LEAD_MS = 5 * 60_000

export interface SimulateOptions {
  /** Id of an adapter, see {@link ENCODERS}; several, set apart by commas, whose devices take turns; or `all`. */
  readonly protocol: string
  /** How many devices, at most {@link DEVICES_MAX}. */
  readonly devices: number
  /** Positions a second over all devices. */
  readonly rate: number
  /** CSV of recorded positions, see tracks.ts. */
  readonly tracks: string | URL
  /** 127.0.0.1 and the customary port of each protocol if not given; several can share a port that finds the protocol. */
  readonly host?: string | undefined
  readonly port?: number | undefined
  /** Of protocols that are at neither. */
  readonly ports?: Partial<Record<SimulatedProtocol, number>> | undefined
  /** How long devices make positions; until `signal` aborts if not given. */
  readonly seconds?: number | undefined
  /** See {@link uniqueIdOf}. */
  readonly idPrefix?: string | undefined
  /** Password of each device, for MQTT. */
  readonly devicePassword?: string | undefined
  /** Ends the run at once. */
  readonly signal?: AbortSignal | undefined
  /** Where progress is shown; nowhere if not given. */
  readonly progress?: NodeJS.WriteStream | undefined
  /** Called with each report once the server acknowledged it. */
  onAcknowledged?(uniqueId: string, report: Report): void
}

/** What a run did. Units are in the names. */
export interface SimulationSummary {
  readonly protocols: readonly SimulatedProtocol[]
  readonly devices: number
  /** Time in which devices made positions. */
  readonly durationS: number
  /** Time after it in which they sent the rest. */
  readonly drainS: number
  readonly framesSent: number
  readonly framesAcknowledged: number
  readonly positionsReported: number
  /** Each time that a position was put on the wire. */
  readonly positionsSent: number
  /** Each once. */
  readonly positionsAcknowledged: number
  /** Forgotten by devices whose buffers were full. */
  readonly positionsDropped: number
  /** Still held by devices at the end. */
  readonly positionsBuffered: number
  /** Acknowledged positions over the whole time. */
  readonly acknowledgedPerS: number
  /** Time from sending to acknowledgement. */
  readonly answerMs: {
    readonly p50: number
    readonly p95: number
    readonly p99: number
    readonly max: number
  }
  readonly reconnects: number
  /** Failures of links by code. */
  readonly errors: Readonly<Record<string, number>>
}

/**
 * Simulates a fleet until its time is over or `signal` aborts. A device plays the longest stretch of its track there and
 * back at its own speed, and carries the present time. One that reports more often than its protocol's clock can
 * tell runs ahead of the time.
 *
 * @throws RangeError if an option is out of its range.
 * @throws Error if the tracks cannot be read.
 */
export async function simulate(options: SimulateOptions): Promise<SimulationSummary> {
  const { rate, seconds, signal } = options
  const protocols = simulatedProtocols(options.protocol)
  inRange('devices', options.devices, 1, DEVICES_MAX)
  inRange('rate', rate, 0.001, 1_000_000)
  if (seconds !== undefined) inRange('seconds', seconds, 0, 30 * 86_400)
  const counts = newCounts()
  const fleet = await newFleet(protocols, options, counts)

  const hideProgress =
    options.progress === undefined ? () => {} : showProgress(options.progress, fleet.length, counts, seconds)
  const startMs = performance.now()
  const stopPace = keepPace(rate, (n, atMs) => fleet[n % fleet.length]!.report(atMs))
  const stopAll = new AbortController()
  const abort = () => stopAll.abort()
  signal?.addEventListener('abort', abort)
  if (signal?.aborted) abort()
  const runs = startAll(fleet, stopAll.signal)

  await wait(seconds === undefined ? undefined : seconds * 1000, stopAll.signal)
  stopPace()
  const madeMs = performance.now()
  await Promise.race([
    Promise.all(fleet.map(({ device }) => device.drained())),
    wait(DRAIN_MS, stopAll.signal),
  ])
  const drainedMs = performance.now()
  signal?.removeEventListener('abort', abort)
  abort()
  hideProgress()
  for (const { device } of fleet) device.stop()
  await runs

  const { positionsReported, positionsSent, positionsAcknowledged, positionsDropped } = counts
  const ms = (percentile: number) => round(counts.answerUs.percentile(percentile) / 1000)
  return {
    protocols,
    devices: fleet.length,
    durationS: round((madeMs - startMs) / 1000),
    drainS: round((drainedMs - madeMs) / 1000),
    framesSent: counts.framesSent,
    framesAcknowledged: counts.framesAcknowledged,
    positionsReported,
    positionsSent,
    positionsAcknowledged,
    positionsDropped,
    positionsBuffered: fleet.reduce((sum, { device }) => sum + device.buffered, 0),
    acknowledgedPerS: round((positionsAcknowledged / (drainedMs - startMs)) * 1000),
    answerMs: { p50: ms(50), p95: ms(95), p99: ms(99), max: round(counts.answerUs.max / 1000) },
    reconnects: counts.reconnects,
    errors: Object.fromEntries(counts.errors),
  }
}

/** One device on its track. */
class Vehicle {
  readonly device: SimulatedDevice
  private readonly number: number
  private readonly timeStepMs: number
  private readonly track: Track
  private readonly span: Span
  private readonly offsetMs: number
  private startMs = Number.NaN
  private lastFixMs = 0

  constructor(device: SimulatedDevice, number: number, timeStepMs: number, tracks: readonly Track[]) {
    this.device = device
    this.number = number
    this.timeStepMs = timeStepMs
    this.track = tracks[number % tracks.length]!
    this.span = longestRun(this.track)
    this.offsetMs = LEAD_MS + Math.floor(number / tracks.length) * APART_MS
  }

  /** Lets the device report where its vehicle is at `atMs`, ms UTC. */
  report(atMs: number): void {
    if (Number.isNaN(this.startMs)) this.startMs = atMs
    // Two reports of one time would be one position.
    this.lastFixMs = Math.max(atMs, this.lastFixMs + this.timeStepMs)
    const state = thereAndBack(this.track, this.span, this.offsetMs + atMs - this.startMs)
    if (state !== undefined) this.device.report(reportOf(state, this.number, this.lastFixMs))
  }
}

async function newFleet(
  protocols: readonly SimulatedProtocol[],
  options: SimulateOptions,
  counts: DeviceCounts,
): Promise<Vehicle[]> {
  const { host = '127.0.0.1', devicePassword, onAcknowledged } = options
  const tracks = (await readTracks(options.tracks)).flatMap((fixes) => trackOf(fixes) ?? [])
  if (tracks.length === 0) throw new Error(`${String(options.tracks)} holds no vehicle that moves on`)
  return Array.from({ length: options.devices }, (_, number) => {
    const protocol = protocols[number % protocols.length]!
    const encoder = ENCODERS[protocol]
    const uniqueId = uniqueIdOf(protocol, number, options.idPrefix)
    const device = new SimulatedDevice({
      encoder,
      host,
      port: options.ports?.[protocol] ?? options.port ?? encoder.port,
      uniqueId,
      password: devicePassword,
      counts,
      ...(onAcknowledged && { onAcknowledged: (report) => onAcknowledged(uniqueId, report) }),
    })
    return new Vehicle(device, number, encoder.timeStepMs, tracks)
  })
}

/** Starts the devices one after the other; resolves when all that were started have stopped. */
async function startAll(fleet: readonly Vehicle[], signal: AbortSignal): Promise<void> {
  const runs: Promise<void>[] = []
  for (const [i, { device }] of fleet.entries()) {
    if (signal.aborted) break
    runs.push(device.run())
    if (i % (CONNECTS_PER_SECOND / 50) === CONNECTS_PER_SECOND / 50 - 1) await wait(20, signal)
  }
  await Promise.all(runs)
}

/** Waits `ms` milliseconds, or for ever, but no longer than until `signal` aborts. */
async function wait(ms: number | undefined, signal: AbortSignal): Promise<void> {
  if (ms !== undefined) return sleep(ms, undefined, { signal }).catch(() => undefined)
  if (signal.aborted) return
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
}

function inRange(name: string, value: number, least: number, most: number): void {
  if (value >= least && value <= most) return
  throw new RangeError(`${name} must be from ${least} to ${most}, got ${value}`)
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
