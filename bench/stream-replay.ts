/** Replays as fast as they are taken, against PostgreSQL's own client; and how soon a seek shows something. */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import copyStreams from 'pg-copy-streams'
import type { Registry } from 'prom-client'
import { startLive } from '../live/server.ts'
import { type ClientMessage, STREAM_PROTOCOLS } from '../schemas/stream.ts'
import { seededRandom } from '../test/seeded-random.ts'
import { sessionToken } from '../test/sessions.ts'
import { type Bench, nextMessage } from './bench.ts'
import { figure, percentile, SEED, times } from './measure.ts'
import type { Question, Row } from './question.ts'
import type { ReplayAnswer, ReplayClientOptions, ReplayRequest } from './stream-replay-client.ts'

const DAYS = 4
const ROWS = Number(process.env.BENCH_REPLAY_ROWS ?? 1_000_000)
const DEVICES = Math.max(1_000, Math.min(10_000, ROWS / 1_000))
const STEP_MS = (DAYS * 86_400_000) / (ROWS / DEVICES)
/** Rows that are replayed: about so many, of all devices or of some. */
const REPLAYED_ROWS = 400_000
const ROUNDS = 3
const SEEKS = 100
const START_MS = Date.UTC(2026, 0, 1)
const JWT_SECRET = 'a secret of the benchmarks that is long enough'

/** What was asked for. */
const RATIO_MIN = 0.5
const SEEK_P95_MS_MAX = 300

/** How rows are written: objects are what a client gets that asks for nothing else. */
const FORMS = [
  { name: 'json arrays', format: 'json', rows: 'arrays' },
  { name: 'msgpack arrays', format: 'msgpack', rows: 'arrays' },
  { name: 'json objects', format: 'json', rows: 'objects' },
] as const

interface Fleet {
  readonly databaseUrl: string
  readonly registry: Registry
  readonly clients: Record<keyof typeof STREAM_PROTOCOLS, ChildProcess>
}

interface Stretch {
  readonly devices: readonly number[] | null
  readonly fromMs: number
  readonly toMs: number
}

export const streamReplay: Question = {
  name: 'stream-replay',
  title: 'How fast does the stream replay what is stored, and how soon after a seek?',
  method:
    `${ROWS.toLocaleString('en-US')} positions of ${DEVICES.toLocaleString('en-US')} devices with 4 attributes lie in ${DAYS} days, 1 % of them stored up to three hours late (\`BENCH_REPLAY_ROWS\` makes them ` +
    'more). A client in a process of its own replays a part of them with `speed: 0`, and does not look into the rows; psql ' +
    `reads the same rows, \`COPY (SELECT * …) TO STDOUT\`, to nowhere. ${ROUNDS} rounds in turns, the median counts; server, client and database share the ` +
    `machine. Asked for: ${RATIO_MIN} of psql. Then ${SEEKS} seeks to random times of a replay of all devices, from the message until the first positions have come; asked for: p95 below ${SEEK_P95_MS_MAX} ms.`,
  measure: async (bench) => {
    const fleet = await makeFleet(bench)
    const rows: Row[] = []
    for (const devices of [DEVICES, DEVICES / 10, 10]) {
      bench.progress(`stream-replay: ${devices} devices`)
      rows.push(...(await replayed(fleet, devices)))
    }
    bench.progress('stream-replay: seeks')
    rows.push(await seeks(fleet))
    return rows
  },
}

