/** The HTTP application: mounts the resources, and answers what none of them does. */
import type { IncomingMessage } from 'node:http'
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context, MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { routePath } from 'hono/route'
import { Histogram, type Registry } from 'prom-client'
import { auditEvents } from './audit.ts'
import { auth } from './auth.ts'
import { commands } from './commands.ts'
import { dashboard } from './dashboard.ts'
import { databaseProblem } from './database-error.ts'
import { deviceGroups } from './device-groups.ts'
import { devices } from './devices.ts'
import { docs } from './docs.ts'
import { driverDevices } from './driver-devices.ts'
import { geofenceBackfills } from './geofence-backfills.ts'
import { geofenceEvents } from './geofence-events.ts'
import { geofenceImport } from './geofence-import.ts'
import { geofences } from './geofences.ts'
import { health } from './health.ts'
import { nearby } from './nearby.ts'
import type { ApiOptions, HealthOptions } from './options.ts'
import { organizations } from './organizations.ts'
import { positions } from './positions.ts'
import { ApiError, invalidRequest, problemResponse } from './problem.ts'
import { quarantine } from './quarantine.ts'
import { type ApiEnv, authentication, notJson } from './route.ts'
import { shareLinks } from './share-links.ts'
import { shares } from './shares.ts'
import { snapshot } from './snapshot.ts'
import { streamTickets } from './stream-tickets.ts'
import { tracks } from './tracks.ts'
import { users } from './users.ts'

const RESOURCES = [
  auth,
  organizations,
  users,
  driverDevices,
  // Their paths would else be taken for those of a device.
  nearby,
  devices,
  commands,
  deviceGroups,
  geofenceImport,
  geofences,
  geofenceBackfills,
  geofenceEvents,
  quarantine,
  positions,
  snapshot,
  tracks,
  streamTickets,
  shareLinks,
  shares,
  auditEvents,
]

/** Methods that are told apart in metrics: a client may invent others. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** The application, without a server. */
export function createApp(options: ApiOptions): OpenAPIHono<ApiEnv> {
  const app = newApp(options)
  app.use('/api/*', authentication(options.jwtSecret))
  for (const resource of RESOURCES) app.route('/api/v1', resource(options))
  app.route('/', health(options))
  app.route(
    '/',
    docs(() =>
      app.getOpenAPI31Document({
        openapi: '3.1.0',
        info: {
          title: 'FleetFlow',
          version: '1',
          description: 'Fleets: devices, their positions, and who may see them.',
        },
        servers: [{ url: '/' }],
      }),
    ),
  )
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
  })
  app.route('/', dashboard(options))
  return closeApp(app, options)
}

/** The application of a process without the API: it only says how the process is. */
export function createHealthApp(options: HealthOptions): OpenAPIHono<ApiEnv> {
  const app = newApp(options)
  app.route('/', health(options))
  return closeApp(app, options)
}

function newApp({ registry }: HealthOptions): OpenAPIHono<ApiEnv> {
  const app = new OpenAPIHono<ApiEnv>({
    defaultHook: (result) => {
      if (!result.success) throw invalidRequest(result.target, result.error)
    },
  })
  app.use(measure(registry))
  app.use(protect)
  return app
}

/** Answers what no resource does. */
function closeApp(app: OpenAPIHono<ApiEnv>, options: HealthOptions): OpenAPIHono<ApiEnv> {
  refuseOtherMethods(app)
  app.notFound(() => {
    throw new ApiError(404, 'not-found', 'There is nothing at this path; see /docs.')
  })
  app.onError((error, c) => answerError(error, c, options))
  return app
}

/** A path that exists with other methods is a 405, which Hono leaves at a 404. */
function refuseOtherMethods(app: OpenAPIHono<ApiEnv>): void {
  const methods = new Map<string, Set<string>>()
  for (const { path, method } of app.routes) {
    if (method === 'ALL') continue
    const allowed = methods.get(path) ?? new Set()
    methods.set(path, allowed.add(method))
    if (method === 'GET') allowed.add('HEAD')
  }
  for (const [path, allowed] of methods)
    app.all(path, (c) => {
      const list = [...allowed].join(', ')
      throw new ApiError(405, 'method-not-allowed', `${c.req.method} is not possible here; use ${list}.`, {
        headers: { Allow: list },
      })
    })
}

function answerError(error: Error, c: Context<ApiEnv>, { log }: HealthOptions): Response {
  const problem = error instanceof ApiError ? error : (requestProblem(error, c) ?? databaseProblem(error))
  const request = { method: c.req.method, path: loggedPath(c.req.path) }
  if (problem === undefined) {
    log.error({ err: error, ...request }, 'request failed')
    return problemResponse(
      new ApiError(500, 'internal', 'Something is wrong on our side; it has been logged.'),
    )
  }
  if (problem.status >= 500) log.warn({ err: problem.cause ?? problem, ...request }, 'request refused')
  return problemResponse(problem)
}

/** A path without the token of a share link, which is a secret. */
function loggedPath(path: string): string {
  return path.replace(/^(.*?\/share\/)[^/]+/, '$1…')
}

/** What is wrong with a body that could not be read. */
function requestProblem(error: Error, c: Context<ApiEnv>): ApiError | undefined {
  const { incoming } = (c.env ?? {}) as { incoming?: IncomingMessage }
  if (incoming?.destroyed && !incoming.complete)
    return new ApiError(400, 'invalid-json', 'The body ended early.', { cause: error })
  if (!(error instanceof HTTPException)) return undefined
  return error.status === 415 ? notJson() : new ApiError(400, 'invalid-json', 'The body is not JSON.')
}

/** Headers that every answer has. A handler that sets one of its own keeps it. */
const protect: MiddlewareHandler<ApiEnv> = async (c, next) => {
  await next()
  const { headers } = c.res
  headers.set('X-Content-Type-Options', 'nosniff')
  headers.set('Referrer-Policy', 'no-referrer')
  if (!headers.has('Cache-Control')) headers.set('Cache-Control', 'no-store')
  if (!headers.has('Content-Security-Policy'))
    headers.set('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'")
}

function measure(registry: Registry): MiddlewareHandler<ApiEnv> {
  const seconds = new Histogram({
    name: 'fleetflow_api_request_seconds',
    help: 'Time to answer, s, by pattern of the path.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10],
    registers: [registry],
  })
  return async (c, next) => {
    const startMs = performance.now()
    await next()
    const path = routePath(c, -1)
    const method = METHODS.has(c.req.method) ? c.req.method : 'other'
    seconds.observe(
      { method, route: path.endsWith('*') ? 'none' : path, status: c.res.status },
      (performance.now() - startMs) / 1000,
    )
  }
}
