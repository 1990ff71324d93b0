/** Who may connect: by access token in the header, or by a one-time ticket, which is spent here. */
import { createHash } from 'node:crypto'
import type pg from 'pg'
import { verifyAccessToken } from '../../schemas/access-token.ts'
import type { Role } from '../../schemas/roles.ts'
import { asAnonymous } from '../../storage/tenancy.ts'

/** Longest ticket or token that is looked at, characters. */
const SECRET_LENGTH_MAX = 2_048

export interface StreamUser {
  readonly userId: number
  /** Null for a super admin, who sees every organisation. */
  readonly organizationId: number | null
  readonly role: Role
}

export interface Credentials {
  /** Header `Authorization`; '' = none. The header counts where both are given. */
  readonly authorization: string
  /** Parameter `ticket`; '' = none. */
  readonly ticket: string
}

/** Why nobody is let in: code and what to do. */
export const UNAUTHORISED = {
  'not-logged-in': 'send an access token as "Authorization: Bearer …", or a ticket as "?ticket=…"',
  'token-invalid': 'the access token is expired or not one of ours: log in or refresh it',
  'ticket-invalid':
    'the ticket is spent, expired or not one of ours: get a new one from POST /api/v1/stream/tickets',
} as const

/**
 * @returns The user, or why not.
 * @throws Error if the database can not be asked.
 */
export async function authorise(
  { authorization, ticket }: Credentials,
  pool: pg.Pool,
  jwtSecret: string,
): Promise<StreamUser | keyof typeof UNAUTHORISED> {
  if (authorization !== '') {
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
    if (token === undefined || token.length > SECRET_LENGTH_MAX) return 'token-invalid'
    return (await verifyAccessToken(token, jwtSecret)) ?? 'token-invalid'
  }
  if (ticket === '') return 'not-logged-in'
  if (ticket.length > SECRET_LENGTH_MAX) return 'ticket-invalid'
  const hash = createHash('sha256').update(ticket).digest()
  const { rows } = await asAnonymous(pool, (client) =>
    client.query<StreamUser>(
      `SELECT user_id AS "userId", organization_id AS "organizationId", role FROM redeem_stream_ticket($1)`,
      [hash],
    ),
  )
  return rows[0] ?? 'ticket-invalid'
}

/**
 * The users as they are now, by id; those who are gone or disabled are left out.
 * @throws Error if the database can not be asked.
 */
export async function currentUsers(ids: readonly number[], pool: pg.Pool): Promise<Map<number, StreamUser>> {
  const { rows } = await pool.query<StreamUser>(
    `SELECT id AS "userId", organization_id AS "organizationId", role FROM users
     WHERE id = ANY ($1) AND NOT disabled`,
    [ids],
  )
  return new Map(rows.map((user) => [user.userId, user]))
}
