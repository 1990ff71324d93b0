/** The record of what was done or refused: the table takes more rows, and loses none. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type pg from 'pg'
import { z } from 'zod'
import type { AccessClaims } from '../schemas/access-token.ts'
import { AuditEvent, CommandId } from '../schemas/device-command.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, limitOf, PAGE_ROWS, page, pageOf } from './page.ts'
import { type ApiEnv, asCaller, content, route } from './route.ts'

type Row = Omit<AuditEvent, 'createdAt'> & { createdAt: Date }

export type AuditAction = 'command-accepted' | 'command-refused' | 'command-cancelled'

const list = route({
  method: 'get',
  path: '/audit-events',
  operationId: 'listAuditEvents',
  tags: ['Audit'],
  summary: 'List what was done or refused',
  request: { query: z.object({ cursor: cursorOf(CommandId), limit: limitOf(PAGE_ROWS) }) },
  responses: { 200: { description: 'the newest first', content: content(pageOf(AuditEvent)) } },
})

/** Routes `/audit-events`. */
export function auditEvents({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>().openapi(list, async (c) => {
    const { cursor, limit } = c.req.valid('query')
    const { rows } = await asCaller(c, pool, (client) =>
      client.query<Row>(
        `SELECT id, organization_id AS "organizationId", user_id AS "userId", action, subject, details,
           created_at AS "createdAt"
         FROM audit_events WHERE $1::bigint IS NULL OR id < $1 ORDER BY id DESC LIMIT $2`,
        [cursor, limit + 1],
      ),
    )
    return c.json(
      page(
        rows,
        limit,
        ({ id }) => id,
        (row): AuditEvent => ({ ...row, createdAt: row.createdAt.toISOString() }),
      ),
      200,
    )
  })
}

/** Adds to the record, in the transaction of what it tells of. */
export async function audit(
  client: pg.ClientBase,
  caller: AccessClaims,
  event: {
    readonly organizationId: number
    readonly action: AuditAction
    readonly subject: string
    readonly details: Readonly<Record<string, unknown>>
  },
): Promise<void> {
  await client.query(
    'INSERT INTO audit_events (organization_id, user_id, action, subject, details) VALUES ($1, $2, $3, $4, $5)',
    [event.organizationId, caller.userId, event.action, event.subject, JSON.stringify(event.details)],
  )
}
