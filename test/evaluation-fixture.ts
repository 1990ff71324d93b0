/** Writers of shards that evaluate, on a database of their own, without the threads and the wire around them. */
import type pg from 'pg'
import { buildFenceIndex, type FenceSource } from '../geofence/index/fence-index.ts'
import type { Terms } from '../geofence/index/fence-map.ts'
import { compileShape } from '../geofence/shapes/shape.ts'
import { Evaluator } from '../ingest/geofences/evaluation/evaluator.ts'
import { PositionWriter, type Written } from '../ingest/shards/writer.ts'
import { GeofenceRule, type GeofenceShape } from '../schemas/geofence.ts'
import type { LiveEvent } from '../schemas/live-port.ts'
import { PositionBatch } from '../schemas/position-batch.ts'
import { createPool } from '../storage/pools.ts'
import { testDatabase } from './database.ts'

/** A fix: seconds after {@link START_MS}, longitude, and speed; the latitude is 0.5 where it is not given. */
export interface DrivenFix {
  readonly device: number
  readonly s: number
  readonly longitudeDeg: number
  readonly latitudeDeg?: number
  readonly speedKmh?: number
  readonly digest?: number
}

/** Long enough ago for the timers that no test starts, and in a partition of its own. */
export const START_MS = Math.floor(Date.now() / 86_400_000 - 2) * 86_400_000 + 3_600_000

/** A square of a degree from the place on. */
export function square(westDeg: number, southDeg = 0): GeofenceShape {
  const [east, north] = [westDeg + 1, southDeg + 1]
  const ring = [
    [westDeg, southDeg],
    [east, southDeg],
    [east, north],
    [westDeg, north],
    [westDeg, southDeg],
  ]
  return { type: 'Polygon', coordinates: [ring] }
}

export interface ShardWriter {
  readonly writer: PositionWriter
  readonly evaluator: Evaluator
}

/** Events as tests compare them: neither ids nor when they were recorded. */
export interface ShownEvent {
  readonly device: number
  readonly geofence: number
  readonly type: string
  /** After {@link START_MS}. */
  readonly s: number
}

export class EvaluationFixture {
  readonly pool: pg.Pool
  readonly url: string
  private readonly release: () => Promise<void>
  private readonly sources: FenceSource[] = []
  private readonly disabled = new Set<number>()
  private readonly terms: Terms[] = []
  private readonly shards: ShardWriter[] = []

  private constructor(url: string, pool: pg.Pool, release: () => Promise<void>) {
    this.url = url
    this.pool = pool
    this.release = release
  }

  static async start(): Promise<EvaluationFixture> {
    const database = await testDatabase()
    const pool = createPool(database.url, { max: 4, applicationName: 'evaluation test' })
    return new EvaluationFixture(database.url, pool, () => database.drop())
  }

  async stop(): Promise<void> {
    await this.closeShards()
    await this.pool.end()
    await this.release()
  }

  async closeShards(): Promise<void> {
    await Promise.all(this.shards.splice(0).map(({ writer }) => writer.close()))
  }

  async insert(sql: string, values: unknown[] = []): Promise<number> {
    return (await this.pool.query(`INSERT INTO ${sql} RETURNING id`, values)).rows[0].id
  }

  organization(): Promise<number> {
    return this.insert('organizations (name) VALUES (gen_random_uuid())')
  }

  /** Ids of so many new devices. */
  async devices(organization: number, count = 1): Promise<number[]> {
    const { rows } = await this.pool.query<{ id: number }>(
      `INSERT INTO devices (organization_id, unique_id, name)
       SELECT $1, gen_random_uuid(), 'd' FROM generate_series(1, $2) RETURNING id`,
      [organization, count],
    )
    return rows.map(({ id }) => id)
  }

