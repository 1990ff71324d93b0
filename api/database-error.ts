/** What an error of PostgreSQL, or of the way to it, is to a client of the API. */
import { ApiError, type ProblemCode } from './problem.ts'

/** A client may ask again after this, s. */
const RETRY_AFTER_S = 5

/** Constraints that a request can run into although it is well formed. */
const CONSTRAINTS: Readonly<Record<string, readonly [ProblemCode, string]>> = {
  device_groups_organization_id_fkey: [
    'organization-unknown',
    'There is no organisation of this organizationId.',
  ],
  device_groups_organization_id_name_key: [
    'name-taken',
    'Another group of the organisation has this name; choose another.',
  ],
  devices_unique_id_key: ['unique-id-taken', 'Another device has this uniqueId; delete that one first.'],
  devices_organization_id_fkey: ['organization-unknown', 'There is no organisation of this organizationId.'],
  // Groups are looked at before: a geofence came to name this one at the same moment, or the group went.
  geofence_groups_organization_id_group_id_fkey: [
    'group-in-use',
    'The group and the rules that name it changed at the same moment; try again.',
  ],
  geofences_organization_id_fkey: [
    'organization-unknown',
    'There is no organisation of this organizationId.',
  ],
  organizations_name_key: ['name-taken', 'Another organisation has this name; choose another.'],
  users_email_key: ['email-taken', 'Another user has this e-mail address; choose another.'],
  users_organization_id_fkey: ['organization-unknown', 'There is no organisation of this organizationId.'],
}

/** Codes of the operating system for a server that is not there or went away. */
const LOST = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
])

/** The driver gives these no code. */
const LOST_MESSAGE =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Client has encountered a connection error|Client was closed and is not queryable|Query read timeout)/

/**
 * SQLSTATE classes and codes of a server that cannot answer now: connection exception, insufficient resources,
 * operator intervention (shutdown, statement timeout), deadlock, read-only server, idle transaction ended.
 */
const UNAVAILABLE_STATE = /^(08|40|53|57|25006|25P03)/

/** @returns The error to answer with; undefined if `error` is not one of the database that a client can cause or wait out. */
export function databaseProblem(error: unknown): ApiError | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, constraint, syscall } = error as { code?: unknown; constraint?: unknown; syscall?: unknown }
  const conflict = typeof constraint === 'string' ? CONSTRAINTS[constraint] : undefined
  if (conflict) return new ApiError(409, conflict[0], conflict[1], { cause: error })
  const unavailable =
    typeof code === 'string'
      ? LOST.has(code) || UNAVAILABLE_STATE.test(code) || (code === 'ENOENT' && syscall === 'connect')
      : LOST_MESSAGE.test(error.message)
  if (!unavailable) return undefined
  return new ApiError(503, 'database-unavailable', 'The database does not answer; try again later.', {
    headers: { 'Retry-After': String(RETRY_AFTER_S) },
    cause: error,
  })
}
