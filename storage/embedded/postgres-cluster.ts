/** Makes the cluster (the files of a PostgreSQL server) with initdb. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { EmbeddedPostgresError, type PostgresBinaries } from './postgres-binaries.ts'
import { processExists } from './postmaster-lock.ts'

/** An initdb that has not ended after this was interrupted, ms. */
const INITDB_LIMIT_MS = 600_000

/**
 * Makes the cluster `data` unless it is there. It is made beside its place and moved there when complete, so that
 * half a cluster is never taken for one; of two processes that do so at once, the first wins.
 *
 * @param folder Parent of `data`.
 * @param options Password of the superuser `postgres`; whether the files must outlive the machine.
 * @throws EmbeddedPostgresError
 */
export async function createCluster(
  binaries: PostgresBinaries,
  folder: string,
  data: string,
  options: { password: string; durable: boolean },
): Promise<void> {
  if (await exists(data)) return
  await removeInterrupted(folder)
  const draft = join(folder, `initdb-${process.pid}-${randomBytes(4).toString('hex')}`)
  const passwordFile = `${draft}.password`
  try {
    await writeFile(passwordFile, options.password, { mode: 0o600, flag: 'wx' })
    await binaries.give(passwordFile)
    const {
      file,
      args,
      options: processOptions,
    } = binaries.command('initdb', [
      ...['-D', draft, '-U', 'postgres', '-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8'],
      ...(options.durable ? [] : ['--no-sync']),
      ...['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--no-instructions'],
    ])
    await promisify(execFile)(file, args, processOptions).catch((error: Error & { stderr?: string }) => {
      throw new EmbeddedPostgresError(
        'postgres-initdb',
        `initdb failed in ${folder}: ${error.stderr?.trim() || error.message}. ` +
          'Mend the cause and start again, or set DATABASE_URL to use another server.',
        { cause: error },
      )
    })
    await rename(draft, data).catch(async (error: NodeJS.ErrnoException) => {
      // Another process was faster; its cluster has the same password.
      if (!(await exists(data))) throw error
    })
    await syncFolder(folder)
  } finally {
    await rm(draft, { recursive: true, force: true })
    await rm(passwordFile, { force: true })
  }
}

async function removeInterrupted(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = /^initdb-(\d+)-/.exec(name)?.[1]
    if (pid === undefined) continue
    const { mtimeMs } = await stat(join(folder, name)).catch(() => ({ mtimeMs: 0 }))
    if (!processExists(Number(pid)) || Date.now() - mtimeMs > INITDB_LIMIT_MS) {
      await rm(join(folder, name), { recursive: true, force: true })
    }
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/** Makes the move durable, as initdb has made the files. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  await folder.sync().finally(() => folder.close())
}
