/** A TimescaleDB server in a Debian folder, on a cluster of its own that is removed with it. */
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chown, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { PostmasterLock } from '../../storage/postmaster-lock.ts'
import { LINES_SHOWN, POSTGRES_BIN } from './debian-root.ts'

/** Folder of Debian's user postgres, who runs the server. */
const HOME = '/var/lib/postgresql'
const POLL_MS = 20
/** A fast shutdown that takes longer is followed by an immediate one, ms. */
const STOP_TIMEOUT_MS = 20_000
/** Another process may take the free port before the server does. */
const START_ATTEMPTS = 5

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  shared_preload_libraries: 'timescaledb',
  'timescaledb.telemetry_level': 'off',
  // The folder has no /dev/shm.
  dynamic_shared_memory_type: 'mmap',
  // Each database with the extension has a worker of its own.
  max_worker_processes: '32',
  max_connections: '100',
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  timezone: 'UTC',
  // The data need not outlive the machine.
  fsync: 'off',
}

export interface TimescaleServer {
  /** Connection string of the superuser. */
  readonly url: string
  stop(): Promise<void>
}

/** @param root A Debian folder, see debian-root.ts. */
export async function startTimescaleServer(root: string): Promise<TimescaleServer> {
  const data = `${HOME}/fleetflow-${randomBytes(6).toString('hex')}`
  const password = randomBytes(18).toString('base64url')
  try {
    await initialise(root, data, password)
    for (let attempt = 1; ; attempt++) {
      const server = await launch(root, data, password, attempt === START_ATTEMPTS)
      if (server !== undefined) return server
    }
  } catch (error) {
    await rm(join(root, data), { recursive: true, force: true })
    throw error
  }
}

async function initialise(root: string, data: string, password: string): Promise<void> {
  const passwordFile = `${data}.password`
  const { uid, gid } = await stat(join(root, HOME))
  await writeFile(join(root, passwordFile), password, { mode: 0o600, flag: 'wx' })
  try {
    await chown(join(root, passwordFile), uid, gid)
    await promisify(execFile)('chroot', [
      ...['--userspec=postgres:postgres', root, `${POSTGRES_BIN}/initdb`, '-D', data, '-U', 'postgres'],
      ...['-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8', '--no-sync', '--no-instructions'],
      ...['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
    ])
  } finally {
    await rm(join(root, passwordFile))
  }
}

/**
 * @param last Whether a taken port is an error.
 * @returns Undefined if the port was taken.
 */
async function launch(
  root: string,
  data: string,
  password: string,
  last: boolean,
): Promise<TimescaleServer | undefined> {
  const port = await freePort()
  const settings = Object.entries({ ...SETTINGS, port: String(port) })
  const child = spawn(
    'chroot',
    [
      ...['--userspec=postgres:postgres', root, `${POSTGRES_BIN}/postgres`, '-D', data],
      ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    // A session of its own: Ctrl-C at a terminal must end the tests first. chroot becomes the server: one process.
    { detached: true, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.on('data', (text) => {
    said = `${said}${text}`.slice(-10_000)
  })
  const closed = once(child, 'close')
  const lock = new PostmasterLock(join(root, data))
  while (child.exitCode === null && child.signalCode === null) {
    const found = await lock.read()
    if (found?.pid === child.pid && found?.ready) {
      return {
        url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
        stop: async () => {
          child.kill('SIGINT')
          const late = new AbortController()
          const impatience = delay(STOP_TIMEOUT_MS, undefined, { signal: late.signal }).then(
            () => child.kill('SIGQUIT'),
            () => undefined,
          )
          await closed
          late.abort()
          await impatience
          await rm(join(root, data), { recursive: true, force: true })
        },
      }
    }
    await delay(POLL_MS)
  }
  await closed
  if (!last && said.includes('could not bind')) return undefined
  throw new Error(
    `TimescaleDB does not start in ${root}:\n${said.trim().split('\n').slice(-LINES_SHOWN).join('\n')}`,
  )
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
