/** Commands as the API takes and gives them. */
import { z } from 'zod'
import { COMMANDS, type CommandType } from './command.ts'
import { Id, line, Time } from './text.ts'

/** `engineStop` is refused while the last speed is above it, unless configured otherwise. */
export const ENGINE_STOP_SPEED_KMH_MAX = 5

const DAY_S = 24 * 3600
export const COMMAND_EXPIRES_S = { min: 1, max: 30 * DAY_S, default: DAY_S } as const

export const COMMAND_STATES = ['queued', 'sent', 'acknowledged', 'failed', 'expired'] as const
export const CommandState = z.enum(COMMAND_STATES)

export const COMMAND_TYPES = Object.keys(COMMANDS) as CommandType[]

/** Id of a command: a bigint of PostgreSQL, counted up from 1. */
export const CommandId = z.int().min(1)

export const CommandKey = line(1, 128)

/** Texts of attributes that PostgreSQL cannot keep, or that no protocol can say. */
const storable = (attributes: object) =>
  Object.values(attributes).every(
    (value) => typeof value !== 'string' || (!value.includes('\0') && value.isWellFormed()),
  )

/** Attributes of a type; they may be left out where none has to be given. */
function attributesOf(type: CommandType) {
  const attributes = COMMANDS[type] as z.ZodObject
  return attributes.safeParse({}).success ? attributes.prefault({}) : attributes
}

/** One variant a type, each with its attributes. */
const variants = COMMAND_TYPES.map((type) =>
  z
    .strictObject({
      type: z.literal(type),
      attributes: attributesOf(type).refine(storable, 'must have no U+0000 and no half of a surrogate pair'),
      expiresInS: z
        .int()
        .min(COMMAND_EXPIRES_S.min)
        .max(COMMAND_EXPIRES_S.max)
        .default(COMMAND_EXPIRES_S.default)
        .describe('how long it may wait for the device, seconds'),
      key: CommandKey.optional().describe('the same key again is the same command; also as Idempotency-Key'),
    })
    .meta({ id: `Command${type[0]!.toUpperCase()}${type.slice(1)}` }),
)

/** A command that is given. */
export interface CommandCreate {
  readonly type: CommandType
  readonly attributes: Readonly<Record<string, unknown>>
  readonly expiresInS: number
  readonly key?: string | undefined
}

export const CommandCreate = z
  .discriminatedUnion('type', variants as [(typeof variants)[0], ...typeof variants])
  .meta({ id: 'CommandCreate' }) as unknown as z.ZodType<CommandCreate>

export const Command = z
  .object({
    id: CommandId,
    deviceId: Id,
    type: z.string(),
    attributes: z.record(z.string(), z.unknown()),
    state: CommandState,
    key: z.string().nullable(),
    createdBy: Id.describe('user who gave it'),
    createdAt: Time,
    expiresAt: Time.describe('it is not sent later'),
    sentAt: Time.nullable(),
    answeredAt: Time.nullable(),
    answer: z.string().nullable().describe('what the device said'),
    failure: z.string().nullable().describe('why it failed: code, colon, sentence'),
  })
  .meta({ id: 'Command' })
export type Command = z.infer<typeof Command>

export const CommandTypes = z
  .object({
    protocol: z
      .string()
      .nullable()
      .describe('that the device spoke when it sent its last position; null if that is not known'),
    types: z
      .array(z.string())
      .describe('commands that the protocol can say; all where the protocol is not known'),
  })
  .meta({ id: 'CommandTypes' })

/** An entry of the record of what was done, or refused. */
export const AuditEvent = z
  .object({
    id: CommandId,
    organizationId: Id,
    userId: Id.nullable().describe('who did it; null for the engine itself'),
    action: z.string().describe('such as command-refused'),
    subject: z.string().describe('such as device 7'),
    details: z.record(z.string(), z.unknown()),
    createdAt: Time,
  })
  .meta({ id: 'AuditEvent' })
export type AuditEvent = z.infer<typeof AuditEvent>
