/** What stands behind the intake: the journal and the shards, and between them what is stored and what is not yet. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { IngestOptions, IngestReadiness } from './engine.ts'
import { evaluationMetrics } from './geofences/evaluation/evaluator-metrics.ts'
import type { Intake } from './intake.ts'
import { openJournal } from './journal/file-journal.ts'
import type { Journal } from './journal/journal.ts'
import { journalMetrics, type Lag } from './journal-metrics.ts'
import type { Limits } from './limits.ts'
import type { IngestMetrics } from './metrics.ts'
import type { Quarantine } from './quarantine.ts'
import { Shard } from './shards/shard.ts'
import type { EvaluationFigures, RefusedFrame } from './shards/shard-messages.ts'

/** Period in which the journal is told what is stored, ms. */
const TRIM_EVERY_MS = 250
/**
 * How long rows wait for others where no reply waits for them, ms: of 4,000 frames a second each, PostgreSQL takes a third
 * less, and the engine a sixth.
 */
const GATHER_MS = 10
/** A backlog that is older makes the engine degraded, s: it is no longer what any busy moment leaves. */
const LAG_DEGRADED_S = 10

export interface StoreOptions extends Omit<IngestOptions, 'limits'> {
  readonly limits: Limits
  readonly metrics: IngestMetrics
  readonly quarantine: Quarantine
  readonly decoders: ReadonlyMap<string, number>
}

export interface Store {
  readonly journal: Journal
  readonly shards: readonly Shard[]
  /** All positions of a device that were received before it are stored; Infinity if none waits, ms UTC. */
  storedUntilMs(deviceId: number): number
  readiness(): IngestReadiness
  /** Stores what it can in `stopTimeoutMs`, then ends the threads; the journal keeps the rest. */
  close(): Promise<void>
}

/**
 * Starts, and has stored what the journal holds from before.
 * @throws JournalError if the journal cannot be opened.
 */
