/** Ingest as a whole: journal, shards, registry, quarantine and listeners, started and stopped in order. */
import { setTimeout as delay } from 'node:timers/promises'
import type { MessagePort } from 'node:worker_threads'
import type pg from 'pg'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Adapter } from '../device-adapters/adapter.ts'
import { CommandDelivery } from './commands/commands.ts'
import { loadDecoders } from './decoders.ts'
import { DeviceRegistry } from './devices/devices.ts'
import { Notifications } from './devices/notifications.ts'
import { Backfills } from './geofences/backfill/backfills.ts'
import { fenceMetrics } from './geofences/fences/fence-metrics.ts'
import { Fences } from './geofences/fences/fences.ts'
import { timerMetrics } from './geofences/timers/timer-metrics.ts'
import { Timers } from './geofences/timers/timers.ts'
import { Intake } from './intake.ts'
import type { JournalOptions } from './journal/journal.ts'
import { LIMITS, type LimitName, type Limits } from './limits.ts'
import { ConnectionCount } from './listeners/connection-count.ts'
import { listenDetectTcp, listenDetectUdp } from './listeners/detect-listener.ts'
import { listenHttp } from './listeners/http-listener.ts'
import type { ListenAddress, Listener } from './listeners/listener.ts'
import { listenMqtt, MQTT, type MqttListener } from './listeners/mqtt-listener.ts'
import { listenTcp } from './listeners/tcp-listener.ts'
import { listenUdp } from './listeners/udp-listener.ts'
import { ingestMetrics } from './metrics.ts'
import { Quarantine } from './quarantine.ts'
import { startLastFixesRepair } from './shards/last-fixes-repair.ts'
import { LiveOutlet } from './shards/live-outlet.ts'
import { startStore } from './store.ts'

/** Customary port of MQTT without TLS. */
const MQTT_PORT = 1883

export interface IngestOptions {
  readonly host: string
  readonly adapters: ReadonlyMap<string, Adapter>
  /** Port of each protocol by its id, `mqtt` the broker's; undefined = all at their customary ports. */
  readonly ports: ReadonlyMap<string, number> | undefined
  /** Port that finds out the protocol, 0 for any free one; undefined = none. */
  readonly detectPort?: number | undefined
  readonly databaseUrl: string
  readonly pool: pg.Pool
  readonly journal: JournalOptions
  /** When a frame with positions gets its reply: when it is durable in the journal, or committed to the database. */
  readonly ackAfter: 'journal' | 'database'
  /** One port to live for each shard; their number is the number of shards. */
  readonly livePorts: readonly (MessagePort | undefined)[]
  /** To live, for the events that timers make. */
  readonly timersLivePort?: MessagePort | undefined
  /** Organisation that unknown devices join; undefined = they are quarantined. */
  readonly registerInto: number | undefined
  /** Speed above which a vehicle is not told to stop its engine. */
  readonly engineStopSpeedKmhMax: number
  readonly limits?: Partial<Limits>
  readonly registry: Registry
  readonly log: Logger
  /** A thread died, or a sync failed: nothing may go on. */
  readonly onFailure: (error: Error) => void
}

/** `ok`: frames are taken. `degraded`: but what is taken does not reach the database now. */
export interface IngestReadiness {
  readonly ok: boolean
  readonly degraded?: boolean
  readonly detail?: string
}

export interface Ingest {
  readonly listeners: readonly Listener[]
  readiness(): IngestReadiness
  /** Counts a limit that another part holds. */
  limitMet(limit: LimitName): void
  /** Closes the listeners, stores what is open, ends the threads; takes no longer than `stopTimeoutMs` allows. */
  close(): Promise<void>
}

