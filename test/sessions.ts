/** Sessions of users as a log-in makes them, without the password, for tests and benchmarks. */
import { randomBytes, randomUUID } from 'node:crypto'
import type pg from 'pg'
import { type AccessClaims, signAccessToken } from '../schemas/access-token.ts'

/** What both a client and a pool of the owner of the schema have. */
export type Owner = Pick<pg.Pool, 'query'> | Pick<pg.ClientBase, 'query'>

/** A session of a user who is in the database, with a refresh token that nobody knows. @returns Its id. */
export async function openSession(owner: Owner, userId: number): Promise<string> {
  const sessionId = randomUUID()
  await (owner as pg.ClientBase).query(
    `INSERT INTO refresh_tokens (token_hash, family_id, user_id, expires_at)
     VALUES ($1, $2, $3, now() + interval '1 day')`,
    [randomBytes(32), sessionId, userId],
  )
  return sessionId
}

/** An access token of a session of its own. */
export async function sessionToken(
  owner: Owner,
  user: Omit<AccessClaims, 'sessionId'>,
  jwtSecret: string,
): Promise<string> {
  return signAccessToken({ ...user, sessionId: await openSession(owner, user.userId) }, jwtSecret)
}

/** An access token of a new super admin. */
export async function superAdminToken(owner: Owner, jwtSecret: string): Promise<string> {
  const { rows } = await (owner as pg.ClientBase).query<{ id: number }>(
    `INSERT INTO users (email, role, password_hash) VALUES ($1, 'super-admin', 'never logs in') RETURNING id`,
    [`${randomBytes(6).toString('hex')}@fleet.example`],
  )
  return sessionToken(owner, { userId: rows[0]!.id, organizationId: null, role: 'super-admin' }, jwtSecret)
}
