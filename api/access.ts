/** Who may do what: the one place that says so. Which rows they then see is row-level security's part. */
import type { AccessClaims } from '../schemas/access-token.ts'
import { ROLES, type Role } from '../schemas/roles.ts'
import { ApiError, invalidFields } from './problem.ts'

const EVERYONE = ROLES
/** A driver is none: what drivers read, of their own devices only, everyone reads. */
const READERS: readonly Role[] = ['super-admin', 'admin', 'manager', 'dispatcher', 'viewer']
const DISPATCHERS: readonly Role[] = ['super-admin', 'admin', 'manager', 'dispatcher']
const MANAGERS: readonly Role[] = ['super-admin', 'admin', 'manager']
const ADMINS: readonly Role[] = ['super-admin', 'admin']
const SUPER_ADMINS: readonly Role[] = ['super-admin']

/** Roles that may call each operation; `public` takes callers who have not logged in. */
export const ACCESS = {
  logIn: 'public',
  refresh: 'public',
  logOut: 'public',
  getMe: EVERYONE,
  changeOwnPassword: EVERYONE,

  listOrganizations: EVERYONE,
  getOrganization: EVERYONE,
  createOrganization: SUPER_ADMINS,
  updateOrganization: SUPER_ADMINS,
  deleteOrganization: SUPER_ADMINS,

  listUsers: ADMINS,
  getUser: ADMINS,
  createUser: ADMINS,
  updateUser: ADMINS,
  deleteUser: ADMINS,
  getDriverDevices: ADMINS,
  putDriverDevices: ADMINS,

  /** Of drivers only their own. */
  listDevices: EVERYONE,
  getDevice: EVERYONE,
  createDevice: MANAGERS,
  updateDevice: MANAGERS,
  deleteDevice: MANAGERS,
  createDeviceSecret: MANAGERS,
  deleteDeviceSecret: MANAGERS,

  /** Groups are what rules of geofences name: who edits those edits these. */
  listDeviceGroups: READERS,
  getDeviceGroup: READERS,
  createDeviceGroup: DISPATCHERS,
  updateDeviceGroup: DISPATCHERS,
  deleteDeviceGroup: DISPATCHERS,
  listDeviceGroupDevices: READERS,
  addDeviceGroupDevice: DISPATCHERS,
  removeDeviceGroupDevice: DISPATCHERS,

  listGeofences: READERS,
  getGeofence: READERS,
  createGeofence: DISPATCHERS,
  updateGeofence: DISPATCHERS,
  deleteGeofence: DISPATCHERS,
  listGeofenceVersions: READERS,
  importGeofences: DISPATCHERS,
  listGeofenceBackfills: READERS,
  getGeofenceBackfill: READERS,
  createGeofenceBackfill: DISPATCHERS,
  cancelGeofenceBackfill: DISPATCHERS,

  listEvents: READERS,
  listDeviceEvents: READERS,
  listGeofenceEvents: READERS,
  listGeofenceDevices: READERS,
  listNearestDevices: READERS,
  findDevicesWithin: READERS,

  /** Answers and attributes hold telephone numbers and passwords of devices. */
  listCommands: DISPATCHERS,
  listCommandTypes: DISPATCHERS,
  getCommand: DISPATCHERS,
  createCommand: DISPATCHERS,
  cancelCommand: DISPATCHERS,
  listAuditEvents: ADMINS,

  listQuarantine: SUPER_ADMINS,
  claimQuarantine: SUPER_ADMINS,
  deleteQuarantine: SUPER_ADMINS,

  /** Of drivers those of their own devices only. */
  listLastPositions: EVERYONE,
  listDevicePositions: EVERYONE,
  getSnapshot: EVERYONE,
  getDeviceTrack: EVERYONE,
  exportDeviceTrackGpx: EVERYONE,
  exportDeviceTrackKml: EVERYONE,
  exportDeviceTrackGeojson: EVERYONE,
  exportDeviceTrackCsv: EVERYONE,
  createStreamTicket: EVERYONE,

  listShareLinks: DISPATCHERS,
  createShareLink: DISPATCHERS,
  deleteShareLink: DISPATCHERS,
  /** Whoever has the link: the token is looked for in the database, see shares.ts. */
  getShared: 'public',
  createSharedStreamTicket: 'public',

  getHealth: 'public',
  getReadiness: 'public',
  /** Has a rule of its own, see health.ts. */
  getMetrics: 'public',
  getOpenApi: 'public',
} as const satisfies Record<string, 'public' | readonly Role[]>

export type Operation = keyof typeof ACCESS

/** The error of a caller who may not do what they ask for. */
export function forbidden(detail = 'Your role may not do this.'): ApiError {
  return new ApiError(403, 'forbidden', detail)
}

/**
 * The organisation that something new belongs to.
 * @param given What the request asks for.
 * @param part Of the request, where it does.
 * @throws ApiError 400 if a super admin names none, 403 if another names one that is not their own.
 */
export function organizationFor(
  caller: AccessClaims,
  given: number | undefined,
  part: 'body' | 'query' = 'body',
): number {
  if (caller.organizationId === null) {
    if (given !== undefined) return given
    throw invalidFields([
      { in: part, field: 'organizationId', detail: 'required: a super admin belongs to no organisation' },
    ])
  }
  if (given !== undefined && given !== caller.organizationId)
    throw forbidden('You may create this in your own organisation only; leave organizationId out.')
  return caller.organizationId
}
