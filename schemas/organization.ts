/** Organisations: the tenants. */
import { z } from 'zod'
import { Id, line, Time } from './text.ts'

export const OrganizationInput = z.strictObject({ name: line(1, 200) }).meta({ id: 'OrganizationInput' })

export const Organization = z
  .object({ id: Id, name: z.string(), createdAt: Time })
  .meta({ id: 'Organization' })
export type Organization = z.infer<typeof Organization>