/** @throws ListenError if a port cannot be had, JournalError without the journal; what was started is stopped then. */
export async function startIngest(options: IngestOptions): Promise<Ingest> {
  const { adapters, databaseUrl, log, pool, ackAfter, registerInto } = options
  const limits: Limits = { ...LIMITS, ...options.limits }
  const metrics = ingestMetrics(options.registry, limits)
  const quarantine = new Quarantine(pool, limits, metrics, log)
  const notifications = new Notifications(databaseUrl, log)
  const devices = new DeviceRegistry({
    notifications,
    pool,
    log,
    registerInto,
    limits,
    metrics,
    onChanged: (changed) => {
      for (const shard of store.shards) shard.forget(changed)
    },
  })
  const { engineStopSpeedKmhMax } = options
  const commands = new CommandDelivery({
    pool,
    notifications,
    devices,
    engineStopSpeedKmhMax,
    storedUntilMs: (deviceId) => store.storedUntilMs(deviceId),
    limits,
    metrics,
    log,
  })
  const outlet = options.timersLivePort && new LiveOutlet(options.timersLivePort)
  const timers = new Timers({
    pool,
    storedUntilMs: (device) => store.storedUntilMs(device),
    publish: (commit) => outlet?.publish(null, [commit]),
    limits,
    limitMet: metrics.limitMet,
    metrics: timerMetrics(options.registry),
    log,
  })
  const backfills = new Backfills({ ...options, notifications, limits, metrics })
  const decoders = await loadDecoders(pool, adapters)
  const store = await startStore({ ...options, limits, metrics, quarantine, decoders }, () => intake)
  const { journal, shards } = store
  const fences = new Fences({
    databaseUrl,
    notifications,
    post: (update) => {
      for (const shard of shards) shard.fences(update)
    },
    limits,
    limitMet: metrics.limitMet,
    metrics: fenceMetrics(options.registry),
    log,
    onFailure: options.onFailure,
  })
  const intake = new Intake({
    shards,
    journal,
    decoders,
    ackAfter,
    devices,
    commands,
    quarantine,
    limits,
    metrics,
    log,
  })
  const listeners: Listener[] = []
  const endRepair = startLastFixesRepair(pool, log)

  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= closeAll()
    return closing
  }
  const closeAll = async () => {
    // Before the store: what it could not store is not known to wait when it is closed, and timers wait for it.
    const timersEnded = Promise.race([timers.close(), delay(limits.stopTimeoutMs, undefined, { ref: false })])
    const ended = [backfills.close(), fences.close(), timersEnded]
    await Promise.all([...ended, ...listeners.map((listener) => listener.close())])
    await store.close()
    // A database that answers no more must not keep the engine from ending.
    const answered = Promise.all([quarantine.close(), commands.close(), endRepair()]).then(() =>
      notifications.close(),
    )
    await Promise.race([answered, delay(limits.stopTimeoutMs, undefined, { ref: false })])
    outlet?.close()
  }

  try {
    await notifications.start()
    commands.start()
    backfills.start()
    timers.start()
    metrics.watchDevices(() => devices.size)
    const count = new ConnectionCount(limits, metrics)
    for (const listen of planned(options, intake, count, listeners)) listeners.push(await listen())
  } catch (error) {
    await close()
    throw error
  }
  return { listeners, readiness: () => store.readiness(), limitMet: metrics.limitMet, close }
}

/**
 * What is to be listened on, in the order of the adapters.
 * @param open What is listened on already.
 */
function* planned(
  options: IngestOptions,
  intake: Intake,
  count: ConnectionCount,
  open: readonly Listener[],
): Iterable<() => Promise<Listener>> {
  const { adapters, host, ports, detectPort } = options
  const address = (id: string, customary: number): ListenAddress | undefined => {
    const port = ports === undefined ? customary : ports.get(id)
    return port === undefined ? undefined : { host, port }
  }
  for (const [id, adapter] of adapters) {
    const { tcp, udp, http } = adapter.listen
    const customary = tcp ?? udp ?? http
    const at = customary === undefined ? undefined : address(id, customary)
    if (at === undefined) continue
    if (tcp !== undefined) yield () => listenTcp(adapter, intake, count, at)
    if (udp !== undefined) yield () => listenUdp(adapter, intake, at)
    if (http !== undefined) yield () => listenHttp(adapter, intake, count, at)
  }
  const withTopics = [...adapters.values()].filter((adapter) => adapter.listen.mqtt !== undefined)
  const at = address(MQTT, MQTT_PORT)
  if (at !== undefined && withTopics.length > 0) yield () => listenMqtt(withTopics, intake, count, at)
  if (detectPort === undefined) return
  const everywhere = { host, port: detectPort }
  const broker = open.find((listener) => 'serve' in listener) as MqttListener | undefined
  yield () => listenDetectTcp(adapters.values(), broker, intake, count, everywhere)
  yield () => listenDetectUdp(adapters.values(), intake, everywhere)
}
