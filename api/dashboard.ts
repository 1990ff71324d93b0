/** The dashboard's files, and what is drawn over its basemap. Read once at start: no request reaches the disk. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync, gzipSync } from 'node:zlib'
import { type Context, Hono } from 'hono'
import type { ApiOptions } from './options.ts'
import type { ApiEnv } from './route.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.geojson': 'application/geo+json',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.mjs': 'text/javascript; charset=utf-8',
  '.pbf': 'application/x-protobuf',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
}

/** Types that are compressed already. */
const COMPRESSED = new Set(['.jpg', '.png', '.webp', '.woff2'])

/** Files below assets/ carry a hash of their content in their names. */
const HASHED = /^\/assets\/.*[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+$/

const ASSET_CACHE = 'public, max-age=31536000, immutable'

interface StaticFile {
  readonly plain: Buffer
  /** undefined where it would not be smaller. */
  readonly gzip: Buffer | undefined
  readonly etag: string
  readonly type: string
  readonly cache: string
}

const OVERLAY_PATH = '/basemap/overlay.geojson'
/** What the page gets where nothing is to be drawn over its basemap. */
const NO_OVERLAY = Buffer.from('{"type":"FeatureCollection","features":[]}')
const GZIP_MAGIC = 0x1f8b

/** Routes of the dashboard: `/`, `/share/TOKEN`, its files, `/basemap/overlay.geojson`. */
export function dashboard(options: ApiOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>()
  const { dashboardDir, overlayFile, streamUrl } = options
  const serve = (path: string, file: StaticFile) =>
    app.get(path, (c) => answer(c, file, contentPolicy(streamUrl())))

  const overlay = overlayFile === undefined ? NO_OVERLAY : readFileSync(overlayFile)
  serve(OVERLAY_PATH, staticFile(overlay, OVERLAY_PATH))
  if (dashboardDir === undefined || !existsSync(dashboardDir)) return app
  const folder = fileURLToPath(dashboardDir)
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = join(entry.parentPath, entry.name)
    const path = `/${relative(folder, file).split(sep).join('/')}`
    const read = staticFile(readFileSync(file), path)
    if (path !== '/index.html') serve(path, read)
    // The page finds out itself which of its parts is asked for.
    else for (const page of ['/', '/share/:token']) serve(page, read)
  }
  return app
}

/**
 * What the dashboard's page may load: its own files, MapLibre's worker among them, the stream, and images made in
 * the page.
 */
export function contentPolicy(streamUrl: string): string {
  return [
    "default-src 'self'",
    `connect-src 'self' ${new URL(streamUrl).origin}`,
    "worker-src 'self'",
    "img-src 'self' data: blob:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ')
}

function staticFile(read: Buffer, path: string): StaticFile {
  // An overlay may lie on the disk compressed; the page asks for it as it is.
  const plain = read.readUInt16BE(0) === GZIP_MAGIC ? gunzipSync(read) : read
  const extension = extname(path)
  const zipped = COMPRESSED.has(extension) ? undefined : gzipSync(plain)
  return {
    plain,
    gzip: zipped && zipped.length < plain.length ? zipped : undefined,
    etag: `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`,
    type: TYPES[extension] ?? 'application/octet-stream',
    cache: HASHED.test(path) ? ASSET_CACHE : 'no-cache',
  }
}

function answer(c: Context<ApiEnv>, file: StaticFile, policy: string): Response {
  const zipped = file.gzip !== undefined && /\bgzip\b/.test(c.req.header('Accept-Encoding') ?? '')
  const headers = {
    'Content-Type': file.type,
    'Cache-Control': file.cache,
    // Weak: the same for the plain and the compressed file.
    ETag: `W/${file.etag}`,
    Vary: 'Accept-Encoding',
    'Content-Security-Policy': policy,
    ...(zipped && { 'Content-Encoding': 'gzip' }),
  }
  if (c.req.header('If-None-Match')?.includes(file.etag)) return c.body(null, 304, headers)
  return c.body(new Uint8Array(zipped ? file.gzip! : file.plain), 200, headers)
}
