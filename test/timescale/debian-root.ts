/**
 * A folder with Debian and its TimescaleDB in it, made by debootstrap. Debian's is the Apache edition.
 *
 * Made in a folder of its own beside its place and moved there when complete, so that half a Debian is never taken
 * for one. debootstrap asks its default mirror.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rename, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const SUITE = 'trixie'
const POSTGRES = 'postgresql-17'
const PACKAGES = [POSTGRES, `${POSTGRES}-timescaledb`]
/** Where PostgreSQL's programs lie in the folder. */
export const POSTGRES_BIN = '/usr/lib/postgresql/17/bin'
/** Lines of a program's output that an error shows. */
export const LINES_SHOWN = 20

/** TimescaleDB cannot be had on this machine, or not by this user; the message says what to do. */
export class TimescaleUnavailable extends Error {
  readonly code = 'timescale-unavailable'
  override readonly name = 'TimescaleUnavailable'
}

export interface DebianRoot {
  readonly path: string
  /** Removes the folder, unless it is to be kept. */
  remove(): Promise<void>
}

/**
 * @param kept Folder that is kept, and used again when it is there; undefined = one that is removed after use.
 * @param interrupted Ends debootstrap.
 * @param say Told what takes long.
 * @throws TimescaleUnavailable
 */
export async function debianRoot(
  kept: string | undefined,
  interrupted: AbortSignal,
  say: (line: string) => void,
): Promise<DebianRoot> {
  if (process.getuid?.() !== 0) {
    throw new TimescaleUnavailable('debootstrap and chroot need root: run it as root, on Linux')
  }
  const place = kept === undefined ? undefined : resolve(kept)
  if (place !== undefined && (await exists(place))) {
    if (!(await exists(join(place, POSTGRES_BIN, 'postgres')))) {
      throw new TimescaleUnavailable(`TIMESCALE_ROOT=${place} is there, but has no ${POSTGRES} in it`)
    }
    return { path: place, remove: async () => {} }
  }
  const draft = await mkdtemp(place === undefined ? join(tmpdir(), 'fleetflow-trixie-') : `${place}-`)
  const startMs = performance.now()
  say(`making Debian ${SUITE} with ${PACKAGES.join(', ')} in ${draft}`)
  try {
    // The server is another user, and must be able to enter.
    await chmod(draft, 0o755)
    await debootstrap(draft, interrupted)
    if (place !== undefined) await rename(draft, place)
  } catch (error) {
    await removeTree(draft)
    throw error
  }
  say(`made in ${((performance.now() - startMs) / 1000).toFixed(0)} s`)
  return place === undefined
    ? { path: draft, remove: () => removeTree(draft) }
    : { path: place, remove: async () => {} }
}

async function debootstrap(folder: string, interrupted: AbortSignal): Promise<void> {
  const args = ['--variant=minbase', `--include=${PACKAGES.join(',')}`, SUITE, folder]
  // Its own mounts are undone by itself, on SIGTERM as well: it is waited for whatever happens.
  const child = spawn('debootstrap', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const interrupt = () => child.kill('SIGTERM')
  interrupted.addEventListener('abort', interrupt)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text))
  try {
    const [code, signal] = await once(child, 'close')
    interrupted.throwIfAborted()
    if (code !== 0) {
      const said = output.trim().split('\n').slice(-LINES_SHOWN).join('\n')
      throw new TimescaleUnavailable(`debootstrap ended with ${code ?? signal}:\n${said}`)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new TimescaleUnavailable('debootstrap is not installed: apt-get install debootstrap')
  } finally {
    interrupted.removeEventListener('abort', interrupt)
  }
}

/** Never beyond the file system of the folder: what might still be mounted in it is the machine's own. */
async function removeTree(path: string): Promise<void> {
  // In a session of its own: Ctrl-C at a terminal ends the tests, and must not end the cleaning up.
  const options = { detached: true, stdio: 'inherit' } as const
  await once(spawn('rm', ['-rf', '--one-file-system', path], options), 'close')
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
