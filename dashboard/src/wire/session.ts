/** Who is signed in: keeps the tokens of this tab, renews them, and asks the API in their name. */
import type { Role } from '../../../schemas/roles.ts'
import { noteServerDate } from './clock.ts'

const STORAGE_KEY = 'fleetflow.session'
/** A token is renewed this long before it runs out. */
const RENEW_AHEAD_MS = 30_000
const REQUEST_TIMEOUT_MS = 20_000
/** A file of a long time takes its time. */
const FILE_TIMEOUT_MS = 10 * 60_000

/** Who is signed in, as the server says it. */
export interface SessionUser {
  readonly id: number
  /** null: a super admin, who belongs to no organisation. */
  readonly organizationId: number | null
  readonly email: string
  readonly name: string
  readonly role: Role
}

interface Tokens {
  readonly user: SessionUser
  readonly accessToken: string
  readonly refreshToken: string
  readonly expiresAtMs: number
}

interface TokenAnswer {
  readonly accessToken: string
  readonly refreshToken: string
  /** Seconds. */
  readonly expiresIn: number
  readonly user: SessionUser
}

/** An answer that is not a success, or none at all (`status` 0). `message` is fit to be shown. */
export class RequestError extends Error {
  readonly status: number
  /** Stable name of the error, such as `shape-self-crossing`; empty where the server gave none. */
  readonly code: string
  /** Seconds to wait, if the server said so. */
  readonly retryAfterS: number | null

  constructor(status: number, message: string, code = '', retryAfterS: number | null = null) {
    super(message)
    this.name = 'RequestError'
    this.status = status
    this.code = code
    this.retryAfterS = retryAfterS
  }
}

/** What went wrong, fit to be shown. */
export function wordsOf(error: unknown): string {
  return error instanceof RequestError ? error.message : 'Load the page again.'
}

/** Asks what everyone may ask, in nobody's name. @throws RequestError */
export async function askPublic<Answer>(path: string, method: 'GET' | 'POST'): Promise<Answer> {
  const response = await send(path, method, undefined, null)
  if (!response.ok) throw await errorOf(response)
  return (await response.json()) as Answer
}

/** A session of one tab. The tokens are in sessionStorage, so that closing the tab ends it. */
export class Session {
  /** Called once when the session has ended without being asked to. */
  onEnded: () => void = () => {}
  #tokens: Tokens | null = stored()
  #renewal: Promise<boolean> | null = null

  /** Whether there are tokens; the next request tells whether they are still good. */
  get signedIn(): boolean {
    return this.#tokens !== null
  }

  /** Address that signed in, or an empty text. */
  get email(): string {
    return this.#tokens?.user.email ?? ''
  }

  /** Who signed in; null without a session. */
  get user(): SessionUser | null {
    return this.#tokens?.user ?? null
  }

  /** Whether the person has one of the roles. It only decides what is shown: the server decides what is allowed. */
  hasRole(roles: readonly Role[]): boolean {
    return this.#tokens !== null && roles.includes(this.#tokens.user.role)
  }

  /** @throws RequestError 401 when email and password do not fit. */
  async signIn(email: string, password: string): Promise<void> {
    const response = await send('/api/v1/auth/login', 'POST', { email, password }, null)
    if (!response.ok) throw await errorOf(response)
    this.#keep((await response.json()) as TokenAnswer)
  }

  /** Forgets the tokens at once; the server is told, and if it does not answer they run out. */
  async signOut(): Promise<void> {
    const tokens = this.#tokens
    this.#forget()
    if (tokens === null) return
    const body = { refreshToken: tokens.refreshToken }
    await send('/api/v1/auth/logout', 'POST', body, tokens.accessToken).catch(() => undefined)
  }

