/** What a process does: `start --role ROLE`. One that is given no role does all, and needs no other process. */

export const PROCESS_ROLES = ['ingest', 'live', 'api'] as const
/** `ingest`: devices and what is stored of them; `live`: the stream; `api`: HTTP API and dashboard. */
export type ProcessRole = (typeof PROCESS_ROLES)[number]

export interface RoleVariables {
  readonly DATABASE_URL?: string | undefined
  readonly JWT_SECRET?: string | undefined
  readonly STREAM_URL?: string | undefined
}

/**
 * Reads roles as the command line gives them; none = all.
 * @param items Each one role, or several set apart by commas.
 */
export function parseRoles(items: readonly string[]): {
  roles: ReadonlySet<ProcessRole>
  faults: readonly string[]
} {
  const names = items.flatMap((item) => item.split(',')).map((name) => name.trim())
  const unknown = names.filter((name) => !PROCESS_ROLES.includes(name as ProcessRole))
  return {
    roles: new Set(names.length === 0 ? PROCESS_ROLES : (names as ProcessRole[])),
    faults: unknown.map((name) => `--role: no role "${name}"; there are ${PROCESS_ROLES.join(', ')}`),
  }
}

/** What the roles need, and is not configured: what the processes of one fleet must have in common. */
export function roleFaults(roles: ReadonlySet<ProcessRole>, variables: RoleVariables): string[] {
  if (PROCESS_ROLES.every((role) => roles.has(role))) return []
  const faults: string[] = []
  if (variables.DATABASE_URL === undefined) {
    faults.push(
      'DATABASE_URL: is required with --role: the processes meet in one database; an embedded one belongs to a process that does all',
    )
  }
  if (variables.JWT_SECRET === undefined && (roles.has('live') || roles.has('api'))) {
    faults.push(
      'JWT_SECRET: is required with --role live or api: the same one for all, at least 32 characters, for example of `openssl rand -base64 32`',
    )
  }
  if (variables.STREAM_URL === undefined && roles.has('api') && !roles.has('live')) {
    faults.push(
      'STREAM_URL: is required with --role api without live: where clients reach the stream, such as wss://stream.fleet.example',
    )
  }
  return faults
}
