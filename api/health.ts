/** Is it alive, is it ready, how is it doing: for supervisors, proxies and Prometheus. */
import { timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import { OpenAPIHono } from '@hono/zod-openapi'
import type pg from 'pg'
import { z } from 'zod'
import { forbidden } from './access.ts'
import type { HealthOptions, PartState } from './options.ts'
import { type ApiEnv, content, route, unauthorized } from './route.ts'
import { tokenHash } from './sessions.ts'

/** How long the database may take to answer, ms. */
const DATABASE_TIMEOUT_MS = 2000

const tags = ['Operation']

const Health = z.object({ status: z.literal('ok') }).meta({ id: 'Health' })

const Readiness = z
  .record(z.string(), z.object({ status: z.enum(['ok', 'degraded', 'down']), detail: z.string() }))
  .meta({ id: 'Readiness', description: 'state of each part: database, ingest, live' })
type Readiness = z.infer<typeof Readiness>

const getHealth = route({
  method: 'get',
  path: '/health',
  operationId: 'getHealth',
  tags,
  summary: 'Does the process serve?',
  responses: { 200: { description: 'it does', content: content(Health) } },
})

const getReadiness = route({
  method: 'get',
  path: '/ready',
  operationId: 'getReadiness',
  tags,
  summary: 'Can the process do its work?',
  responses: {
    200: {
      description:
        'all parts can; or `ingest` is `degraded`: positions are taken and kept in the journal until the database is back',
      content: content(Readiness),
    },
    503: { description: 'not all parts can', content: content(Readiness) },
  },
})

const getMetrics = route({
  method: 'get',
  path: '/metrics',
  operationId: 'getMetrics',
  tags,
  summary: 'Metrics for Prometheus',
  description:
    'Asks for the token of the metrics, if one is set; without one it answers on a loopback address only, and not behind a proxy.',
  responses: {
    200: { description: 'text format 0.0.4', content: { 'text/plain': { schema: z.string() } } },
  },
})

/** Routes `/health`, `/ready` and `/metrics`. */
export function health(options: HealthOptions): OpenAPIHono<ApiEnv> {
  // One check at a time, shared by all who ask: anyone may, and each costs a connection.
  let running: Promise<Readiness> | undefined
  // Behind a proxy of ours, a loopback address says nothing about who asks.
  const local = isLoopback(options.host) && options.trustedProxy !== true

  return new OpenAPIHono<ApiEnv>()
    .openapi(getHealth, (c) => c.json({ status: 'ok' as const }, 200))
    .openapi(getReadiness, async (c) => {
      running ??= readiness(options).finally(() => {
        running = undefined
      })
      const parts = await running
      return c.json(parts, serves(parts) ? 200 : 503)
    })
    .openapi(getMetrics, async (c) => {
      if (options.metricsToken !== undefined) {
        const given = /^Bearer +([^ ]+) *$/i.exec(c.req.header('Authorization') ?? '')?.[1]
        if (given === undefined || !timingSafeEqual(tokenHash(given), tokenHash(options.metricsToken)))
          throw unauthorized(
            'not-logged-in',
            'Send the token of the metrics as `Authorization: Bearer TOKEN`.',
          )
      } else if (!local)
        throw forbidden('Set a token for the metrics: others than this machine can ask for them.')
      return c.text(await options.metrics(), 200, {
        'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
      })
    })
}

async function readiness({ pool, ready, log }: HealthOptions): Promise<Readiness> {
  const [database, others] = await Promise.all([
    databaseState(pool),
    ready().catch((error: unknown): Record<string, PartState> => {
      log.error({ err: error }, 'the state of the other parts is not known')
      return { engine: { ok: false, detail: 'not known; see the log' } }
    }),
  ])
  const parts = Object.entries({ database, ...others })
  return Object.fromEntries(
    parts.map(([name, { ok, degraded, detail = '' }]) => [
      name,
      { status: !ok ? ('down' as const) : degraded ? ('degraded' as const) : ('ok' as const), detail },
    ]),
  )
}

/** Whether devices are served: while ingest keeps positions for it, they are also without a database. */
function serves(parts: Readiness): boolean {
  const kept = parts.ingest?.status === 'degraded'
  return Object.entries(parts).every(
    ([name, { status }]) => status !== 'down' || (kept && name === 'database'),
  )
}

/** Details name no host or user: anyone may ask. */
async function databaseState(pool: pg.Pool): Promise<PartState> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<PartState>((resolve) => {
    const detail = `no answer in ${DATABASE_TIMEOUT_MS} ms`
    timer = setTimeout(() => resolve({ ok: false, detail }), DATABASE_TIMEOUT_MS)
  })
  const answer = pool.query('SELECT 1').then(
    (): PartState => ({ ok: true }),
    (error: { code?: string }): PartState => ({ ok: false, detail: error.code ?? 'connection lost' }),
  )
  return Promise.race([answer, late]).finally(() => clearTimeout(timer))
}

/** Whether only this machine reaches the address. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
