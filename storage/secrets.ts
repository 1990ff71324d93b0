/** Secrets that an installation makes for itself: one file each under `DATA_DIR/secrets`, readable by its owner only. */
import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * The secret `name` of this installation; made at the first call. Of two processes that call at the same time,
 * one makes it and both get it.
 *
 * @param name File name, such as `jwt`.
 * @param bytes Random bytes of a new secret.
 * @returns The secret in base64url.
 */
export async function loadOrCreateSecret(dataDir: string, name: string, bytes = 32): Promise<string> {
  const folder = join(dataDir, 'secrets')
  const path = join(folder, name)
  const present = await read(path)
  if (present !== undefined) return present
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(randomBytes(bytes).toString('base64url'))
    await file.sync()
  } finally {
    await file.close()
  }
  try {
    // Unlike a rename, a link fails where another process was faster, and a reader never sees half a secret.
    await link(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft)
  }
  return (await read(path))!
}

async function read(path: string): Promise<string | undefined> {
  try {
    const secret = (await readFile(path, 'utf8')).trim()
    if (secret === '')
      throw new Error(
        `${path} is empty: restore the secret from a backup, or remove the file to get a new one`,
      )
    return secret
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
