/** Sessions: an access token, and a refresh token that is used once and replaced with each use. */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import type pg from 'pg'
import { z } from 'zod'
import { ACCESS_TOKEN_S, signAccessToken } from '../schemas/access-token.ts'
import { Role } from '../schemas/roles.ts'
import { Id } from '../schemas/text.ts'
import { asAnonymous } from '../storage/tenancy.ts'
import type { ApiOptions } from './options.ts'

/** How long a refresh token may wait for its one use, s. */
export const REFRESH_TOKEN_S = 7 * 24 * 3600

const TOKEN_BYTES = 32

/** A secret of {@link randomToken}: 32 bytes as base64url. */
export const TokenText = z.string().regex(/^[A-Za-z0-9_-]{43}$/)

/** A random secret that cannot be guessed, so that its plain hash is safe to store. */
export function randomToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url')
}

/** SHA-256 of a secret: what is stored of it. */
export function tokenHash(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

/** The user that a session is of. */
export const SessionUser = z
  .object({
    id: Id,
    organizationId: Id.nullable().describe('null for a super admin'),
    email: z.string(),
    name: z.string(),
    role: Role,
  })
  .meta({ id: 'SessionUser' })
export type SessionUser = z.infer<typeof SessionUser>

export const Session = z
  .object({
    accessToken: z.string(),
    tokenType: z.literal('Bearer'),
    expiresIn: z.int().describe('s until the access token expires'),
    refreshToken: TokenText.describe('can be used once'),
    refreshExpiresIn: z.int().describe('s until the refresh token expires'),
    user: SessionUser,
  })
  .meta({ id: 'Session' })
export type Session = z.infer<typeof Session>

/**
 * Issues the tokens of a session.
 * @param client Of a transaction of the API's role; it becomes the user's own.
 * @param familyId Of the login that the session goes on from; a new one for a new login.
 */
export async function issueSession(
  client: pg.PoolClient,
  jwtSecret: string,
  user: SessionUser,
  familyId: string = randomUUID(),
): Promise<Session> {
  const refreshToken = randomToken()
  await actAs(client, user.id)
  await client.query('DELETE FROM refresh_tokens WHERE user_id = $1 AND expires_at < now()', [user.id])
  await client.query(
    `INSERT INTO refresh_tokens (token_hash, family_id, user_id, expires_at)
     VALUES ($1, $2, $3, now() + make_interval(secs => $4))`,
    [tokenHash(refreshToken), familyId, user.id, REFRESH_TOKEN_S],
  )
  const { id: userId, organizationId, role } = user
  return {
    accessToken: await signAccessToken({ userId, organizationId, role, sessionId: familyId }, jwtSecret),
    tokenType: 'Bearer',
    expiresIn: ACCESS_TOKEN_S,
    refreshToken,
    refreshExpiresIn: REFRESH_TOKEN_S,
    user,
  }
}

/**
 * Goes on with a session. Spending and replacing are one transaction: a thief who spends the same token meanwhile
 * waits for its lock, then ends the family with the new token in it.
 *
 * @returns null if the token is unknown, expired, spent (then the whole family has ended) or of a disabled user.
 */
export function refreshSession(options: ApiOptions, refreshToken: string): Promise<Session | null> {
  return asAnonymous(options.pool, async (client) => {
    const spent = await spend(client, refreshToken)
    // No error: the transaction must commit what the use of a spent token ended.
    return spent && issueSession(client, options.jwtSecret, spent.user, spent.familyId)
  })
}

/** Ends the session of a refresh token, and with it all tokens of that login, access tokens among them. */
export function endSession(options: ApiOptions, refreshToken: string): Promise<void> {
  return asAnonymous(options.pool, async (client) => {
    const spent = await spend(client, refreshToken)
    if (!spent) return
    await actAs(client, spent.user.id)
    await client.query('DELETE FROM refresh_tokens WHERE family_id = $1', [spent.familyId])
  })
}

/**
 * Ends all sessions of a user.
 * @param callerId Who does it; the transaction is theirs again afterwards.
 */
export async function endAllSessions(client: pg.PoolClient, userId: number, callerId: number): Promise<void> {
  await actAs(client, userId)
  await client.query('DELETE FROM refresh_tokens WHERE user_id = $1', [userId])
  await client.query('DELETE FROM stream_tickets WHERE user_id = $1', [userId])
  await actAs(client, callerId)
}

async function spend(
  client: pg.PoolClient,
  refreshToken: string,
): Promise<{ user: SessionUser; familyId: string } | null> {
  const { rows } = await client.query<SessionUser & { familyId: string }>(
    `SELECT user_id AS id, family_id AS "familyId", organization_id AS "organizationId", email, name, role
     FROM spend_refresh_token($1)`,
    [tokenHash(refreshToken)],
  )
  if (rows[0] === undefined) return null
  const { familyId, ...user } = rows[0]
  return { user, familyId }
}

/** Tokens are for their user alone, also in row-level security. */
async function actAs(client: pg.PoolClient, userId: number): Promise<void> {
  await client.query("SELECT set_config('app.user_id', $1, true)", [String(userId)])
}
