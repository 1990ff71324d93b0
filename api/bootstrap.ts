/** The first super admin, without whom nobody could create anybody. */
import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { Email } from '../schemas/text.ts'
import { NewPassword } from '../schemas/user.ts'
import { withTenant } from '../storage/tenancy.ts'
import { hashPassword } from './passwords.ts'

export const DEFAULT_ADMIN_EMAIL = 'admin@fleetflow.local'

/** Random bytes of a generated password: 24 characters. */
const GENERATED_PASSWORD_BYTES = 18

export interface FirstSuperAdmin {
  readonly email: string
  /** Only when it was generated just now: print it once, never log it. */
  readonly password?: string
}

/**
 * Creates the first super admin if there is none. Where there is one, nothing changes: neither the e-mail address
 * nor the password of an existing user is ever overwritten by configuration.
 *
 * @returns The new super admin, or the one who has been here longest.
 * @throws Error if the e-mail address or password given is not one, or another user has the address.
 */
export async function ensureSuperAdmin(
  pool: pg.Pool,
  {
    email = DEFAULT_ADMIN_EMAIL,
    password,
  }: { email?: string | undefined; password?: string | undefined } = {},
): Promise<FirstSuperAdmin> {
  if (!Email.safeParse(email).success) throw new Error(`the super admin's e-mail address is none: ${email}`)
  const fault = NewPassword.optional().safeParse(password).error?.issues[0]?.message
  if (fault !== undefined) throw new Error(`the super admin's password is not good: ${fault}`)

  // Nobody has logged in yet, so this acts as a super admin of no id.
  return withTenant(pool, { userId: 0, organizationId: null, role: 'super-admin' }, async (client) => {
    // Two processes that start at a time must not both find none.
    await client.query("SELECT pg_advisory_xact_lock(hashtext('fleetflow first super admin'))")
    const { rows } = await client.query<{ email: string }>(
      "SELECT email::text FROM users WHERE role = 'super-admin' ORDER BY id LIMIT 1",
    )
    if (rows[0] !== undefined) return rows[0]
    const chosen = password ?? randomBytes(GENERATED_PASSWORD_BYTES).toString('base64url')
    const { rowCount } = await client.query(
      `INSERT INTO users (email, name, role, password_hash) VALUES ($1, 'Super admin', 'super-admin', $2)
       ON CONFLICT (email) DO NOTHING`,
      [email, await hashPassword(chosen)],
    )
    if (rowCount === 0)
      throw new Error(`there is no super admin, and ${email} is another user: give another address`)
    return password === undefined ? { email, password: chosen } : { email }
  })
}
