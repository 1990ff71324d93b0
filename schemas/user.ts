/** Users of an organisation, and super admins, who belong to none. */
import { z } from 'zod'
import { Role } from './roles.ts'
import { Email, Id, line, ONE_LINE, Time } from './text.ts'

/** Shortest password that can be set, characters. */
export const PASSWORD_LENGTH_MIN = 10

/** Longest password, bytes of UTF-8: bcrypt does not look at more. */
export const PASSWORD_BYTES_MAX = 72

/** A password to be set. */
export const NewPassword = z
  .string()
  .min(PASSWORD_LENGTH_MIN)
  .max(PASSWORD_BYTES_MAX)
  .regex(ONE_LINE, 'must have no control characters')
  .refine(
    (password) => new TextEncoder().encode(password).length <= PASSWORD_BYTES_MAX,
    `must have at most ${PASSWORD_BYTES_MAX} bytes`,
  )

export const User = z
  .object({
    id: Id,
    organizationId: Id.nullable().describe('null for a super admin'),
    email: z.string(),
    name: z.string(),
    role: Role,
    disabled: z.boolean(),
    createdAt: Time,
  })
  .meta({ id: 'User' })
export type User = z.infer<typeof User>

export const UserCreate = z
  .strictObject({
    organizationId: Id.optional().describe(
      'required from a super admin, except for a new super admin; else their own',
    ),
    email: Email,
    name: line(0, 200).default(''),
    role: Role.describe('at most the role of who creates the user'),
    password: NewPassword,
  })
  .meta({ id: 'UserCreate' })

export const UserUpdate = z
  .strictObject({
    email: Email.optional(),
    name: line(0, 200).optional(),
    role: Role.optional().describe('at most the role of who changes the user'),
    disabled: z.boolean().optional().describe('a disabled user is logged out and cannot log in'),
    password: NewPassword.optional().describe('logs the user out everywhere'),
  })
  .meta({ id: 'UserUpdate' })
