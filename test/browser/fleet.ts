/** A small fleet of the test: organisations, users, devices through the API, positions through a listener. */
import type { Role } from '../../schemas/roles.ts'
import type { TestEngine } from '../engine.ts'

/** Password of every user that a test makes. */
export const PASSWORD = 'a password of this test'
const KNOTS_PER_KMH = 1 / 1.852

/** What a tracker reports. */
export interface Report {
  readonly latitude: number
  readonly longitude: number
  readonly timeMs: number
  readonly speedKmh?: number
  readonly courseDeg?: number
  readonly attributes?: Readonly<Record<string, string>>
}

/** What the administrator does over the API. */
export class Administrator {
  readonly #engine: TestEngine
  #token = ''

  constructor(engine: TestEngine) {
    this.#engine = engine
  }

  async logIn(): Promise<void> {
    const { adminEmail: email, adminPassword: password } = this.#engine
    const { accessToken } = await this.post<{ accessToken: string }>('/auth/login', { email, password })
    this.#token = accessToken
  }

  /** An organisation with one user, who may look at its vehicles; gives its id. */
  async addOrganization(name: string, email: string, role: Role = 'viewer'): Promise<number> {
    const { id } = await this.post<{ id: number }>('/organizations', { name })
    await this.addUser(id, email, role)
    return id
  }

  async addUser(organizationId: number, email: string, role: Role): Promise<void> {
    await this.post('/users', { organizationId, email, name: role, role, password: PASSWORD })
  }

  async addDevice(organizationId: number, uniqueId: string, name: string): Promise<number> {
    const { id } = await this.post<{ id: number }>('/devices', {
      organizationId,
      uniqueId,
      name,
      model: 'Phone',
    })
    return id
  }

  async removeDevice(id: number): Promise<void> {
    await this.#send('DELETE', `/devices/${id}`)
  }

  async put(path: string): Promise<void> {
    await this.#send('PUT', path)
  }

  get<Answer>(path: string): Promise<Answer> {
    return this.#send('GET', path) as Promise<Answer>
  }

  post<Answer>(path: string, body: unknown): Promise<Answer> {
    return this.#send('POST', path, body) as Promise<Answer>
  }

  async #send(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.#engine.apiUrl}/api/v1${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(this.#token === '' ? {} : { authorization: `Bearer ${this.#token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response.status === 204 ? undefined : response.json()
  }
}

/** Sends a position as OsmAnd does, and resolves when it is stored. */
export async function report(engine: TestEngine, uniqueId: string, what: Report): Promise<void> {
  const query = new URLSearchParams({
    id: uniqueId,
    lat: String(what.latitude),
    lon: String(what.longitude),
    timestamp: String(what.timeMs),
    altitude: '165',
    ...(what.speedKmh === undefined ? {} : { speed: String(what.speedKmh * KNOTS_PER_KMH) }),
    ...(what.courseDeg === undefined ? {} : { bearing: String(what.courseDeg) }),
    ...what.attributes,
  })
  const response = await fetch(`http://127.0.0.1:${engine.ports['osmand/http']}/?${query}`)
  if (!response.ok) throw new Error(`${uniqueId}: ${response.status} ${await response.text()}`)
}
