/** For tests: the API on a database of its own, with two organisations and a user of every role in each. */
import { request } from 'node:http'
import type pg from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { vi } from 'vitest'
import { ROLES, type Role } from '../schemas/roles.ts'
import { createPool } from '../storage/pools.ts'
import { testDatabase } from '../test/database.ts'
import { sessionToken } from '../test/sessions.ts'
import type { ApiOptions } from './options.ts'
import { hashPassword } from './passwords.ts'
import { startApi } from './server.ts'

// Whichever file comes first starts the database server.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 })

export const JWT_SECRET = 'a secret of the tests, long enough for HMAC'

/** Of every user of the fixture. */
export const PASSWORD = 'correct horse battery'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** Parsed JSON; undefined without a body. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it freely.
  readonly body: any
}

/** A call with a token, or as nobody. */
export type Call = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Answer>

export interface Tenant {
  readonly id: number
  /** Id of the user with each role; the super admin's is the same in both. */
  readonly userIds: Readonly<Record<Role, number>>
  /** Access token of the user with each role. */
  readonly tokens: Readonly<Record<Role, string>>
  /** Calls as the user with each role. */
  readonly as: Readonly<Record<Role, Call>>
}

export interface ApiFixture {
  readonly origin: string
  readonly databaseUrl: string
  /** As the owner of the schema. */
  readonly pool: pg.Pool
  readonly registry: Registry
  /** Lines that were logged. */
  readonly logged: Record<string, unknown>[]
  readonly nobody: Call
  readonly north: Tenant
  readonly south: Tenant
  /** Calls with whatever token. */
  caller(token?: string): Call
  /** A device in an organisation, straight into the table. */
  addDevice(organizationId: number, uniqueId: string): Promise<number>
  close(): Promise<void>
}

let passwordHash: Promise<string> | undefined

export async function apiFixture(options: Partial<ApiOptions> = {}): Promise<ApiFixture> {
  passwordHash ??= hashPassword(PASSWORD)
  const database = await testDatabase()
  const pool = createPool(database.url, { max: 4, applicationName: 'api test' })
  const registry = new Registry()
  const logged: Record<string, unknown>[] = []
  const api = await startApi({
    host: '127.0.0.1',
    port: 0,
    pool,
    jwtSecret: JWT_SECRET,
    streamUrl: () => 'ws://127.0.0.1:8081',
    metrics: () => registry.metrics(),
    commands: {
      types: new Map([
        ['gt06', ['custom', 'engineStop', 'engineResume']],
        ['osmand', []],
      ]),
      engineStopSpeedKmhMax: 5,
      queuedPerDeviceMax: 100,
      onQueueFull: () => undefined,
    },
    geofences: { perOrganizationMax: 1_000_000, overlapsMax: 1_000, onLimit: () => undefined },
    ready: async () => ({ ingest: { ok: true }, live: { ok: true } }),
    log: pino({ level: 'debug' }, { write: (line: string) => logged.push(JSON.parse(line)) }),
    registry,
    ...options,
  })
  const origin = `http://127.0.0.1:${api.port}`
  const caller = (token?: string): Call => {
    return async (method, path, body, headers = {}) => {
      const response = await fetch(origin + path, {
        method,
        headers: {
          ...(token !== undefined && { Authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      const text = await response.text()
      const json = /json/.test(response.headers.get('Content-Type') ?? '')
      return {
        status: response.status,
        headers: response.headers,
        body: json && text !== '' ? JSON.parse(text) : text || undefined,
      }
    }
  }

  const hash = await passwordHash
  const addUser = async (email: string, role: Role, organizationId: number | null): Promise<number> => {
    const { rows } = await pool.query(
      'INSERT INTO users (organization_id, email, name, role, password_hash) VALUES ($1, $2, $3, $4, $5) RETURNING id',
      [organizationId, email, `${role} of the tests`, role, hash],
    )
    return rows[0].id
  }
  const root = await addUser('root@example.com', 'super-admin', null)
  const addTenant = async (name: string): Promise<Tenant> => {
    const { rows } = await pool.query('INSERT INTO organizations (name) VALUES ($1) RETURNING id', [name])
    const id: number = rows[0].id
    const userIds = {} as Record<Role, number>
    const tokens = {} as Record<Role, string>
    const as = {} as Record<Role, Call>
    for (const role of ROLES) {
      const organizationId = role === 'super-admin' ? null : id
      userIds[role] = role === 'super-admin' ? root : await addUser(`${role}@${name}.example.com`, role, id)
      tokens[role] = await sessionToken(pool, { userId: userIds[role], organizationId, role }, JWT_SECRET)
      as[role] = caller(tokens[role])
    }
    return { id, userIds, tokens, as }
  }

  return {
    origin,
    databaseUrl: database.url,
    pool,
    registry,
    logged,
    nobody: caller(),
    north: await addTenant('north'),
    south: await addTenant('south'),
    caller,
    addDevice: async (organizationId, uniqueId) => {
      const { rows } = await pool.query(
        'INSERT INTO devices (organization_id, unique_id, name) VALUES ($1, $2, $2) RETURNING id',
        [organizationId, uniqueId],
      )
      return rows[0].id
    },
    close: async () => {
      await api.close()
      await pool.end()
      await database.drop()
    },
  }
}

/** Status of a POST that says how long its body is, and sends none of it. */
export function refusedUnread(api: ApiFixture, path: string, bodyBytes: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = {
      'Content-Type': 'application/json',
      'Content-Length': bodyBytes,
      Authorization: `Bearer ${api.north.tokens.dispatcher}`,
    }
    const call = request(api.origin + path, { method: 'POST', agent: false, headers }, (response) => {
      resolve(response.statusCode)
      call.destroy()
    })
    call.on('error', reject)
    call.flushHeaders()
  })
}
