/** Lists in pages: a keyset cursor and a limit, so that rows that come or go do not shift the next page. */
import { z } from 'zod'
import { Id } from '../schemas/text.ts'

/** Rows of a page unless the client asks otherwise, and the most it may ask for. */
export const PAGE_ROWS = { default: 20, max: 100 } as const

/** As {@link PAGE_ROWS} for positions: a track is read in thousands. */
export const POSITION_PAGE_ROWS = { default: 100, max: 1000 } as const

/** A whole number in a query or path, which carry text. */
export function integerText(min: number, max: number): z.ZodType<number> {
  return z
    .string()
    .regex(/^(0|[1-9]\d{0,9})$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .meta({ type: 'integer', minimum: min, maximum: max })
}

/** Id in a path or query. */
export const IdText = integerText(1, Id.maxValue!)

/** Parameter `limit`. */
export function limitOf(rows: { readonly default: number; readonly max: number }) {
  return integerText(1, rows.max).default(rows.default).meta({
    type: 'integer',
    minimum: 1,
    maximum: rows.max,
    default: rows.default,
    description: 'rows of the page',
  })
}

const CURSOR_LENGTH_MAX = 1024

/** Parameter `cursor`: opaque to clients, the key of the last row of the page before. */
export function cursorOf<K extends z.ZodType>(key: K) {
  return z
    .string()
    .max(CURSOR_LENGTH_MAX)
    .transform((text, context): z.output<K> => {
      try {
        return key.parse(JSON.parse(Buffer.from(text, 'base64url').toString()))
      } catch {
        context.addIssue({ code: 'custom', message: 'must be the `next` of a page before' })
        return z.NEVER
      }
    })
    .optional()
    .meta({ type: 'string', maxLength: CURSOR_LENGTH_MAX, description: '`next` of the page before' })
}

/** Schema of a page of `item`. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({
    items: z.array(item),
    next: z.string().nullable().describe('cursor of the next page; null on the last'),
  })
}

/**
 * The page out of `limit + 1` rows, where the one too many says that there is a next page.
 * @param keyOf The cursor's key of a row, as the schema of `cursor` reads it.
 */
export function page<T, U>(
  rows: readonly T[],
  limit: number,
  keyOf: (row: T) => unknown,
  itemOf: (row: T) => U,
): { items: U[]; next: string | null } {
  const items = rows.slice(0, limit)
  return {
    items: items.map(itemOf),
    next: rows.length > limit ? encodeCursor(keyOf(items[items.length - 1]!)) : null,
  }
}

export function encodeCursor(key: unknown): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url')
}
