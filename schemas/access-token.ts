/**
 * Access token: a JWT (RFC 7519) signed with HMAC-SHA-256, short-lived, of one session. The API issues it; the API and
 * the live stream accept it while the session holds.
 */
import { jwtVerify, SignJWT } from 'jose'
import { z } from 'zod'
import { Role } from './roles.ts'
import { Id } from './text.ts'

/** How long an access token is good for, s. */
export const ACCESS_TOKEN_S = 3600

/** Shortest secret, bytes: RFC 7518 3.2 asks for the length of the hash. */
export const JWT_SECRET_BYTES_MIN = 32

/** Clocks of two of our processes may differ by this, s. */
const CLOCK_TOLERANCE_S = 5

const ALGORITHM = 'HS256'
const ISSUER = 'fleetflow'
const AUDIENCE = 'fleetflow-api'

/** Whom a token speaks for. */
export interface AccessClaims {
  readonly userId: number
  /** Null for a super admin, who belongs to no organisation. */
  readonly organizationId: number | null
  readonly role: Role
  /** UUID of the session that the token is of: a family of refresh tokens. */
  readonly sessionId: string
}

const Payload = z
  .object({
    sub: z
      .string()
      .regex(/^[1-9]\d*$/)
      .transform(Number)
      .pipe(Id),
    org: Id.nullable(),
    role: Role,
    sid: z.uuid(),
  })
  .refine(({ org, role }) => (role === 'super-admin') === (org === null))

/** @throws RangeError if the secret is shorter than {@link JWT_SECRET_BYTES_MIN}. */
export async function signAccessToken(claims: AccessClaims, secret: string): Promise<string> {
  return new SignJWT({ org: claims.organizationId, role: claims.role, sid: claims.sessionId })
    .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT' })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject(String(claims.userId))
    .setIssuedAt()
    .setExpirationTime(`${ACCESS_TOKEN_S} s`)
    .sign(keyOf(secret))
}

/**
 * @returns Whom the token speaks for; null if it is expired, signed with another key or not one of ours.
 * @throws RangeError if the secret is shorter than {@link JWT_SECRET_BYTES_MIN}.
 */
export async function verifyAccessToken(token: string, secret: string): Promise<AccessClaims | null> {
  const key = keyOf(secret)
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [ALGORITHM],
      issuer: ISSUER,
      audience: AUDIENCE,
      clockTolerance: CLOCK_TOLERANCE_S,
      requiredClaims: ['exp', 'iat'],
    })
    const { sub, org, role, sid } = Payload.parse(payload)
    return { userId: sub, organizationId: org, role, sessionId: sid }
  } catch {
    return null
  }
}

function keyOf(secret: string): Uint8Array {
  const key = new TextEncoder().encode(secret)
  if (key.length < JWT_SECRET_BYTES_MIN)
    throw new RangeError(`the secret of access tokens has ${key.length} bytes; give ${JWT_SECRET_BYTES_MIN}`)
  return key
}