  /** A geofence that all shards know from now on. */
  async fence(organizationId: number, shape: GeofenceShape, rule: object = {}): Promise<number> {
    const rules = [GeofenceRule.parse(rule)]
    const id = await this.insert(
      `geofences (organization_id, name, shape, west, south, east, north, time_zone, rules)
       VALUES ($1, 'g', $2, 0, 0, 1, 1, 'UTC', $3)`,
      [organizationId, shape, JSON.stringify(rules)],
    )
    const crossing = rules.some(({ crossingGapS }) => crossingGapS > 0)
    const terms = this.terms.push({ timeZone: 'UTC', rules }) - 1
    this.sources.push({ id, organizationId, version: 1, terms, crossing, shape: compileShape(shape) })
    for (const { evaluator } of this.shards) this.update(evaluator)
    return id
  }

  /** Gives a geofence another rule, or disables it: all shards know it from now on. */
  async edit(id: number, change: { readonly rule?: object; readonly disabled?: boolean }): Promise<void> {
    const { rule, disabled = null } = change
    const rules = rule === undefined ? undefined : [GeofenceRule.parse(rule)]
    const { rows } = await this.pool.query<{ version: number; disabled: boolean }>(
      `UPDATE geofences SET rules = coalesce($2, rules), disabled = coalesce($3, disabled)
       WHERE id = $1 RETURNING version, disabled`,
      [id, rules && JSON.stringify(rules), disabled],
    )
    const [{ version, disabled: isDisabled }] = rows as [{ version: number; disabled: boolean }]
    const at = this.sources.findIndex((source) => source.id === id)
    const terms = rules ? this.terms.push({ timeZone: 'UTC', rules }) - 1 : this.sources[at]!.terms
    this.sources[at] = { ...this.sources[at]!, version, terms }
    if (isDisabled) this.disabled.add(id)
    else this.disabled.delete(id)
    for (const { evaluator } of this.shards) this.update(evaluator)
  }

  /** A shard of a process of its own. */
  shard({
    url = this.url,
    devicesMax = 1_000,
    changesMax = 50_000,
    answerTimeoutMs = 30_000,
  } = {}): ShardWriter {
    const evaluator = new Evaluator(devicesMax, changesMax)
    const writer = new PositionWriter(
      url,
      'evaluation test shard',
      { onDatabase() {} },
      evaluator,
      answerTimeoutMs,
    )
    const shard = { writer, evaluator }
    this.shards.push(shard)
    this.update(evaluator)
    return shard
  }

  /** Current events in the order of time, geofence and type. */
  async currentEvents(devices?: readonly number[]): Promise<ShownEvent[]> {
    const { rows } = await this.pool.query<ShownEvent>(
      `SELECT device_id AS device, geofence_id AS geofence, type,
         (extract(epoch FROM event_time) - $1)::double precision AS s
       FROM events WHERE NOT superseded AND NOT retracted AND ($2::integer[] IS NULL OR device_id = ANY ($2))
       ORDER BY device_id, event_time, geofence_id, type`,
      [START_MS / 1000, devices ?? null],
    )
    return rows
  }

  async count(sql: string, values: unknown[] = []): Promise<number> {
    return Number((await this.pool.query(`SELECT count(*) FROM ${sql}`, values)).rows[0].count)
  }

  private update(evaluator: Evaluator): void {
    evaluator.update({
      base: buildFenceIndex(this.sources.filter(({ id }) => !this.disabled.has(id))),
      delta: null,
      gone: new Int32Array(),
      termsFrom: 0,
      terms: [...this.terms],
    })
  }
}

export function batchOf(fixes: readonly DrivenFix[]): PositionBatch {
  const batch = new PositionBatch(8)
  for (const { device, s, longitudeDeg, latitudeDeg = 0.5, speedKmh = Number.NaN, digest = s } of fixes) {
    const row = batch.add(START_MS + s * 1000, latitudeDeg, longitudeDeg)
    batch.receivedMs[row] = START_MS + s * 1000
    batch.device[row] = device
    batch.speedKmh[row] = speedKmh
    batch.digestLow[row] = digest
  }
  return batch
}

/** Writes a batch. @returns What came of it, with the events of all of its commits. */
export async function writeFixes(
  writer: PositionWriter,
  batch: PositionBatch,
): Promise<Written & { events: LiveEvent[] }> {
  const written = await writer.write(batch)
  return { ...written, events: written.commits.flatMap(({ events }) => events) }
}
