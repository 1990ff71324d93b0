/** Rules that hold for the tree as a whole, so that review need not watch them. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, normalize } from 'node:path'
import { expect, test } from 'vitest'

/** Who may import whom. Folders that are not listed wire or test and may import all; nobody imports those. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  schemas: [],
  'device-adapters': ['schemas'],
  geofence: ['schemas'],
  storage: ['schemas'],
  live: ['schemas', 'storage', 'geofence'],
  // Shapes are refused where they are given, with the reason that evaluation would have.
  api: ['schemas', 'storage', 'geofence'],
  ingest: ['schemas', 'device-adapters', 'geofence', 'storage'],
  // The device's side of the wire: it shares checksums with the decoders, and no field code.
  simulate: ['schemas', 'device-adapters'],
  demo: ['schemas', 'simulate'],
  dashboard: ['schemas'],
}
/** Parts that meet only in the database and on the wire. */
const IMPORTED_BY_NONE = ['ingest', 'live', 'api', 'dashboard']
const SHARED_BY_SIMULATE = ['device-adapters/checksums.ts']
/** Not tests themselves, and only tests import them. */
const TEST_SUPPORT = [
  'device-adapters/vectors-fixture.ts',
  'api/api-fixture.ts',
  'geofence/visits/evaluation-fixture.ts',
  'geofence/visits/evaluation-oracle.ts',
  'geofence/visits/evaluation-scenarios.ts',
  'simulate/loopback.ts',
  'ingest/journal/conformance.ts',
  'ingest/journal/journal-fixture.ts',
  'ingest/journal/simulated-disk.ts',
  'geofence/index/fence-fixture.ts',
  'live/areas/area-viewer-fixture.ts',
  'live/areas/area-views-fixture.ts',
]
const LINES_MAX = 400

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((file) => /\.ts$/.test(file))
const sources = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]))
const isTest = (file: string) =>
  file.endsWith('.test.ts') || file.startsWith('test/') || TEST_SUPPORT.includes(file)

/** `[file, imported file]` of every import of our own. */
const imports = [...sources].flatMap(([file, text]) =>
  [...text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map(
    ([, target]) => [file, normalize(`${dirname(file)}/${target}`)] as const,
  ),
)

test('imports point one way', () => {
  const wrong = imports.filter(([file, target]) => {
    const from = file.split('/')[0]!
    const to = target.split('/')[0]!
    if (from === to || isTest(file) || !file.includes('/')) return false
    const allowed = MAY_IMPORT[from]
    if (from === 'simulate' && to === 'device-adapters') return !SHARED_BY_SIMULATE.includes(target)
    return allowed !== undefined && !allowed.includes(to)
  })
  expect(wrong).toEqual([])
})

test('ingest, live, api and dashboard are imported by no part', () => {
  const wrong = imports.filter(([file, target]) => {
    const from = file.split('/')[0]!
    const to = target.split('/')[0]!
    return from !== to && from in MAY_IMPORT && !isTest(file) && IMPORTED_BY_NONE.includes(to)
  })
  expect(wrong).toEqual([])
})

test('no file is longer than a sitting', () => {
  const long = [...sources].filter(([, text]) => text.split('\n').length > LINES_MAX).map(([file]) => file)
  expect(long).toEqual([])
})

test('threads are started from files that are there', () => {
  const named = [...sources].flatMap(([file, text]) =>
    [...text.matchAll(/threadUrl\('([^']+)'\)/g)].map(([, name]) => [file, `${name}.ts`] as const),
  )
  expect(named.length).toBeGreaterThan(0)
  expect(named.filter(([, target]) => !sources.has(target))).toEqual([])
})

test('the lock file lists the builds of every platform', () => {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>
  }
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => !(`${path}/node_modules/${name}` in packages) && !(`node_modules/${name}` in packages),
    ),
  )
  expect(missing).toEqual([])
})

test('uWebSockets.js is pinned: a caret would take a release that does not run on Node 20', () => {
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    dependencies: Record<string, string>
  }
  expect(dependencies).toMatchObject({
    'uws-18-to-23': 'npm:@uwsjs/core@20.51.4',
    'uws-22-to-26': 'npm:@uwsjs/core@20.69.0',
  })
})