export async function startStore(options: StoreOptions, intake: () => Intake): Promise<Store> {
  const { log, limits, metrics, quarantine, ackAfter } = options
  const databaseDown = new Map<number, string>()
  let full: string | undefined
  let onSynced = () => {}

  const journal = await openJournal(options.journal, {
    onDurable: (position) => {
      // Replies first: somebody waits for them.
      intake().synced(position)
      for (const shard of shards) shard.synced(position)
      onSynced()
    },
    onRoom: () => intake().room(),
    onFull: (isFull, message) => {
      full = isFull ? message : undefined
      journalFigures.full.set(isFull ? 1 : 0)
      if (isFull) log.error({ message }, 'the journal has no room: nothing is taken until there is some')
      else log.info('the journal has room again')
    },
    onFailure: options.onFailure,
  })
  if (journal.tornBytes > 0) {
    log.warn({ bytes: journal.tornBytes }, 'the end of the journal was half written and was cut off')
  }

  const onRefused = (frames: readonly RefusedFrame[]) => {
    for (const { protocol, uniqueId, code, message, frame } of frames) {
      metrics.refused.inc({ code })
      quarantine.add({
        protocol,
        uniqueId,
        reason: `refused: ${code}`,
        detail: message,
        frame: Buffer.from(frame),
        address: '',
      })
      logRefused(log, protocol, uniqueId, code, message)
    }
  }
  const countEvaluation = evaluationMetrics(options.registry)
  const onEvaluated = (shard: number, evaluation: EvaluationFigures) => {
    countEvaluation(shard, evaluation)
    const { evicted, failures, failure } = evaluation
    if (evicted > 0) metrics.limitMet('geofenceDevicesMax')
    if (failures > 0) log.error({ shard, failure }, 'positions were stored without their events of geofences')
    else if (failure !== '') log.warn({ shard, failure }, 'positions were evaluated again')
  }
  const pace =
    ackAfter === 'journal'
      ? { gatherMs: GATHER_MS, spillAfterMs: limits.spillAfterMs }
      : { gatherMs: 0, spillAfterMs: Infinity }
  const shards = options.livePorts.map((livePort, index) => {
    const { databaseUrl, decoders } = options
    const of = options.livePorts.length
    const shardOptions = {
      index,
      shards: of,
      databaseUrl,
      livePort,
      journal: options.journal,
      decoders,
      geofenceDevicesMax: limits.geofenceDevicesMax,
    }
    return new Shard(shardOptions, pace, {
      onStored: ({ rows, duplicates, refused, storeMs, evaluation }) => {
        metrics.stored.inc(rows - duplicates - refused)
        if (duplicates > 0) metrics.duplicates.inc(duplicates)
        metrics.storeSeconds.observe(storeMs / 1000)
        if (evaluation !== undefined) onEvaluated(index, evaluation)
      },
      onRefused,
      onDamage: (lost, message) => {
        journalFigures.damaged.inc(lost)
        log.error({ lost, message }, 'records of the journal are damaged and lost: check the disk')
      },
      onDatabase: (shard, up, message) => {
        metrics.databaseUp.set({ shard: String(shard) }, up ? 1 : 0)
        if (up) databaseDown.delete(shard)
        else {
          if (!databaseDown.has(shard))
            log.warn({ shard, message }, 'shard lost the database: it tries again')
          databaseDown.set(shard, message)
        }
      },
      onRoom: () => intake().room(),
      onBehind: (shard, behind) => {
        journalFigures.behind.set({ shard: String(shard) }, behind ? 1 : 0)
        if (behind) metrics.limits.inc({ limit: 'spillAfterMs' })
      },
      onFailure: options.onFailure,
    })
  })
  const { start: from, end: to } = journal
  if (from < to) log.info({ records: to - from }, 'storing what the journal holds from before')
  // Before anything asks for the oldest record that is not stored: what no shard knows of counts as stored.
  for (const shard of shards) shard.recover({ from, to })

  const oldest = () => {
    let first: { position: number; receivedMs: number } | undefined
    for (const shard of shards) {
      const { oldest } = shard
      if (oldest !== undefined && (first === undefined || oldest.position < first.position)) first = oldest
    }
    return first
  }
  const lag = (): Lag => {
    const first = oldest()
    if (first === undefined) return { records: 0, seconds: 0 }
    const seconds = Math.max(0, (Date.now() - first.receivedMs) / 1000)
    return { records: journal.end - first.position, seconds: Number.isNaN(seconds) ? 0 : seconds }
  }
  const journalFigures = journalMetrics(options.registry, () => journal, lag)
  const trim = () => journal.trim(oldest()?.position ?? journal.durable)
  const trimmer = setInterval(trim, TRIM_EVERY_MS)

  const allSynced = async () => {
    while (journal.durable < journal.end) {
      await new Promise<void>((resolve) => {
        onSynced = resolve
      })
    }
  }

  return {
    journal,
    shards,
    storedUntilMs: (deviceId) => {
      const waiting = shards[deviceId % shards.length]!.oldest
      if (waiting === undefined) return Infinity
      // Of what the journal holds from before, the time is not known until it is read.
      return Number.isNaN(waiting.receivedMs) ? 0 : waiting.receivedMs
    },
    readiness: () => {
      if (full !== undefined) return { ok: false, detail: full }
      const [down] = databaseDown
      if (down !== undefined) {
        return { ok: ackAfter === 'journal', degraded: true, detail: `shard ${down[0]}: ${down[1]}` }
      }
      const { seconds, records } = lag()
      if (seconds > LAG_DEGRADED_S) {
        const detail = `${records} records wait in the journal, the oldest for ${Math.round(seconds)} s`
        return { ok: true, degraded: true, detail }
      }
      return { ok: true }
    },
    close: async () => {
      clearInterval(trimmer)
      const { stopTimeoutMs } = limits
      await Promise.race([allSynced(), delay(stopTimeoutMs, undefined, { ref: false })])
      for (const allStored of await Promise.all(shards.map((shard) => shard.stop(stopTimeoutMs)))) {
        if (allStored) continue
        metrics.limits.inc({ limit: 'stopTimeoutMs' })
        log.warn('a shard could not store all that it held: the journal keeps it for the next start')
      }
      trim()
      await Promise.race([journal.close(), delay(stopTimeoutMs, undefined, { ref: false })])
    },
  }
}

/** Not each: a fault of the schema would refuse everything. */
const LOG_REFUSED_EVERY_MS = 60_000
const refusedLoggedMs = new Map<string, number>()

function logRefused(log: Logger, protocol: string, uniqueId: string, code: string, message: string): void {
  const nowMs = performance.now()
  if (nowMs - (refusedLoggedMs.get(code) ?? -Infinity) < LOG_REFUSED_EVERY_MS) return
  refusedLoggedMs.set(code, nowMs)
  log.error({ protocol, uniqueId, code, message }, 'a position was refused: its frame is in the quarantine')
}
