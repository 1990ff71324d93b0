/** Reads geofences for an index of them; those that cannot be evaluated are left out, and said. */
import type pg from 'pg'
import type { FenceSource } from '../../../geofence/index/fence-index.ts'
import type { Terms } from '../../../geofence/index/fence-map.ts'
import { compileShape } from '../../../geofence/shapes/shape.ts'
import { GeofenceRule, type GeofenceShape, TimeZone } from '../../../schemas/geofence.ts'
import type { RefusedFence } from './build-messages.ts'

/** A page of the largest geofences that the API takes is some ten megabytes. */
const PAGE_ROWS = 100
/** Refused geofences that are told one by one. */
const REFUSED_MAX = 100

interface FenceRow {
  readonly id: number
  readonly organization_id: number
  readonly version: number
  readonly shape: GeofenceShape
  readonly time_zone: string
  readonly rules: string
}

/** Terms of one time zone and list of rules; most geofences share a few. */
interface InternedTerms {
  readonly number: number
  readonly crossing: boolean
}

export class FenceReader {
  /** Those that the fences name, from `termsFrom` on. */
  readonly terms: Terms[] = []
  readonly refused: RefusedFence[] = []
  refusedCount = 0
  private readonly client: pg.ClientBase
  private readonly termsFrom: number
  private readonly interned = new Map<string, InternedTerms | Error>()

  constructor(client: pg.ClientBase, termsFrom: number) {
    this.client = client
    this.termsFrom = termsFrom
  }

  /**
   * Enabled geofences, ascending by id, as they were at one moment.
   * @param ids Of those to be read; undefined = all.
   * @returns Page by page; also what is refused counts as read.
   */
  async *pages(ids: readonly number[] | undefined): AsyncGenerator<{ fences: FenceSource[]; read: number }> {
    const { client } = this
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    await client.query(
      `DECLARE fences NO SCROLL CURSOR FOR
       SELECT id, organization_id, version, shape, time_zone, rules::text FROM geofences
       WHERE NOT disabled ${ids === undefined ? '' : 'AND id = ANY ($1)'} ORDER BY id`,
      ids === undefined ? [] : [ids],
    )
    for (;;) {
      const { rows } = await client.query<FenceRow>(`FETCH ${PAGE_ROWS} FROM fences`)
      if (rows.length === 0) break
      yield { fences: rows.flatMap((row) => this.source(row) ?? []), read: rows.length }
    }
    await client.query('COMMIT')
  }

  private source(row: FenceRow): FenceSource | undefined {
    const { id, version } = row
    try {
      const { number, crossing } = this.intern(row.time_zone, row.rules)
      const shape = compileShape(row.shape)
      return { id, organizationId: row.organization_id, version, terms: number, crossing, shape }
    } catch (error) {
      this.refusedCount++
      const { code = 'unreadable', message } = error as Error & { code?: string }
      if (this.refused.length < REFUSED_MAX) this.refused.push({ id, version, code, message })
      return undefined
    }
  }

  /** @throws TermsError if they are not what the API takes: the table can be written by others. */
  private intern(timeZone: string, rulesText: string): InternedTerms {
    const key = `${timeZone}\n${rulesText}`
    let interned = this.interned.get(key)
    if (interned === undefined) {
      interned = this.readTerms(timeZone, rulesText)
      this.interned.set(key, interned)
    }
    if (interned instanceof Error) throw interned
    return interned
  }

  private readTerms(timeZone: string, rulesText: string): InternedTerms | Error {
    if (!TimeZone.safeParse(timeZone).success) {
      return new TermsError('time-zone-unknown', `this machine does not know the time zone "${timeZone}"`)
    }
    const { data: rules, error } = GeofenceRule.array().safeParse(JSON.parse(rulesText))
    if (rules === undefined) return new TermsError('rules-invalid', error.message)
    const number = this.termsFrom + this.terms.length
    this.terms.push({ timeZone, rules })
    return { number, crossing: rules.some(({ crossingGapS }) => crossingGapS > 0) }
  }
}

class TermsError extends Error {
  override readonly name = 'TermsError'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}
