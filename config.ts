/** Configuration: environment variables, read once, checked as a whole, frozen, and handed to the parts. */
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { z } from 'zod'
import { type Limits, parseLimits } from './ingest/limits.ts'
import { type ProcessRole, parseRoles, roleFaults } from './process-roles.ts'
import { ENGINE_STOP_SPEED_KMH_MAX } from './schemas/device-command.ts'
import type { PositionPolicies } from './storage/positions/position-policies.ts'

const MQTT = 'mqtt'
/** Where PROTOCOLS leaves the ports to us. */
const DETECT_PORT = 5000
const MEBIBYTE = 1024 * 1024
const GIBIBYTE = 1024 * MEBIBYTE
const DAY_MS = 24 * 3600 * 1000

/** One entry of PROTOCOLS: an adapter's id, or `mqtt` for the broker, and its port. */
export type ProtocolPorts = ReadonlyMap<string, number>

const port = z.coerce.number().int().min(0).max(65_535)
/** An age; 0 = never. */
const days = z.coerce.number().int().min(0).max(36_500)
const list = (text: string) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')

/** A port, or none. */
const portOrOff = z.union([z.literal('off').transform(() => undefined), port], {
  error: 'must be a port, 0 for any free one, or off',
})

const protocols = z.string().transform((text, context): ProtocolPorts => {
  const ports = new Map<string, number>()
  for (const item of list(text)) {
    const [, id, number] = /^([a-z0-9-]+):(\d{1,5})$/.exec(item) ?? []
    if (id === undefined || Number(number) > 65_535) {
      context.addIssue({ code: 'custom', message: `"${item}" is not NAME:PORT, such as teltonika:5027` })
    } else if (ports.has(id)) context.addIssue({ code: 'custom', message: `${id} is named twice` })
    else ports.set(id, Number(number))
  }
  return ports
})

const limits = z.string().transform((text, context): Partial<Limits> => {
  const { limits, faults } = parseLimits(list(text))
  for (const message of faults) context.addIssue({ code: 'custom', message })
  return limits
})

const LOGIN_UNREADABLE = 'has a user or password with a % that begins no %XX: write it as %25'
function hasReadableLogin(text: string): boolean {
  try {
    const { username, password } = new URL(text)
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
  }
}

const environment = z
  .object({
    HOST: z.string().min(1).default('127.0.0.1'),
    PORT: port.default(8080),
    STREAM_PORT: port.default(8081),
    STREAM_PORT_SHARED: z
      .enum(['true', 'false'])
      .default('false')
      .transform((text) => text === 'true'),
    STREAM_URL: z.url({ protocol: /^wss?$/ }).optional(),
    ALLOWED_ORIGINS: z.string().default('').transform(list),
    DEVICE_HOST: z.string().min(1).optional(),
    PROTOCOLS: protocols.optional(),
    DETECT_PORT: portOrOff.optional(),
    DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
    REDIS_URL: z
      .url({ protocol: /^rediss?$/ })
      .refine(hasReadableLogin, LOGIN_UNREADABLE)
      .optional(),
    DATA_DIR: z
      .string()
      .min(1)
      .default('./.data')
      .transform((path) => resolve(path)),
    ACK_AFTER: z.enum(['journal', 'database']).default('journal'),
    JOURNAL_KEEP_DAYS: z.coerce.number().min(0).max(3_650).default(7),
    JOURNAL_KEEP_BYTES: z.coerce
      .number()
      .int()
      .min(0)
      .default(8 * GIBIBYTE),
    JOURNAL_SEGMENT_BYTES: z.coerce
      .number()
      .int()
      .min(8 * MEBIBYTE)
      .max(GIBIBYTE)
      .default(64 * MEBIBYTE),
    POSITIONS_COMPRESS_AFTER_DAYS: days.default(7),
    POSITIONS_KEEP_DAYS: days.default(0),
    STREAM_RESUME_HOURS: z.coerce.number().int().min(1).max(720).default(24),
    LIMITS: limits.default({}),
    UNKNOWN_DEVICES: z.enum(['quarantine', 'register']).default('quarantine'),
    DEFAULT_ORGANIZATION: z.string().min(1).max(200).optional(),
    ENGINE_STOP_SPEED_KMH_MAX: z.coerce.number().min(0).max(300).default(ENGINE_STOP_SPEED_KMH_MAX),
    ADMIN_EMAIL: z.email().default('admin@fleetflow.local'),
    ADMIN_PASSWORD: z.string().min(12).max(72).optional(),
    JWT_SECRET: z.string().min(32).optional(),
    METRICS_TOKEN: z.string().min(16).optional(),
    SHARDS: z.coerce
      .number()
      .int()
      .min(1)
      .max(64)
      .default(Math.min(8, Math.max(2, availableParallelism() - 1))),
    LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
    NODE_ENV: z.string().default('development'),
  })
  .superRefine((values, context) => {
    const fault = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message })
    if (values.NODE_ENV === 'production' && values.JWT_SECRET === undefined) {
      fault(
        'JWT_SECRET',
        'is required when NODE_ENV=production: at least 32 characters, for example of `openssl rand -base64 32`',
      )
    }
    if (values.UNKNOWN_DEVICES === 'register' && values.DEFAULT_ORGANIZATION === undefined) {
      fault(
        'DEFAULT_ORGANIZATION',
        'is required when UNKNOWN_DEVICES=register: the organisation that new devices join',
      )
    }
  })