async function makeFleet(bench: Bench): Promise<Fleet> {
  const databaseUrl = await bench.database()
  const client = await bench.connect(databaseUrl)
  bench.progress(`stream-replay: storing ${ROWS} positions`)
  const inserted = await client.query<{ id: number }>(
    "INSERT INTO organizations (name) VALUES ('fleet') RETURNING id",
  )
  const organizationId = inserted.rows[0]!.id
  await client.query(
    "INSERT INTO devices (organization_id, unique_id, name) SELECT $1, i, 'lorry' FROM generate_series(1, $2) i",
    [organizationId, DEVICES],
  )
  const steps = ROWS / DEVICES / DAYS
  for (let day = 0; day < DAYS; day++) {
    const dayMs = START_MS + day * 86_400_000
    await client.query('SELECT ensure_position_day($1)', [new Date(dayMs)])
    await client.query(POSITIONS, [new Date(dayMs), steps, DEVICES, STEP_MS])
  }
  await client.query('VACUUM ANALYZE positions, devices')
  await client.query('CHECKPOINT')
  const users = await client.query<{ id: number }>(
    "INSERT INTO users (organization_id, email, role, password_hash) VALUES ($1, 'v@fleet.example', 'viewer', '') RETURNING id",
    [organizationId],
  )
  const user = { userId: users.rows[0]!.id, organizationId, role: 'viewer' } as const
  const token = await sessionToken(client, user, JWT_SECRET)
  const live = await startLive(
    {
      host: '127.0.0.1',
      port: 0,
      allowedOrigins: [],
      databaseUrl,
      jwtSecret: JWT_SECRET,
      logLevel: 'warn',
      // Seeks follow each other as fast as they are answered.
      limits: { messagesPerSecondMax: 1_000 },
    },
    [],
  )
  bench.defer(() => live.stop())
  const connect = async (subprotocol: string) => {
    const url = `ws://127.0.0.1:${live.port}/api/v1/stream`
    const child = bench.fork('stream-replay-client', {
      url,
      token,
      subprotocol,
    } satisfies ReplayClientOptions)
    await nextMessage(child, 'stream-replay-client')
    return child
  }
  const clients = {
    json: await connect(STREAM_PROTOCOLS.json),
    msgpack: await connect(STREAM_PROTOCOLS.msgpack),
  }
  return { databaseUrl, registry: live.registry, clients }
}

/**
 * In the order in which an engine stores them: time by time, device by device. Figures are as fine as trackers send them:
 * whole milliseconds and metres, degrees of seven decimals, millivolts.
 */
const POSITIONS = `
  INSERT INTO positions (fix_time, received_at, latitude, longitude, odometer_m, digest, device_id, altitude_m, speed_kmh,
    course_deg, hdop, power_v, satellites, quality, valid, ignition, motion, attributes)
  SELECT
    CASE WHEN random() < 0.01 THEN greatest($1::timestamptz, t - random(0, 10800000) * interval '1 ms') ELSE t END, t,
    50 + random(0, 10000000) / 1e7, 10 + random(0, 10000000) / 1e7, random(100000, 1100000), (random() * 9e18)::bigint,
    device, random(0, 300), random(0, 90), random(0, 359), 1.1, random(12000, 13000) / 1e3, 9, 0, true, true, true,
    '{"priority":1,"io24":' || random(0, 120) || ',"io68":' || random(0, 999) || ',"pdop":1.7}'
  FROM (
    SELECT device, $1::timestamptz + round((step + device::float8 / $3) * $4::float8) * interval '1 ms' AS t
    FROM generate_series(0, $2::int - 1) step, generate_series(1, $3::int) device) reported`

/** The middle of what is stored, as long as it takes for the rows. */
function stretchOf(deviceCount: number): Stretch {
  const lengthMs = Math.min(DAYS * 86_400_000, (REPLAYED_ROWS / deviceCount) * STEP_MS)
  const fromMs = Math.floor(START_MS + (DAYS * 86_400_000 - lengthMs) / 2)
  const every = DEVICES / deviceCount
  return {
    devices: every === 1 ? null : Array.from({ length: deviceCount }, (_, i) => 1 + i * every),
    fromMs,
    toMs: Math.ceil(fromMs + lengthMs),
  }
}

async function replayed(fleet: Fleet, deviceCount: number): Promise<Row[]> {
  const stretch = stretchOf(deviceCount)
  const count = await countRows(fleet.databaseUrl, stretch)
  const psqlMs: number[] = []
  const replayMs = FORMS.map((): number[] => [])
  for (let round = 0; round <= ROUNDS; round++) {
    const copyMs = await copyToNowhere(fleet.databaseUrl, `SELECT * FROM positions WHERE ${whereOf(stretch)}`)
    const took: number[] = []
    for (const { format, rows } of FORMS) {
      const before = await sentRows(fleet.registry)
      took.push((await ask(fleet.clients[format], [subscribeTo(stretch, rows)], 'end')).ms)
      fleet.clients[format].send({
        messages: [{ type: 'unsubscribe', id: 1 }],
        until: 'end',
      } satisfies ReplayRequest)
      const sent = (await sentRows(fleet.registry)) - before
      if (sent !== count) throw new Error(`${sent} rows came of ${count}`)
    }
    // What is hot is compiled, and what is read is in memory, after the first round.
    if (round === 0) continue
    psqlMs.push(copyMs)
    for (const [form, ms] of took.entries()) replayMs[form]!.push(ms)
  }
  const rate = (ms: readonly number[]) => (count * 1_000) / median(ms)
  const name = `${deviceCount.toLocaleString('en-US')} devices`
  return FORMS.map((form, i) => ({
    name: `${name}, ${form.name}`,
    cells: {
      rows: figure(count),
      'rows/s': figure(rate(replayMs[i]!)),
      'psql rows/s': figure(rate(psqlMs)),
      'of psql': times(rate(replayMs[i]!) / rate(psqlMs)),
      'p50 / p95 ms': '',
    },
    meaning: `${name} over ${((stretch.toMs - stretch.fromMs) / 3_600_000).toFixed(1)} h, ${form.name}; asked for: ${RATIO_MIN}.`,
  }))
}

