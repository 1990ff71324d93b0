/** Links that show a few devices to whoever has them: made, listed and taken back by those who dispatch. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type pg from 'pg'
import { z } from 'zod'
import { SHARE_DAYS_MAX, ShareLink, ShareLinkCreate } from '../schemas/share-link.ts'
import { Id } from '../schemas/text.ts'
import { organizationFor } from './access.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, IdText, limitOf, PAGE_ROWS, page, pageOf } from './page.ts'
import { ApiError, invalidFields, notFound } from './problem.ts'
import { type ApiEnv, asCaller, body, content, route } from './route.ts'
import { randomToken, TokenText, tokenHash } from './sessions.ts'

/** Links of an organisation that have not expired. */
export const SHARE_LINKS_MAX = 1_000

const DAY_MS = 24 * 3600 * 1000
const tags = ['Share links']
const COLUMNS = `id, organization_id AS "organizationId", name, delay_s AS "delayS", group_id AS "group",
  CASE WHEN group_id IS NULL THEN ARRAY(
    SELECT device_id FROM share_link_devices WHERE share_link_id = id ORDER BY device_id) END AS devices,
  expires_at AS "expiresAt", created_by AS "createdBy", created_at AS "createdAt"`

type Row = Omit<ShareLink, 'createdAt' | 'expiresAt'> & { createdAt: Date; expiresAt: Date }

const NewShareLink = ShareLink.extend({
  token: TokenText.describe('of `/share/TOKEN`, told only here'),
}).meta({ id: 'NewShareLink' })

const list = route({
  method: 'get',
  path: '/share-links',
  operationId: 'listShareLinks',
  tags,
  summary: 'List share links',
  request: {
    query: z.object({
      organizationId: IdText.optional().describe('only of this organisation'),
      cursor: cursorOf(Id),
      limit: limitOf(PAGE_ROWS),
    }),
  },
  responses: {
    200: { description: 'links by id, expired ones among them', content: content(pageOf(ShareLink)) },
  },
})

const create = route({
  method: 'post',
  path: '/share-links',
  operationId: 'createShareLink',
  tags,
  summary: 'Share devices with whoever has a link',
  description:
    'The page `/share/TOKEN` shows positions of the devices, without attributes and events, to anyone, until the link ' +
    'expires or is deleted. A group is shown as it is at the time; when it is deleted, so is the link.',
  request: { body: body(ShareLinkCreate) },
  responses: { 201: { description: 'the link with its token', content: content(NewShareLink) } },
})

const remove = route({
  method: 'delete',
  path: '/share-links/{id}',
  operationId: 'deleteShareLink',
  tags,
  summary: 'Take a share link back',
  description: 'Whoever has it open is disconnected within seconds.',
  request: { params: z.object({ id: IdText }) },
  responses: { 204: { description: 'it shows nothing any more' } },
})

/** Routes `/share-links/…`. */
export function shareLinks({ pool }: ApiOptions): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>()
    .openapi(list, async (c) => {
      const { organizationId, cursor = 0, limit } = c.req.valid('query')
      const { rows } = await asCaller(c, pool, (client) =>
        client.query<Row>(
          `SELECT ${COLUMNS} FROM share_links
           WHERE id > $1 AND ($3::integer IS NULL OR organization_id = $3) ORDER BY id LIMIT $2`,
          [cursor, limit + 1, organizationId],
        ),
      )
      return c.json(
        page(rows, limit, ({ id }) => id, itemOf),
        200,
      )
    })
    .openapi(create, async (c) => {
      const { organizationId, name, devices, group, expiresAt: expiresText, delayS } = c.req.valid('json')
      const expiresAt = new Date(expiresText)
      const leftMs = expiresAt.getTime() - Date.now()
      // Written so that NaN fails too.
      if (!(leftMs > 0 && leftMs <= SHARE_DAYS_MAX * DAY_MS)) {
        const detail = `must lie in the future, at most ${SHARE_DAYS_MAX} days away`
        throw invalidFields([{ in: 'body', field: 'expiresAt', detail }])
      }
      const token = randomToken()
      const link = await asCaller(c, pool, async (client, caller) => {
        const organization = organizationFor(caller, organizationId)
        await refuseMany(client, organization)
        await findShared(client, organization, devices, group)
        const { rows } = await client.query<{ id: number }>(
          `INSERT INTO share_links (organization_id, name, group_id, delay_s, expires_at, token_hash, created_by)
           VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`,
          [organization, name, group, delayS, expiresAt, tokenHash(token), caller.userId],
        )
        const { id } = rows[0]!
        await client.query(
          `INSERT INTO share_link_devices (organization_id, share_link_id, device_id)
           SELECT DISTINCT $1::integer, $2::integer, unnest($3::integer[])`,
          [organization, id, devices ?? []],
        )
        const made = await client.query<Row>(`SELECT ${COLUMNS} FROM share_links WHERE id = $1`, [id])
        return made.rows[0]!
      })
      return c.json({ ...itemOf(link), token }, 201)
    })
    .openapi(remove, async (c) => {
      const { id } = c.req.valid('param')
      const { rowCount } = await asCaller(c, pool, (client) =>
        client.query('DELETE FROM share_links WHERE id = $1', [id]),
      )
      if (rowCount === 0) throw notFound(`share link ${id}`)
      return c.body(null, 204)
    })
}

/** @throws ApiError 409 if the organisation has as many links as it may have; those that have expired go first. */
async function refuseMany(client: pg.PoolClient, organization: number): Promise<void> {
  // One after the other, so that they are counted.
  await client.query("SELECT pg_advisory_xact_lock(hashtext('share links'), $1)", [organization])
  await client.query('DELETE FROM share_links WHERE organization_id = $1 AND expires_at < now()', [
    organization,
  ])
  const { rows } = await client.query<{ count: number }>(
    'SELECT count(*)::integer AS count FROM share_links WHERE organization_id = $1',
    [organization],
  )
  if (rows[0]!.count < SHARE_LINKS_MAX) return
  throw new ApiError(
    409,
    'too-many-share-links',
    `The organisation has ${SHARE_LINKS_MAX} share links; delete one first.`,
  )
}

/** @throws ApiError 404 unless all devices, or the group, are there and of the organisation. */
async function findShared(
  client: pg.PoolClient,
  organization: number,
  devices: readonly number[] | undefined,
  group: number | undefined,
): Promise<void> {
  if (group !== undefined) {
    const { rowCount } = await client.query(
      'SELECT FROM device_groups WHERE id = $1 AND organization_id = $2',
      [group, organization],
    )
    if (rowCount === 0) throw notFound(`group ${group}`)
  }
  const { rows } = await client.query<{ id: number }>(
    'SELECT id FROM devices WHERE id = ANY ($1) AND organization_id = $2',
    [devices ?? [], organization],
  )
  const found = new Set(rows.map(({ id }) => id))
  const missing = devices?.find((id) => !found.has(id))
  if (missing !== undefined) throw notFound(`device ${missing}`)
}

function itemOf(row: Row): ShareLink {
  return { ...row, createdAt: row.createdAt.toISOString(), expiresAt: row.expiresAt.toISOString() }
}
