/** Errors of the API as problem details (RFC 9457), each with a stable code. */
import { STATUS_CODES } from 'node:http'
import { z } from 'zod'
import type { ShapeErrorCode } from '../geofence/shapes/shape.ts'

/** Codes of the API's errors. Clients branch on them: they are added to, never renamed. */
export type ProblemCode =
  | 'backfill-ended'
  | 'backfill-open'
  | 'body-too-large'
  | 'busy'
  | 'command-not-queued'
  | 'command-unsupported'
  | 'database-unavailable'
  | 'email-taken'
  | 'forbidden'
  | 'geofence-overlaps'
  | 'group-in-use'
  | 'import-refused'
  | 'internal'
  | 'invalid-json'
  | 'invalid-request'
  | 'key-taken'
  | 'login-failed'
  | 'method-not-allowed'
  | 'name-taken'
  | 'not-a-driver'
  | 'not-found'
  | 'not-logged-in'
  | 'organization-differs'
  | 'organization-unknown'
  | 'own-account'
  | 'query-too-large'
  | 'refresh-token-invalid'
  | 'role-fixed'
  | 'token-invalid'
  | 'token-outdated'
  | 'too-many-attempts'
  | 'too-many-commands'
  | 'too-many-geofences'
  | 'too-many-share-links'
  | 'too-many-tickets'
  | 'unique-id-taken'
  | 'unsupported-media-type'
  | 'vehicle-moving'
  | ShapeErrorCode

/** What is wrong with one field of a request. */
export interface FieldError {
  readonly in: 'body' | 'header' | 'path' | 'query'
  /** Path of the field, such as `options.extended`; empty for the whole part. */
  readonly field: string
  readonly detail: string
}

/** What became of one feature of an import. */
export const FeatureResult = z
  .object({
    name: z.string(),
    id: z.int().nullable().describe('of the geofence that was made of it'),
    error: z.object({ code: z.string(), detail: z.string() }).nullable().describe('why there is none'),
  })
  .meta({ id: 'FeatureResult' })
export type FeatureResult = z.infer<typeof FeatureResult>

export interface ProblemExtras {
  readonly headers?: Readonly<Record<string, string>>
  readonly errors?: readonly FieldError[]
  /** Figures of the error for programs, see {@link Problem}. */
  readonly members?:
    | { readonly speedKmh: number; readonly speedKmhMax: number }
    | { readonly features: FeatureResult[] }
  readonly cause?: unknown
}

/** An error that a client is told of. `detail` says what is wrong and what to do. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly code: ProblemCode
  readonly headers: Readonly<Record<string, string>>
  readonly errors: readonly FieldError[] | undefined
  readonly members: ProblemExtras['members']

  constructor(status: number, code: ProblemCode, detail: string, extras: ProblemExtras = {}) {
    super(detail, { cause: extras.cause })
    this.status = status
    this.code = code
    this.headers = extras.headers ?? {}
    this.errors = extras.errors
    this.members = extras.members
  }
}

/** Body of every answer that is an error. */
export const Problem = z
  .object({
    type: z.literal('about:blank'),
    title: z.string().describe('phrase of the status'),
    status: z.int().min(400).max(599),
    code: z.string().describe('stable name of the error'),
    detail: z.string().describe('what is wrong, and what to do'),
    errors: z
      .array(
        z.object({ in: z.enum(['body', 'header', 'path', 'query']), field: z.string(), detail: z.string() }),
      )
      .optional()
      .describe('the fields that are wrong, with the code `invalid-request` and those of shapes'),
    features: z
      .array(FeatureResult)
      .optional()
      .describe('of the import, in the order of the text, with the code `import-refused`'),
    speedKmh: z.number().optional().describe('last speed, with the code `vehicle-moving`'),
    speedKmhMax: z.number().optional().describe('the speed up to which it is possible'),
  })
  .meta({ id: 'Problem' })

export const PROBLEM_TYPE = 'application/problem+json'

/** The answer that tells of an error. */
export function problemResponse(error: ApiError): Response {
  const body: z.infer<typeof Problem> = {
    type: 'about:blank',
    title: STATUS_CODES[error.status] ?? 'Error',
    status: error.status,
    code: error.code,
    detail: error.message,
    ...(error.errors && { errors: [...error.errors] }),
    ...error.members,
  }
  return new Response(JSON.stringify(body), {
    status: error.status,
    headers: { 'Content-Type': PROBLEM_TYPE, ...error.headers },
  })
}

/** Most fields that one answer names. */
const FIELD_ERRORS_MAX = 20

const PARTS: Readonly<Record<string, FieldError['in']>> = { json: 'body', param: 'path', header: 'header' }

/** The error of a request whose part `target` breaks its schema. */
export function invalidRequest(target: string, error: z.ZodError): ApiError {
  const part = PARTS[target] ?? 'query'
  const errors = error.issues.flatMap((issue): FieldError[] => {
    const fields =
      issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path]
    return fields.map((field) => ({ in: part, field: field.join('.'), detail: issue.message }))
  })
  return invalidFields(errors.slice(0, FIELD_ERRORS_MAX))
}

/** The error of a request with the given wrong fields. */
export function invalidFields(errors: readonly FieldError[]): ApiError {
  const named = errors.map(({ in: part, field, detail }) => `${part}${field && ` ${field}`}: ${detail}`)
  return new ApiError(400, 'invalid-request', `The request is not valid: ${named.join('; ')}.`, { errors })
}

/** @param what What there is none of, such as `device 7`. */
export function notFound(what: string): ApiError {
  return new ApiError(404, 'not-found', `There is no ${what}, or you may not see it.`)
}