export interface Config {
  /** What the process does. */
  readonly roles: ReadonlySet<ProcessRole>
  readonly host: string
  /** API and dashboard. 0 = any free port, as for every port. */
  readonly port: number
  readonly streamPort: number
  /** Whether other processes of this machine may listen on the stream's port, too: each gets some of the clients. */
  readonly streamPortShared: boolean
  /** What clients are told; undefined = made of host and stream port. */
  readonly streamUrl: string | undefined
  readonly allowedOrigins: readonly string[]
  readonly deviceHost: string
  /** Undefined = every protocol at its customary port. */
  readonly protocols: ProtocolPorts | undefined
  /** Port that finds out which protocol a device speaks; undefined = none. */
  readonly detectPort: number | undefined
  /** Undefined = PostgreSQL embedded under `dataDir`. */
  readonly databaseUrl: string | undefined
  /** Bus from ingest to live; undefined = inside the process, and for live without ingest the database. */
  readonly redisUrl: string | undefined
  readonly dataDir: string
  /** When a frame with positions gets its reply. */
  readonly ackAfter: 'journal' | 'database'
  /** How long what is stored is kept in the journal for `reprocess`, ms and bytes, whichever is less. */
  readonly journalKeepMs: number
  readonly journalKeepBytes: number
  /** Bytes of a file of the journal, allocated before it is used. */
  readonly journalSegmentBytes: number
  readonly positionPolicies: PositionPolicies
  /** How old a cursor of the stream may be. */
  readonly streamResumeHours: number
  /** Limits of ingest that are not the defaults. */
  readonly limits: Partial<Limits>
  /** Speed above which a vehicle is not told to stop its engine, km/h. */
  readonly engineStopSpeedKmhMax: number
  readonly unknownDevices: 'quarantine' | 'register'
  readonly defaultOrganization: string | undefined
  readonly adminEmail: string
  readonly adminPassword: string | undefined
  /** Undefined = generated into `dataDir`. */
  readonly jwtSecret: string | undefined
  readonly metricsToken: string | undefined
  /** Shard threads, each with a connection of its own to the database. */
  readonly shards: number
  readonly logLevel: string
}

/** Wrong configuration: every fault in one message, one a line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/**
 * Reads the configuration. Empty variables count as absent.
 * @param protocolIds Names that PROTOCOLS may use.
 * @param roleItems As the command line gives them; none = all roles.
 * @throws ConfigError naming every fault.
 */
export function readConfig(
  variables: NodeJS.ProcessEnv,
  protocolIds: readonly string[],
  roleItems: readonly string[] = [],
): Config {
  const given = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''))
  const parsed = environment.safeParse(given)
  const faults = parsed.success
    ? []
    : parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  const known = [...protocolIds, MQTT]
  const ports = parsed.success
    ? (parsed.data.PROTOCOLS ?? new Map<string, number>())
    : new Map<string, number>()
  for (const id of ports.keys()) {
    if (!known.includes(id)) faults.push(`PROTOCOLS: no protocol "${id}"; there are ${known.join(', ')}`)
  }
  const { roles, faults: wrongRoles } = parseRoles(roleItems)
  faults.push(...wrongRoles, ...roleFaults(roles, given))
  if (!parsed.success || faults.length > 0) {
    throw new ConfigError(`Wrong configuration:\n${faults.map((fault) => `  ${fault}`).join('\n')}`)
  }
  const values = parsed.data
  return Object.freeze({
    roles,
    host: values.HOST,
    port: values.PORT,
    streamPort: values.STREAM_PORT,
    streamPortShared: values.STREAM_PORT_SHARED,
    streamUrl: values.STREAM_URL,
    allowedOrigins: values.ALLOWED_ORIGINS,
    deviceHost: values.DEVICE_HOST ?? values.HOST,
    protocols: values.PROTOCOLS,
    detectPort:
      given.DETECT_PORT === undefined && values.PROTOCOLS === undefined ? DETECT_PORT : values.DETECT_PORT,
    databaseUrl: values.DATABASE_URL,
    redisUrl: values.REDIS_URL,
    dataDir: values.DATA_DIR,
    ackAfter: values.ACK_AFTER,
    journalKeepMs: values.JOURNAL_KEEP_DAYS * DAY_MS,
    journalKeepBytes: values.JOURNAL_KEEP_BYTES,
    journalSegmentBytes: values.JOURNAL_SEGMENT_BYTES,
    positionPolicies: {
      compressAfterDays: values.POSITIONS_COMPRESS_AFTER_DAYS,
      keepDays: values.POSITIONS_KEEP_DAYS,
    },
    streamResumeHours: values.STREAM_RESUME_HOURS,
    limits: values.LIMITS,
    engineStopSpeedKmhMax: values.ENGINE_STOP_SPEED_KMH_MAX,
    unknownDevices: values.UNKNOWN_DEVICES,
    defaultOrganization: values.DEFAULT_ORGANIZATION,
    adminEmail: values.ADMIN_EMAIL,
    adminPassword: values.ADMIN_PASSWORD,
    jwtSecret: values.JWT_SECRET,
    metricsToken: values.METRICS_TOKEN,
    shards: values.SHARDS,
    logLevel: values.LOG_LEVEL,
  })
}
