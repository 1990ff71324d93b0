/** Who may connect: by access token in the header, or by a one-time ticket, which is spent here. */
import { createHash } from 'node:crypto'
import type pg from 'pg'
import { verifyAccessToken } from '../../schemas/access-token.ts'
import type { Role } from '../../schemas/roles.ts'
import { asAnonymous } from '../../storage/tenancy.ts'
import type { Grant, Grants } from './grants.ts'

/** Longest ticket or token that is looked at, characters. */
const SECRET_LENGTH_MAX = 2_048

/** A user, by one of their sessions. */
export interface SessionUser {
  readonly kind: 'user'
  readonly userId: number
  /** Null for a super admin, who sees every organisation. */
  readonly organizationId: number | null
  readonly role: Role
  /** UUID. */
  readonly sessionId: string
  /** Devices that are all that a driver sees; null = those of the organisation. */
  readonly grant: Grant | null
}

/** Whoever has a share link. */
export interface ShareUser {
  readonly kind: 'share'
  readonly shareLinkId: number
  readonly organizationId: number
  /** How far behind the present it is shown, s. */
  readonly delayS: number
  readonly grant: Grant
}

/** Whom a socket is of. */
export type StreamUser = SessionUser | ShareUser

export interface Credentials {
  /** Header `Authorization`; '' = none. The header counts where both are given. */
  readonly authorization: string
  /** Parameter `ticket`; '' = none. */
  readonly ticket: string
}

/** Why nobody is let in: code and what to do. */
export const UNAUTHORISED = {
  'not-logged-in': 'send an access token as "Authorization: Bearer …", or a ticket as "?ticket=…"',
  'token-invalid':
    'the access token is expired, its session has ended, or it is not one of ours: log in or refresh it',
  'ticket-invalid': 'the ticket is spent, expired or not one of ours: get a new one where you got it',
} as const

/**
 * @returns The user, or why not.
 * @throws Error if the database can not be asked.
 */
export async function authorise(
  { authorization, ticket }: Credentials,
  pool: pg.Pool,
  jwtSecret: string,
  grants: Grants,
): Promise<StreamUser | keyof typeof UNAUTHORISED> {
  if (authorization !== '') {
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
    if (token === undefined || token.length > SECRET_LENGTH_MAX) return 'token-invalid'
    const claims = await verifyAccessToken(token, jwtSecret)
    if (claims === null) return 'token-invalid'
    const user = await userOf(claims, grants)
    return (await holding(pool, [user])).has(user) ? user : 'token-invalid'
  }
  if (ticket === '') return 'not-logged-in'
  if (ticket.length > SECRET_LENGTH_MAX) return 'ticket-invalid'
  const hash = createHash('sha256').update(ticket).digest()
  const { rows } = await asAnonymous(pool, (client) =>
    client.query<Redeemed>(
      `SELECT user_id AS "userId", organization_id AS "organizationId", role, session_id AS "sessionId",
         share_link_id AS "shareLinkId", delay_s AS "delayS"
       FROM redeem_stream_ticket($1)`,
      [hash],
    ),
  )
  const redeemed = rows[0]
  if (redeemed === undefined) return 'ticket-invalid'
  if (redeemed.shareLinkId === null) return userOf(redeemed, grants)
  const { shareLinkId, organizationId, delayS } = redeemed
  return {
    kind: 'share',
    shareLinkId,
    organizationId,
    delayS,
    grant: await grants.shareLinks.of(shareLinkId),
  }
}

type Redeemed =
  | (Omit<SessionUser, 'kind' | 'grant'> & { readonly shareLinkId: null })
  | Omit<ShareUser, 'kind' | 'grant'>

async function userOf(
  { userId, organizationId, role, sessionId }: Omit<SessionUser, 'kind' | 'grant'>,
  grants: Grants,
): Promise<SessionUser> {
  const grant = role === 'driver' ? await grants.drivers.of(userId) : null
  return { kind: 'user', userId, organizationId, role, sessionId, grant }
}

interface Holder {
  readonly sessionId: string | null
  readonly shareLinkId: number | null
  readonly userId: number | null
  readonly role: string | null
  readonly organizationId: number | null
}

/**
 * Those of the users who may be here: whose session holds and who are as they were, and share links that are there and
 * have not expired. One query, whatever their number.
 * @param pool Of the owner of the schema.
 * @throws Error if the database can not be asked.
 */
export async function holding(pool: pg.Pool, users: readonly StreamUser[]): Promise<Set<StreamUser>> {
  const sessions = new Set(users.flatMap((user) => (user.kind === 'user' ? [user.sessionId] : [])))
  const links = new Set(users.flatMap((user) => (user.kind === 'share' ? [user.shareLinkId] : [])))
  const { rows } = await pool.query<Holder>(
    `SELECT t.family_id AS "sessionId", NULL::integer AS "shareLinkId", u.id AS "userId", u.role,
       u.organization_id AS "organizationId"
     FROM refresh_tokens t JOIN users u ON u.id = t.user_id
     WHERE t.family_id = ANY ($1) AND t.used_at IS NULL AND t.expires_at > now() AND NOT u.disabled
     UNION ALL
     SELECT NULL, id, NULL, NULL, organization_id FROM share_links WHERE id = ANY ($2) AND expires_at > now()`,
    [[...sessions], [...links]],
  )
  const bySession = new Map(rows.map((holder) => [holder.sessionId, holder]))
  const byLink = new Set(rows.map(({ shareLinkId }) => shareLinkId))
  return new Set(
    users.filter((user) => {
      if (user.kind === 'share') return byLink.has(user.shareLinkId)
      const now = bySession.get(user.sessionId)
      return (
        now?.userId === user.userId && now.role === user.role && now.organizationId === user.organizationId
      )
    }),
  )
}
