/** Links that show a few devices to whoever has them. */
import { z } from 'zod'
import { Id, line, Time } from './text.ts'

/** Most devices that a link names; of a group it shows all. */
export const SHARE_DEVICES_MAX = 100
/** Longest life of a link, days. */
export const SHARE_DAYS_MAX = 30
/** Longest delay of a link, s. */
export const SHARE_DELAY_S_MAX = 3600

const fields = {
  name: line(1, 200).describe('shown to whoever has the link'),
  delayS: z
    .int()
    .min(0)
    .max(SHARE_DELAY_S_MAX)
    .describe('how far behind the present the devices are shown, s'),
}

export const ShareLink = z
  .object({
    id: Id,
    organizationId: Id,
    ...fields,
    devices: z.array(Id).nullable().describe('null where it shows a group'),
    group: Id.nullable().describe('device group whose devices it shows, as they are at the time'),
    expiresAt: Time,
    createdBy: Id.describe('user'),
    createdAt: Time,
  })
  .meta({ id: 'ShareLink' })
export type ShareLink = z.infer<typeof ShareLink>

export const ShareLinkCreate = z
  .strictObject({
    organizationId: Id.optional().describe('required from a super admin; else their own'),
    name: fields.name,
    devices: z.array(Id).min(1).max(SHARE_DEVICES_MAX).optional().describe('either these or `group`'),
    group: Id.optional(),
    expiresAt: z.iso.datetime({ offset: true }).describe(`at most ${SHARE_DAYS_MAX} days from now`),
    delayS: fields.delayS.default(0),
  })
  .refine(({ devices, group }) => (devices === undefined) !== (group === undefined), {
    path: ['devices'],
    message: 'give either devices or group',
  })
  .meta({ id: 'ShareLinkCreate' })

/** What whoever has a link is told of it. */
export const SharedView = z
  .object({
    name: z.string(),
    expiresAt: Time,
    delayS: z.int(),
    devices: z.array(z.object({ id: Id, name: z.string() })),
  })
  .meta({ id: 'SharedView' })
export type SharedView = z.infer<typeof SharedView>