async function seeks({ clients }: Fleet): Promise<Row> {
  const random = seededRandom(SEED)
  const took: number[] = []
  const end = START_MS + DAYS * 86_400_000
  const time = () => new Date(START_MS + random() * 0.99 * (end - START_MS)).toISOString()
  const subscribe = { type: 'subscribe', id: 2, scope: { all: true }, rows: 'arrays', speed: 0 } as const
  const begin: ClientMessage = { ...subscribe, from: time(), to: new Date(end).toISOString() }
  await ask(clients.msgpack, [begin], 'positions')
  for (let i = 0; i < SEEKS; i++) {
    took.push((await ask(clients.msgpack, [{ type: 'seek', id: 2, to: time() }], 'positions')).ms)
  }
  const samples = Float64Array.from(took)
  const [p50, p95] = [percentile(samples, 0.5), percentile(samples, 0.95)]
  return {
    name: 'seek, all devices',
    cells: {
      rows: figure(ROWS),
      'rows/s': '',
      'psql rows/s': '',
      'of psql': '',
      'p50 / p95 ms': `${figure(p50)} / ${figure(p95)}`,
    },
    meaning: `From the seek to the first positions, in ${ROWS.toLocaleString('en-US')} rows; asked for: p95 below ${SEEK_P95_MS_MAX} ms.`,
  }
}

function subscribeTo({ devices, fromMs, toMs }: Stretch, rows: 'arrays' | 'objects'): ClientMessage {
  const [from, to] = [new Date(fromMs).toISOString(), new Date(toMs).toISOString()]
  const scope = devices === null ? ({ all: true } as const) : { devices: [...devices] }
  return { type: 'subscribe', id: 1, scope, from, to, speed: 0, rows }
}

function ask(child: ChildProcess, messages: ClientMessage[], until: ReplayRequest['until']) {
  child.send({ messages, until } satisfies ReplayRequest)
  return nextMessage<ReplayAnswer>(child, 'stream-replay-client')
}

async function sentRows(registry: Registry): Promise<number> {
  return (await registry.getSingleMetric('fleetflow_stream_rows_total')!.get()).values[0]!.value
}

function whereOf({ devices, fromMs, toMs }: Stretch): string {
  const [from, to] = [fromMs, toMs].map((ms) => new Date(ms).toISOString())
  const only = devices === null ? '' : ` AND device_id = ANY ('{${devices.join()}}')`
  return `fix_time >= '${from}' AND fix_time < '${to}'${only}`
}

async function countRows(databaseUrl: string, stretch: Stretch): Promise<number> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  const { rows } = await client
    .query<{ count: string }>(`SELECT count(*) FROM positions WHERE ${whereOf(stretch)}`)
    .finally(() => client.end())
  return Number(rows[0]!.count)
}

/** By psql where there is one, else pg-copy-streams. @returns How long it took, ms. */
async function copyToNowhere(databaseUrl: string, query: string): Promise<number> {
  const copy = `COPY (${query}) TO STDOUT`
  const startMs = performance.now()
  const psql = spawn('psql', ['-X', '-q', '-c', copy, databaseUrl], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const code = await Promise.race([
    once(psql, 'exit').then(([code]) => code),
    once(psql, 'error').then(() => null),
  ])
  if (code === 0) return performance.now() - startMs
  if (code !== null) throw new Error(`psql ended with ${code}`)
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  await pipeline(client.query(copyStreams.to(copy)), nowhere).finally(() => client.end())
  return performance.now() - startMs
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
