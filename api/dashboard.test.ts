import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiFixture, apiFixture } from './api-fixture.ts'

const SCRIPT = `export const text = ${JSON.stringify('x'.repeat(5000))}`

let api: ApiFixture
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleetflow-dashboard-'))
  await mkdir(join(folder, 'site/assets'), { recursive: true })
  await writeFile(join(folder, 'site/index.html'), '<!doctype html><title>FleetFlow</title>')
  await writeFile(join(folder, 'site/assets/index-B4x_9aQz.js'), SCRIPT)
  await writeFile(join(folder, 'site/favicon.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>')
  await writeFile(join(folder, 'overlay.geojson.gz'), gzipSync('{"type":"FeatureCollection","features":[]}'))
  await writeFile(join(folder, 'private.txt'), 'not for the web')
  api = await apiFixture({
    dashboardDir: pathToFileURL(join(folder, 'site')),
    overlayFile: pathToFileURL(join(folder, 'overlay.geojson.gz')),
    streamUrl: () => 'wss://live.example.com:8443',
  })
})
afterAll(async () => {
  await api.close()
  await rm(folder, { recursive: true })
})

describe('dashboard', () => {
  it('is the page at the root, asked for anew each time', async () => {
    const { status, headers, body } = await api.nobody('GET', '/')
    expect(status).toBe(200)
    expect(body).toContain('<title>FleetFlow</title>')
    expect(headers.get('Content-Type')).toBe('text/html; charset=utf-8')
    expect(headers.get('Cache-Control')).toBe('no-cache')
    const again = await api.nobody('GET', '/', undefined, { 'If-None-Match': headers.get('ETag')! })
    expect([again.status, again.body]).toEqual([304, undefined])
  })

  it('is the page of a share link, too, which is told to nobody', async () => {
    const { status, headers, body } = await api.nobody('GET', '/share/some-token')
    expect([status, body]).toEqual([200, (await api.nobody('GET', '/')).body])
    expect(headers.get('Referrer-Policy')).toBe('no-referrer')
    expect((await api.nobody('GET', '/share/')).status).toBe(404)
    expect((await api.nobody('GET', '/share/some-token/more')).status).toBe(404)
  })

  it('may load its own files and the stream, and nothing else', async () => {
    const { headers } = await api.nobody('GET', '/')
    const policy = headers.get('Content-Security-Policy')!.split('; ')
    expect(policy).toContain("default-src 'self'")
    expect(policy).toContain("connect-src 'self' wss://live.example.com:8443")
    expect(policy).toContain("worker-src 'self'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy.join()).not.toMatch(/unsafe|\*/)
    expect(headers.get('X-Content-Type-Options')).toBe('nosniff')
    expect(headers.get('Referrer-Policy')).toBe('no-referrer')
  })

  it('has files with a hash in their names that browsers keep, compressed', async () => {
    const { status, headers, body } = await api.nobody('GET', '/assets/index-B4x_9aQz.js')
    expect([status, body]).toEqual([200, SCRIPT])
    expect(headers.get('Content-Type')).toBe('text/javascript; charset=utf-8')
    expect(headers.get('Cache-Control')).toBe('public, max-age=31536000, immutable')
    expect(headers.get('Content-Encoding')).toBe('gzip')
    expect(headers.get('Vary')).toBe('Accept-Encoding')
    const plain = await api.nobody('GET', '/assets/index-B4x_9aQz.js', undefined, {
      'Accept-Encoding': 'identity',
    })
    expect([plain.body, plain.headers.has('Content-Encoding')]).toEqual([SCRIPT, false])
  })

  it('has what is drawn over the basemap, which may lie compressed on the disk', async () => {
    const { status, headers, body } = await api.nobody('GET', '/basemap/overlay.geojson')
    expect([status, headers.get('Content-Type')]).toEqual([200, 'application/geo+json'])
    expect(body).toMatchObject({ type: 'FeatureCollection' })
  })

  it('gives no file from outside its folder', async () => {
    for (const path of [
      '/../private.txt',
      '/%2e%2e/private.txt',
      '/..%2fprivate.txt',
      '/assets/../../private.txt',
    ])
      expect((await api.nobody('GET', path)).status).toBe(404)
  })

  it('is not there when it was not built', async () => {
    const bare = await apiFixture({ dashboardDir: pathToFileURL(join(folder, 'none')) })
    const page = await bare.nobody('GET', '/')
    expect([page.status, page.body.code]).toEqual([404, 'not-found'])
    const overlay = await bare.nobody('GET', '/basemap/overlay.geojson')
    expect([overlay.status, overlay.body]).toEqual([200, { type: 'FeatureCollection', features: [] }])
    await bare.close()
  })
})
