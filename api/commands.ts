/** Commands to devices: given, looked at, cancelled. Ingest sends them. */
import { OpenAPIHono } from '@hono/zod-openapi'
import { z } from 'zod'
import {
  Command,
  CommandCreate,
  CommandId,
  CommandKey,
  CommandState,
  CommandTypes,
} from '../schemas/device-command.ts'
import { audit } from './audit.ts'
import { CommandDesk } from './command-desk.ts'
import type { ApiOptions } from './options.ts'
import { cursorOf, IdText, integerText, limitOf, PAGE_ROWS, page, pageOf } from './page.ts'
import { ApiError, invalidFields, notFound } from './problem.ts'
import { type ApiEnv, asCaller, body, content, route } from './route.ts'

const tags = ['Commands']
const params = z.object({ id: IdText })
const oneParams = z.object({ id: IdText, commandId: integerText(1, 9_999_999_999) })

const listTypes = route({
  method: 'get',
  path: '/devices/{id}/commands/types',
  operationId: 'listCommandTypes',
  tags,
  summary: 'List the commands that a device can take',
  description: 'As its protocol has them, which is known from its last position that is not doubted.',
  request: { params },
  responses: { 200: { description: 'types', content: content(CommandTypes) } },
})

const list = route({
  method: 'get',
  path: '/devices/{id}/commands',
  operationId: 'listCommands',
  tags,
  summary: 'List the commands of a device',
  request: {
    params,
    query: z.object({
      state: CommandState.optional().describe('only in this state'),
      cursor: cursorOf(CommandId),
      limit: limitOf(PAGE_ROWS),
    }),
  },
  responses: { 200: { description: 'the newest first', content: content(pageOf(Command)) } },
})

const get = route({
  method: 'get',
  path: '/devices/{id}/commands/{commandId}',
  operationId: 'getCommand',
  tags,
  summary: 'Get a command',
  request: { params: oneParams },
  responses: { 200: { description: 'the command', content: content(Command) } },
})

const create = route({
  method: 'post',
  path: '/devices/{id}/commands',
  operationId: 'createCommand',
  tags,
  summary: 'Give a device a command',
  description:
    'It waits until the device can be reached, and expires after `expiresInS`. A key makes it safe to ask again: the first ' +
    'command of that key is answered with. `engineStop` is refused while the vehicle moves.',
  request: {
    params,
    headers: z.object({ 'Idempotency-Key': CommandKey.optional().describe('stands for `key` of the body') }),
    body: body(CommandCreate),
  },
  responses: {
    200: { description: 'the command that was given with this key before', content: content(Command) },
    201: { description: 'the command, queued', content: content(Command) },
  },
})

const cancel = route({
  method: 'delete',
  path: '/devices/{id}/commands/{commandId}',
  operationId: 'cancelCommand',
  tags,
  summary: 'Cancel a command that is still queued',
  request: { params: oneParams },
  responses: { 204: { description: 'it is gone, and will not be sent' } },
})

/** Routes `/devices/{id}/commands/…`. */
export function commands({ pool, commands: options }: ApiOptions): OpenAPIHono<ApiEnv> {
  const desk = new CommandDesk(options)
  return new OpenAPIHono<ApiEnv>()
    .openapi(listTypes, async (c) => {
      const { id } = c.req.valid('param')
      const types = await asCaller(c, pool, (client) => desk.types(client, id))
      return c.json(types, 200)
    })
    .openapi(list, async (c) => {
      const { id } = c.req.valid('param')
      const { state, cursor, limit } = c.req.valid('query')
      const rows = await asCaller(c, pool, async (client) => {
        await desk.device(client, id)
        return desk.list(client, id, { state, before: cursor, limit: limit + 1 })
      })
      return c.json(
        page(
          rows,
          limit,
          (command) => command.id,
          (command) => command,
        ),
        200,
      )
    })
    .openapi(get, async (c) => {
      const { id, commandId } = c.req.valid('param')
      const command = await asCaller(c, pool, (client) => desk.find(client, id, commandId))
      if (command === undefined) throw notFound(`command ${commandId} of device ${id}`)
      return c.json(command, 200)
    })
    .openapi(create, async (c) => {
      const { id } = c.req.valid('param')
      const { 'Idempotency-Key': header } = c.req.valid('header')
      const given = c.req.valid('json')
      if (header !== undefined && given.key !== undefined && header !== given.key) {
        throw invalidFields([{ in: 'body', field: 'key', detail: 'differs from the header Idempotency-Key' }])
      }
      const input = { ...given, key: given.key ?? header }
      const outcome = await asCaller(c, pool, (client, caller) => desk.give(client, caller, id, input))
      // Not thrown within the transaction, which would take back the record of the refusal.
      if (outcome instanceof ApiError) throw outcome
      return outcome.before ? c.json(outcome.command, 200) : c.json(outcome.command, 201)
    })
    .openapi(cancel, async (c) => {
      const { id, commandId } = c.req.valid('param')
      await asCaller(c, pool, async (client, caller) => {
        const { organizationId } = await desk.device(client, id)
        const { rows } = await client.query<{ type: string }>(
          "DELETE FROM commands WHERE id = $1 AND device_id = $2 AND state = 'queued' RETURNING type",
          [commandId, id],
        )
        if (rows[0] === undefined) {
          const command = await desk.find(client, id, commandId)
          if (command === undefined) throw notFound(`command ${commandId} of device ${id}`)
          throw new ApiError(
            409,
            'command-not-queued',
            `The command is ${command.state} already; only a queued one can be cancelled.`,
          )
        }
        await audit(client, caller, {
          organizationId,
          action: 'command-cancelled',
          subject: `device ${id}`,
          details: { command: commandId, type: rows[0].type },
        })
      })
      return c.body(null, 204)
    })
}
