/**
 * Commands from the server to a device, independent of protocol: their types, and the attributes of each. Names of
 * types and attributes are those that operators of other tracking servers know; an adapter has encoders for the types
 * that its protocol can say (`Adapter.commands`).
 */
import { z } from 'zod'

/** Most characters of one text of a command. */
export const COMMAND_TEXT_LENGTH_MAX = 1024

const text = z.string().min(1).max(COMMAND_TEXT_LENGTH_MAX)
const phone = z
  .string()
  .regex(/^\+?[0-9]{1,20}$/, 'must be a phone number: digits, with or without a leading +')
const index = z.int().min(0).max(255)
const none = z.strictObject({})
const enable = z.strictObject({ enable: z.boolean() })
const data = z.strictObject({ data: text })

/** Attributes of each type of command. */
export const COMMANDS = {
  /** `data` as the protocol's own command: its text, or hex where the protocol takes bytes. */
  custom: data,
  positionSingle: none,
  /** Reports every `frequency` seconds. */
  positionPeriodic: z.strictObject({ frequency: z.int().min(0).max(604_800) }),
  positionStop: none,
  /** Cuts fuel or ignition; refused while the vehicle moves. */
  engineStop: none,
  engineResume: none,
  alarmArm: none,
  alarmDisarm: none,
  alarmSos: enable,
  alarmBattery: enable,
  alarmRemove: enable,
  /** `data`: alarm times in the protocol's own form. */
  alarmClock: data,
  rebootDevice: none,
  powerOff: none,
  modeDeepSleep: enable,
  modePowerSaving: enable,
  deviceIdentification: none,
  getDeviceStatus: none,
  getVersion: none,
  /** Output `index`, the first if not given, to `data`: mostly `1` or `0`. */
  outputControl: z.strictObject({ index: index.optional(), data: text }),
  requestPhoto: z.strictObject({ index: index.optional() }),
  videoStart: z.strictObject({ index: index.optional() }),
  videoStop: z.strictObject({ index: index.optional() }),
  /** Server that the device reports to from then on. */
  setConnection: z.strictObject({
    server: z.string().regex(/^[A-Za-z0-9.:-]{1,253}$/, 'must be an address or a host name'),
    port: z.coerce.number().int().min(1).max(65_535),
  }),
  /** `data`: metres; 0 if not given. */
  setOdometer: z.strictObject({
    data: z
      .string()
      .regex(/^\d{1,12}$/, 'must be whole metres')
      .optional(),
  }),
  sosNumber: z.strictObject({ index, phone }),
  sendSms: z.strictObject({ phone, message: text }),
  sendUssd: z.strictObject({ phone: z.string().regex(/^[0-9*#+]{1,40}$/, 'must be a USSD code') }),
  /** Shown to the driver or wearer. */
  message: z.strictObject({ message: text }),
  /** `data`: sound in the device's format, hex. */
  voiceMessage: z.strictObject({
    data: z
      .string()
      .regex(/^([0-9a-f]{2})+$/i, 'must be hex')
      .max(65_536),
  }),
  setIndicator: data,
  setPhonebook: data,
  /** `timezone`: a name of the IANA database, or `GMT+05:45`. */
  setTimezone: z.strictObject({
    timezone: z.string().regex(/^[A-Za-z0-9_+:/-]{1,64}$/, 'must be a time zone'),
    language: z.int().min(0).max(99).optional(),
  }),
  silenceTime: data,
  configuration: data,
  firmwareUpdate: data,
} as const

export type CommandType = keyof typeof COMMANDS
export type CommandAttributes<Type extends CommandType> = z.infer<(typeof COMMANDS)[Type]>
