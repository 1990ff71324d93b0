import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import pg from 'pg'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type ApiFixture, apiFixture } from './api-fixture.ts'
import type { ApiOptions } from './options.ts'

async function start(options?: Partial<ApiOptions>): Promise<ApiFixture> {
  const api = await apiFixture(options)
  onTestFinished(() => api.close())
  return api
}

/** A database that takes connections and says nothing. */
async function silentPool(): Promise<pg.Pool> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return new pg.Pool({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
}

describe('health', () => {
  it('is good as long as the process serves, with or without a database', async () => {
    const api = await start({ pool: new pg.Pool({ host: '127.0.0.1', port: 1 }) })
    expect((await api.nobody('GET', '/health')).body).toEqual({ status: 'ok' })
  })
})

describe('readiness', () => {
  it('names each part', async () => {
    const { status, body } = await (await start()).nobody('GET', '/ready')
    expect(status).toBe(200)
    const ok = { status: 'ok', detail: '' }
    expect(body).toEqual({ database: ok, ingest: ok, live: ok })
  })

  it('is a 503 when a part is down, and says which and why', async () => {
    const api = await start({
      ready: async () => ({ ingest: { ok: false, detail: 'the disk is full' }, live: { ok: true } }),
    })
    const { status, body } = await api.nobody('GET', '/ready')
    expect(status).toBe(503)
    expect(body.ingest).toEqual({ status: 'down', detail: 'the disk is full' })
    expect(body.live.status).toBe('ok')
  })

  it('is a 503 when the database refuses, and names no host', async () => {
    const api = await start({ pool: new pg.Pool({ host: '127.0.0.1', port: 1 }) })
    const { status, body } = await api.nobody('GET', '/ready')
    expect(status).toBe(503)
    expect(body.database).toEqual({ status: 'down', detail: 'ECONNREFUSED' })
  })

  it('is degraded, and no 503, when the database is away and ingest keeps what it takes', async () => {
    const api = await start({
      pool: new pg.Pool({ host: '127.0.0.1', port: 1 }),
      ready: async () => ({
        ingest: { ok: true, degraded: true, detail: 'shard 0: lost' },
        live: { ok: true },
      }),
    })
    const { status, body } = await api.nobody('GET', '/ready')
    expect(status).toBe(200)
    expect(body.database.status).toBe('down')
    expect(body.ingest).toEqual({ status: 'degraded', detail: 'shard 0: lost' })
  })

  it('is a 503 soon when the database says nothing', async () => {
    const api = await start({ pool: await silentPool() })
    const startMs = performance.now()
    const { status, body } = await api.nobody('GET', '/ready')
    expect(performance.now() - startMs).toBeLessThan(4000)
    expect([status, body.database.status]).toEqual([503, 'down'])
    expect((await api.nobody('GET', '/health')).status).toBe(200)
  })

  it('is a 503 when the other parts cannot say', async () => {
    const api = await start({
      ready: async () => {
        throw new Error('gone')
      },
    })
    const { status, body } = await api.nobody('GET', '/ready')
    expect([status, body.engine.status]).toEqual([503, 'down'])
    expect(JSON.stringify(api.logged)).toContain('gone')
  })
})

describe('metrics', () => {
  it('are for everyone on a loopback address', async () => {
    const { status, headers, body } = await (await start()).nobody('GET', '/metrics')
    expect(status).toBe(200)
    expect(headers.get('Content-Type')).toContain('text/plain; version=0.0.4')
    expect(body).toContain('# TYPE fleetflow_api_request_seconds histogram')
  })

  it('are for nobody on an open address or behind a proxy, unless there is a token', async () => {
    for (const options of [{ host: '0.0.0.0' }, { trustedProxy: true }]) {
      const { status, body } = await (await start(options)).nobody('GET', '/metrics')
      expect([status, body.code]).toEqual([403, 'forbidden'])
    }
  })

  it('are for those with the token, if there is one', async () => {
    const api = await start({ metricsToken: 'scrape me' })
    expect((await api.nobody('GET', '/metrics')).status).toBe(401)
    expect((await api.caller('scrape you')('GET', '/metrics')).status).toBe(401)
    const tokenless = await start({ host: '0.0.0.0', metricsToken: 'scrape-me' })
    expect((await tokenless.caller('scrape-me')('GET', '/metrics')).status).toBe(200)
  })
})
