/** The command line as a process of its own, run from dist/. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { projectRoot } from '../storage/project-root.ts'
import { type TestDatabase, testDatabase } from './database.ts'

let dataDir: string
let database: TestDatabase

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'fleetflow-cli-'))
  database = await testDatabase()
})
afterAll(async () => {
  await rm(dataDir, { recursive: true })
  await database.drop()
})

interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end; `whenOut` is called with what it has written so far. */
async function run(
  args: readonly string[],
  options: {
    readonly input?: string
    readonly env?: Record<string, string>
    readonly whenOut?: (stdout: string, kill: (signal: NodeJS.Signals) => void) => void
  } = {},
): Promise<Run> {
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      fileURLToPath(new URL('dist/fleetflow.js', projectRoot)),
      ...args,
    ],
    { env: { PATH: process.env.PATH, DATA_DIR: dataDir, ...options.env } },
  )
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (bytes) => {
    stdout += bytes
    options.whenOut?.(stdout, (signal) => child.kill(signal))
  })
  child.stderr.on('data', (bytes) => {
    stderr += bytes
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  const [code] = await once(child, 'close')
  return { code, stdout, stderr }
}

const onFreePorts = () => ({
  PORT: '0',
  STREAM_PORT: '0',
  PROTOCOLS: 'teltonika:0,mqtt:0',
  DATABASE_URL: database.url,
})

describe('start', () => {
  test('prints a line a listener, then ready, and stops cleanly when told', async () => {
    const { code, stdout } = await run(['start'], {
      env: { ...onFreePorts(), DETECT_PORT: '0' },
      whenOut: (out, kill) => {
        if (out.endsWith('ready\n')) kill('SIGTERM')
      },
    })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^teltonika +tcp +127\.0\.0\.1:\d+$/m)
    expect(stdout).toMatch(/^teltonika +udp +127\.0\.0\.1:\d+$/m)
    expect(stdout).toMatch(/^detect +tcp +127\.0\.0\.1:\d+$/m)
    expect(stdout).toMatch(/^detect +udp +127\.0\.0\.1:\d+$/m)
    expect(stdout).toMatch(/^mqtt +mqtt +127\.0\.0\.1:\d+$/m)
    expect(stdout).toMatch(/^stream +ws +ws:\/\/127\.0\.0\.1:\d+$/m)
    expect(stdout).toMatch(/^api +http +http:\/\/127\.0\.0\.1:\d+$/m)
    expect(stdout).toMatch(/ready\n$/)
  }, 30_000)

  test('names every fault of the configuration and exits with 78', async () => {
    const { code, stdout, stderr } = await run(['start'], {
      env: { PORT: 'eighty', PROTOCOLS: 'gt07:5023', NODE_ENV: 'production' },
    })
    expect(code).toBe(78)
    expect(stderr).toContain('PORT')
    expect(stdout).toBe('')
  })

  test('names what its roles need, and exits with 78', async () => {
    const { code, stderr } = await run(['start', '--role', 'live,apis', '--role', 'ingest'])
    expect(code).toBe(78)
    expect(stderr).toContain('--role: no role "apis"; there are ingest, live, api')
    expect(stderr).toContain('DATABASE_URL: is required with --role')
    expect(stderr).toContain('JWT_SECRET: is required with --role live or api')
  })

  test('says which port is taken, by what name to change it, and stops what it had started', async () => {
    const taken = await import('node:net').then(({ createServer }) => createServer().listen(0, '127.0.0.1'))
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const { code, stderr } = await run(['start'], { env: { ...onFreePorts(), PROTOCOLS: `gt06:${port}` } })
    taken.close()
    expect(code).toBe(1)
    expect(stderr).toContain(`EADDRINUSE: gt06 can not listen on 127.0.0.1:${port}`)
    expect(stderr).toContain('PROTOCOLS')
  }, 30_000)
})

describe('migrate', () => {
  test('may be run again', async () => {
    expect(await run(['migrate'], { env: { DATABASE_URL: database.url } })).toMatchObject({
      code: 0,
      stdout: 'migrated\n',
    })
  }, 30_000)
})

describe('decode', () => {
  const vectors = (id: string) =>
    readFileSync(new URL(`device-adapters/protocols/${id}.vectors.jsonl`, projectRoot), 'utf8')

  test('gives a line for each line, in the shape of the vectors', async () => {
    const input = vectors('osmand')
    const { code, stdout } = await run(['decode'], { input })
    const expected = input
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const decoded = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(code).toBe(0)
    expect(decoded).toHaveLength(expected.length)
    expect(decoded.map(({ protocol, stream, seq, replies }) => ({ protocol, stream, seq, replies }))).toEqual(
      expected.map(({ protocol, stream, seq, replies }) => ({ protocol, stream, seq, replies })),
    )
    expect(decoded[2].positions[0]).toMatchObject({
      device: '8737767034',
      fixTime: '2021-07-21T08:06:34.444Z',
      speed: 67.2118,
      altitude: 35.7,
    })
  })

  test('finds out the protocol of lines that do not say it', async () => {
    const given = ['h02', 'osmand', 'teltonika', 'gt06'].map((id) => JSON.parse(vectors(id).split('\n')[1]!))
    const input = given
      .map(({ protocol: _, ...line }, stream) => JSON.stringify({ ...line, stream }))
      .join('\n')
    const { stdout } = await run(['decode'], { input })
    const decoded = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    // The second message of Teltonika is an answer of a camera, which names no device.
    expect(decoded.map(({ protocol, error }) => [protocol, error?.code])).toEqual([
      ['h02', undefined],
      ['osmand', undefined],
      ['', 'undetected'],
      ['gt06', undefined],
    ])
  })

  test('explains lines that it cannot take, and goes on', async () => {
    const lines = [
      'no JSON',
      'null',
      '{"protocol":"h02"}',
      '{"protocol":"gt07","transport":"tcp","bytes":"00"}',
      '{"protocol":"osmand","transport":"tcp","bytes":"00"}',
    ]
    const good = vectors('h02').split('\n')[0]!
    const { stdout } = await run(['decode'], { input: [...lines, good].join('\n') })
    const decoded = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(decoded.map(({ error }) => error?.code ?? null)).toEqual([
      'not-json',
      'not-a-line',
      'not-a-line',
      'unknown-protocol',
      'unsupported',
      null,
    ])
    expect(decoded[5].positions).toHaveLength(1)
  })

  test('takes the protocol of lines that name none from its option', async () => {
    const { protocol, ...line } = JSON.parse(vectors('h02').split('\n')[0]!)
    const { stdout } = await run(['decode', '--protocol', protocol], { input: JSON.stringify(line) })
    expect(JSON.parse(stdout)).toMatchObject({ protocol: 'h02', error: null })
  })
})

test('reprocess without a journal says where it looked, and makes no database there', async () => {
  const folder = join(dataDir, 'elsewhere')
  const args = ['reprocess', '--device', 'bus', '--from', '2026-01-01', '--to', '2026-01-02']
  const { code, stderr } = await run(args, { env: { DATA_DIR: folder } })
  expect(code).toBe(78)
  expect(stderr).toContain(`there is no journal in ${join(folder, 'journal')}`)
  expect(existsSync(folder)).toBe(false)
})

test('an unknown command is told, and exits with 64', async () => {
  expect(await run(['begin'])).toMatchObject({
    code: 64,
    stderr: expect.stringContaining("unknown command 'begin'"),
  })
})
