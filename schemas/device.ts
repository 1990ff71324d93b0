/** Devices: the registered trackers. */
import { z } from 'zod'
import { Id, line, Time } from './text.ts'

/** Most protocol options of a device. */
const OPTIONS_MAX = 32

const optionValue = z.union([z.boolean(), z.number(), line(0, 200)])

/** Options of the protocol adapter by name, such as `{"extended": true}`. */
export const DeviceOptions = z
  .record(z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/), optionValue)
  .refine((options) => Object.keys(options).length <= OPTIONS_MAX, `must have at most ${OPTIONS_MAX} options`)
  .meta({
    description: 'options of the protocol adapter',
    maxProperties: OPTIONS_MAX,
    propertyNames: { pattern: '^[A-Za-z][A-Za-z0-9_]{0,63}$' },
  })

export const UniqueId = line(1, 128).describe('what the device calls itself: an IMEI, mostly')

export const DeviceCreate = z
  .strictObject({
    organizationId: Id.optional().describe('required from a super admin; else their own'),
    uniqueId: UniqueId,
    name: line(1, 200),
    model: line(0, 100).default('').describe('such as FMB130; some frames can be read only with it'),
    options: DeviceOptions.default({}),
    disabled: z.boolean().default(false),
  })
  .meta({ id: 'DeviceCreate' })
export type DeviceCreate = z.infer<typeof DeviceCreate>

export const DeviceUpdate = z
  .strictObject({
    uniqueId: UniqueId.optional(),
    name: line(1, 200).optional(),
    model: line(0, 100).optional(),
    options: DeviceOptions.optional().describe('replaces all options'),
    disabled: z.boolean().optional(),
  })
  .meta({ id: 'DeviceUpdate' })

export const Device = z
  .object({
    id: Id,
    organizationId: Id,
    uniqueId: z.string(),
    name: z.string(),
    model: z.string(),
    options: z
      .record(z.string(), z.union([z.boolean(), z.number(), z.string()]))
      .describe('those with a password in their name only for who may set them'),
    hasSecret: z.boolean().describe('whether the device must give a password'),
    disabled: z.boolean().describe('nothing of a disabled device is taken'),
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'Device' })
export type Device = z.infer<typeof Device>
