import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadOrCreateSecret } from './secrets.ts'

describe('loadOrCreateSecret', () => {
  let dataDir: string
  beforeEach(async () => {
    dataDir = join(await mkdtemp(join(tmpdir(), 'fleetflow-secrets-')), 'not', 'yet')
  })
  afterEach(() => rm(join(dataDir, '..', '..'), { recursive: true }))

  it('gives the same secret at every call, and one of its own to every name', async () => {
    const secret = await loadOrCreateSecret(dataDir, 'jwt')
    expect(secret).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(await loadOrCreateSecret(dataDir, 'jwt')).toBe(secret)
    expect(await loadOrCreateSecret(dataDir, 'postgres')).not.toBe(secret)
    expect(Buffer.from(await loadOrCreateSecret(dataDir, 'long', 64), 'base64url')).toHaveLength(64)
  })

  it('gives one secret to all who ask at the same time, and leaves no other file', async () => {
    const secrets = await Promise.all(Array.from({ length: 16 }, () => loadOrCreateSecret(dataDir, 'jwt')))
    expect(new Set(secrets).size).toBe(1)
    expect(await readdir(join(dataDir, 'secrets'))).toEqual(['jwt'])
  })

  it('lets nobody but the owner read it', async () => {
    await loadOrCreateSecret(dataDir, 'jwt')
    expect((await stat(join(dataDir, 'secrets', 'jwt'))).mode & 0o777).toBe(0o600)
    expect((await stat(join(dataDir, 'secrets'))).mode & 0o777).toBe(0o700)
  })

  it('does not take an empty file for a secret', async () => {
    await loadOrCreateSecret(dataDir, 'jwt')
    const path = join(dataDir, 'secrets', 'jwt')
    await writeFile(path, '\n')
    await expect(loadOrCreateSecret(dataDir, 'jwt')).rejects.toThrow(/is empty/)
  })
})