  /** @throws RequestError */
  async get<Answer>(path: string): Promise<Answer> {
    return (await (await this.#request(path, 'GET', undefined)).json()) as Answer
  }

  /** @throws RequestError */
  async post<Answer>(path: string, body: unknown): Promise<Answer> {
    return (await (await this.#request(path, 'POST', body)).json()) as Answer
  }

  /** @throws RequestError */
  async patch<Answer>(path: string, body: unknown): Promise<Answer> {
    return (await (await this.#request(path, 'PATCH', body)).json()) as Answer
  }

  /** @throws RequestError */
  async delete(path: string): Promise<void> {
    await this.#request(path, 'DELETE', undefined)
  }

  /** Reads a file whole. @throws RequestError */
  async getFile(path: string): Promise<Blob> {
    const response = await this.#request(path, 'GET', undefined, FILE_TIMEOUT_MS)
    return response.blob().catch(() => {
      throw new RequestError(0, 'The server stopped sending. Try again, or a shorter time.')
    })
  }

  async #request(
    path: string,
    method: string,
    body: unknown,
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<Response> {
    if (this.#tokens !== null && this.#tokens.expiresAtMs - RENEW_AHEAD_MS < Date.now()) await this.#renew()
    let response = await send(path, method, body, this.#tokens?.accessToken ?? null, timeoutMs)
    if (response.status === 401 && (await this.#renew())) {
      response = await send(path, method, body, this.#tokens?.accessToken ?? null, timeoutMs)
    }
    if (response.status === 401) this.#end()
    if (!response.ok) throw await errorOf(response)
    return response
  }

  /** Renews the tokens, one renewal for all requests that wait. False: the session is over. */
  #renew(): Promise<boolean> {
    this.#renewal ??= this.#renewOnce().finally(() => {
      this.#renewal = null
    })
    return this.#renewal
  }

  async #renewOnce(): Promise<boolean> {
    const tokens = this.#tokens
    if (tokens === null) return false
    const response = await send('/api/v1/auth/refresh', 'POST', { refreshToken: tokens.refreshToken }, null)
    if (response.ok) {
      this.#keep((await response.json()) as TokenAnswer)
      return true
    }
    if (response.status >= 500 || response.status === 429) throw await errorOf(response)
    this.#end()
    return false
  }

  #keep({ user, accessToken, refreshToken, expiresIn }: TokenAnswer): void {
    this.#tokens = { user, accessToken, refreshToken, expiresAtMs: Date.now() + expiresIn * 1000 }
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify(this.#tokens))
  }

  #forget(): void {
    this.#tokens = null
    sessionStorage.removeItem(STORAGE_KEY)
  }

  #end(): void {
    if (this.#tokens === null) return
    this.#forget()
    this.onEnded()
  }
}

function stored(): Tokens | null {
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? 'null') as Tokens | null
    // An earlier release kept them without the user.
    return kept?.user === undefined ? null : kept
  } catch {
    return null
  }
}

async function send(
  path: string,
  method: string,
  body: unknown,
  token: string | null,
  timeoutMs = REQUEST_TIMEOUT_MS,
): Promise<Response> {
  const headers: Record<string, string> = { accept: 'application/json' }
  if (body !== undefined) headers['content-type'] = 'application/json'
  if (token !== null) headers.authorization = `Bearer ${token}`
  const init: RequestInit = { method, headers, signal: AbortSignal.timeout(timeoutMs) }
  if (body !== undefined) init.body = JSON.stringify(body)
  try {
    const response = await fetch(path, init)
    noteServerDate(response.headers.get('date'))
    return response
  } catch {
    throw new RequestError(
      0,
      'The server does not answer. Check that it is running and that this machine reaches it.',
    )
  }
}

async function errorOf(response: Response): Promise<RequestError> {
  const problem = (await response.json().catch(() => ({}))) as {
    title?: string
    detail?: string
    code?: string
  }
  const detail = problem.detail ?? problem.title ?? `The server answered ${response.status}.`
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  return new RequestError(response.status, detail, problem.code, Number.isNaN(seconds) ? null : seconds)
}
