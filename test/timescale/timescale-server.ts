/** A TimescaleDB server in a Debian folder, on a cluster of its own that is removed with it. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chown, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { LINES_SHOWN, POSTGRES_BIN } from './debian-root.ts'

/** Folder of Debian's user postgres, who runs the server. */
const HOME = '/var/lib/postgresql'
const POLL_MS = 20
/** A fast shutdown that takes longer becomes an immediate one, ms. */
const STOP_TIMEOUT_MS = 20_000
/** Starts fail while processes of a killed server are still there. */
const START_ATTEMPTS = 50

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
  /** Shell command that ends all its processes at once, without a word. */
  readonly killCommand: string
  /** Shell command that starts it, again after a kill, and returns when it takes connections. */
  readonly startCommand: string
  /** Ends it, if it runs, and removes its cluster. */
  stop(): Promise<void>
}

/**
 * Makes a cluster and starts a server on it.
 * @param root A Debian folder, see debian-root.ts.
 */
export async function startTimescaleServer(root: string): Promise<TimescaleServer> {
  const data = `${HOME}/fleetflow-${randomBytes(6).toString('hex')}`
  const cluster = join(root, data)
  const password = randomBytes(18).toString('base64url')
  const port = await freePort()
  const lock = `${cluster}/postmaster.pid`
  const log = `${cluster}/server.log`
  const startCommand = startScript(root, data, port, lock, log)
  const stop = async () => {
    await end(data, lock)
    await rm(cluster, { recursive: true, force: true })
  }
  try {
    await initialise(root, data, password)
    await promisify(execFile)('/bin/sh', ['-c', startCommand]).catch(async (error) => {
      const said = (await readFile(log, 'utf8').catch(() => '')).trim().split('\n').slice(-LINES_SHOWN)
      throw new Error(`TimescaleDB does not start in ${root}:\n${said.join('\n')}`, { cause: error })
    })
  } catch (error) {
    await stop()
    throw error
  }
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    killCommand: `p=$(head -n 1 ${quoted(lock)}); kill -9 $p $(cat /proc/$p/task/$p/children)`,
    startCommand,
    stop,
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

function startScript(root: string, data: string, port: number, lock: string, log: string): string {
  const settings = Object.entries({ ...SETTINGS, port: String(port) })
  const server = [
    // A session of its own: Ctrl-C at a terminal must end the tests first.
    ...[
      'setsid',
      'chroot',
      '--userspec=postgres:postgres',
      quoted(root),
      `${POSTGRES_BIN}/postgres`,
      '-D',
      data,
    ],
    ...settings.flatMap(([name, value]) => ['-c', quoted(`${name}=${value}`)]),
  ].join(' ')
  // setsid and chroot become what they start, so that $! is the server; the file may be that of a killed one. What has
  // ended is a zombie (Z) of this shell; its command line would not tell, which is empty also while it becomes another.
  return `for attempt in $(seq ${START_ATTEMPTS}); do
    ${server} </dev/null >>${quoted(log)} 2>&1 & p=$!
    while grep -qs ') [^Z]' /proc/$p/stat; do
      [ "$(head -n 1 ${quoted(lock)} 2>/dev/null)" = $p ] && grep -q '^ready' ${quoted(lock)} && exit 0
      sleep 0.02
    done
    sleep 0.2
  done
  exit 1`
}

/** As one word of a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

async function end(data: string, lock: string): Promise<void> {
  const pid = Number.parseInt(await readFile(lock, 'utf8').catch(() => ''), 10)
  // After a kill the number may be another process's.
  const runs = async () =>
    pid > 0 && (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0').includes(data)
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    if (!(await runs())) return
    process.kill(pid, signal)
    const late = Date.now() + STOP_TIMEOUT_MS
    while ((await runs()) && Date.now() < late) await delay(POLL_MS)
  }
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
