import { createHmac } from 'node:crypto'
import { SignJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import { ACCESS_TOKEN_S, signAccessToken, verifyAccessToken } from './access-token.ts'

const SECRET = 'a secret of forty bytes for these tests.'
const SESSION = '0d5f2f0a-3a3b-4f0e-9b7a-0d2f6c1e8a11'
const claims = { userId: 7, organizationId: 3, role: 'viewer', sessionId: SESSION } as const

/** A token with everything right, to be spoilt one thing at a time. */
function token(payload: object, header: object = { alg: 'HS256' }, hash = 'sha256'): string {
  const now = Math.floor(Date.now() / 1000)
  const right = {
    iss: 'fleetflow',
    aud: 'fleetflow-api',
    sub: '7',
    org: 3,
    role: 'viewer',
    sid: SESSION,
    iat: now,
    exp: now + 60,
  }
  const text = [header, { ...right, ...payload }]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${text}.${createHmac(hash, SECRET).update(text).digest('base64url')}`
}

describe('access token', () => {
  it('says whom it speaks for', async () => {
    expect(await verifyAccessToken(await signAccessToken(claims, SECRET), SECRET)).toEqual(claims)
    const root = { userId: 1, organizationId: null, role: 'super-admin', sessionId: SESSION } as const
    expect(await verifyAccessToken(await signAccessToken(root, SECRET), SECRET)).toEqual(root)
    expect(await verifyAccessToken(token({}), SECRET)).toEqual(claims)
  })

  it('is good for an hour', async () => {
    const { exp, iat } = JSON.parse(
      Buffer.from((await signAccessToken(claims, SECRET)).split('.')[1]!, 'base64url').toString(),
    )
    expect(exp - iat).toBe(ACCESS_TOKEN_S)
  })

  it.each([
    ['another secret', token({}), 'another secret that is long enough too'],
    ['an expiry in the past', token({ exp: 1 }), SECRET],
    ['no expiry', token({ exp: undefined }), SECRET],
    ['another issuer', token({ iss: 'elsewhere' }), SECRET],
    ['another audience', token({ aud: 'elsewhere' }), SECRET],
    ['a role that does not exist', token({ role: 'root' }), SECRET],
    ['a subject that is no id', token({ sub: '7; drop table users' }), SECRET],
    ['an organisation on a super admin', token({ role: 'super-admin' }), SECRET],
    ['no organisation on a viewer', token({ org: null }), SECRET],
    ['no session', token({ sid: undefined }), SECRET],
    ['a session that is no id', token({ sid: '1 or 1' }), SECRET],
    ['another algorithm', token({}, { alg: 'HS512' }, 'sha512'), SECRET],
    ['no signature', `${token({}, { alg: 'none' }).split('.').slice(0, 2).join('.')}.`, SECRET],
    ['no token at all', '', SECRET],
  ])('is refused with %s', async (_what, spoilt, secret) => {
    expect(await verifyAccessToken(spoilt, secret)).toBeNull()
  })

  it('is refused when it is not valid yet', async () => {
    const early = await new SignJWT({ org: 3, role: 'viewer', sid: SESSION })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('fleetflow')
      .setAudience('fleetflow-api')
      .setSubject('7')
      .setIssuedAt()
      .setNotBefore('1 h')
      .setExpirationTime('2 h')
      .sign(new TextEncoder().encode(SECRET))
    expect(await verifyAccessToken(early, SECRET)).toBeNull()
  })

  it('is neither signed nor read with a short secret', async () => {
    await expect(signAccessToken(claims, 'short')).rejects.toThrow(RangeError)
    await expect(verifyAccessToken(token({}), 'short')).rejects.toThrow(RangeError)
  })
})
