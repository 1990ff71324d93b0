import type pg from 'pg'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createPool } from '../storage/pools.ts'
import { type TestDatabase, testDatabase } from '../test/database.ts'
import { DEFAULT_ADMIN_EMAIL, ensureSuperAdmin } from './bootstrap.ts'
import { verifyPassword } from './passwords.ts'

// Whichever file comes first starts the database server.
vi.setConfig({ hookTimeout: 30_000 })

let database: TestDatabase
let pool: pg.Pool

beforeEach(async () => {
  database = await testDatabase()
  pool = createPool(database.url, { max: 2, applicationName: 'bootstrap test' })
})
afterEach(async () => {
  await pool.end()
  await database.drop()
})

const users = async () =>
  (await pool.query('SELECT email::text, role, organization_id, password_hash FROM users')).rows

it('creates the first super admin with a password that is shown once', async () => {
  const { email, password } = await ensureSuperAdmin(pool)
  expect(email).toBe(DEFAULT_ADMIN_EMAIL)
  expect(password).toMatch(/^[\w-]{24}$/)
  const [user] = await users()
  expect(user).toMatchObject({ email, role: 'super-admin', organization_id: null })
  expect(await verifyPassword(password!, user.password_hash)).toBe(true)
  expect(await ensureSuperAdmin(pool)).toEqual({ email })
  expect(await users()).toEqual([user])
})

it('takes the address and the password that are given, and does not say the password again', async () => {
  const given = { email: 'root@example.com', password: 'a given password' }
  expect(await ensureSuperAdmin(pool, given)).toEqual({ email: given.email })
  expect(await verifyPassword(given.password, (await users())[0].password_hash)).toBe(true)
})

it('leaves an existing super admin alone, whatever is given', async () => {
  await ensureSuperAdmin(pool, { email: 'root@example.com', password: 'the first password' })
  const before = await users()
  const other = { email: 'other@example.com', password: 'another password' }
  expect(await ensureSuperAdmin(pool, other)).toEqual({ email: 'root@example.com' })
  expect(await users()).toEqual(before)
})

it('creates one when two processes start at a time', async () => {
  const results = await Promise.all([ensureSuperAdmin(pool), ensureSuperAdmin(pool)])
  expect(results.filter(({ password }) => password !== undefined)).toHaveLength(1)
  expect(await users()).toHaveLength(1)
})

it('does not make a super admin of another user', async () => {
  await pool.query("INSERT INTO organizations (name) VALUES ('x')")
  await pool.query(
    "INSERT INTO users (organization_id, email, role, password_hash) VALUES (1, 'a@example.com', 'viewer', '')",
  )
  await expect(ensureSuperAdmin(pool, { email: 'A@example.com' })).rejects.toThrow(/another user/)
})

it('refuses an address or a password that is none, without showing the password', async () => {
  await expect(ensureSuperAdmin(pool, { email: 'root' })).rejects.toThrow(/e-mail address/)
  const refused = ensureSuperAdmin(pool, { password: 'tiny' })
  await expect(refused).rejects.toThrow(/password is not good/)
  await expect(refused).rejects.not.toThrow(/tiny/)
})
