/** Pieces that several schemas of the API share. */
import { z } from 'zod'

/** Largest value of PostgreSQL's `integer`, the type of every id. */
export const ID_MAX = 2_147_483_647

/** Id of a row. */
export const Id = z.int().min(1).max(ID_MAX)

/** A moment, UTC. */
export const Time = z.iso.datetime()

const CONTROL = '\\x00-\\x1f\\x7f'

/** Text without control characters. */
export const ONE_LINE: RegExp = new RegExp(`^[^${CONTROL}]*$`)

/**
 * One line of text that neither starts nor ends with a space. Control characters are refused: PostgreSQL takes no
 * U+0000, and the rest has no place in a name.
 *
 * @param minLength Least length, UTF-16 units; 0 also allows the empty text.
 * @param maxLength Most length, UTF-16 units.
 */
export function line(minLength: 0 | 1, maxLength: number): z.ZodString {
  const text = `[^\\x20${CONTROL}](?:[^${CONTROL}]*[^\\x20${CONTROL}])?`
  return z
    .string()
    .min(minLength)
    .max(maxLength)
    .regex(
      new RegExp(minLength === 0 ? `^(?:${text})?$` : `^${text}$`),
      'must be one line without control characters and without a space at either end',
    )
}

/** The form that browsers accept in `<input type=email>`, with a dot in the domain. */
const EMAIL = /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+$/

export const Email = z.string().max(254).regex(EMAIL, 'must be an e-mail address')
