/**
 * Fields of JSON bodies and forms, as phones and gateways send them: read strictly, bounded, and named in the
 * error where they are wrong.
 */
import type { AttributeValue } from '../schemas/attributes.ts'
import { UniqueId } from '../schemas/device.ts'
import type { PositionBatch } from '../schemas/position-batch.ts'
import { DecodeError } from './adapter.ts'

/** Attributes of one position. */
export const ATTRIBUTES_MAX = 64
/** UTF-16 units of the name of an attribute. */
export const ATTRIBUTE_KEY_LENGTH_MAX = 64
/** UTF-16 units of the value of an attribute. */
export const ATTRIBUTE_VALUE_LENGTH_MAX = 1024

export type JsonObject = Readonly<Record<string, unknown>>

/** Attributes of one position, held until its row is there; the last value of a key stays. */
export class ReportedAttributes {
  private readonly values = new Map<string, AttributeValue>()

  /**
   * `undefined`, NaN and the empty text are "not reported".
   * @throws DecodeError beyond the limits of this file, and for U+0000, which PostgreSQL does not store.
   */
  set(key: string, value: AttributeValue | undefined): void {
    // `__proto__` would name no property of the object that the attributes become.
    if (value === undefined || value === '' || Number.isNaN(value) || key === '' || key === '__proto__')
      return
    if (key.length > ATTRIBUTE_KEY_LENGTH_MAX) {
      throw new DecodeError(
        'malformed',
        `attribute name longer than ${ATTRIBUTE_KEY_LENGTH_MAX}: ${cut(key)}`,
      )
    }
    if (typeof value === 'string' && value.length > ATTRIBUTE_VALUE_LENGTH_MAX) {
      throw new DecodeError('malformed', `attribute ${key} is longer than ${ATTRIBUTE_VALUE_LENGTH_MAX}`)
    }
    if (key.includes('\0') || (typeof value === 'string' && value.includes('\0'))) {
      throw new DecodeError('malformed', `attribute ${cut(key)} holds U+0000`)
    }
    this.values.set(key, value)
    if (this.values.size > ATTRIBUTES_MAX) {
      throw new DecodeError('malformed', `more than ${ATTRIBUTES_MAX} attributes`)
    }
  }

  writeTo(out: PositionBatch, row: number): void {
    for (const [key, value] of this.values) out.set(row, key, value)
  }
}

/** @throws DecodeError if `value` is no unique id that a device can be registered under. */
export function uniqueIdFrom(field: string, value: unknown): string {
  const uniqueId = UniqueId.safeParse(typeof value === 'number' ? String(value) : value)
  // Half a surrogate pair would be stored as another name.
  if (!uniqueId.success || !uniqueId.data.isWellFormed()) {
    throw new DecodeError('malformed', `${field} is no unique id: ${cut(value)}`)
  }
  return uniqueId.data
}

/** @throws DecodeError if `value` is not an object. */
export function objectFrom(field: string, value: unknown): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrong(field, 'an object', value)
  return value as JsonObject
}

/**
 * @returns NaN where the field is absent or null.
 * @throws DecodeError if it is there and not a number.
 */
export function numberOf(object: JsonObject, field: string): number {
  const value = object[field] ?? Number.NaN
  // JSON has no infinities, but 1e999 becomes one.
  if (typeof value !== 'number' || Math.abs(value) === Infinity) throw wrong(field, 'a number', value)
  return value
}

/** As {@link numberOf}, but a negative number says "unknown" and is NaN: phones send −1 then. */
export function unsignedOf(object: JsonObject, field: string): number {
  const value = numberOf(object, field)
  return value < 0 ? Number.NaN : value
}

/** @throws DecodeError if the field is absent or not a number. */
export function requiredNumberOf(object: JsonObject, field: string): number {
  const value = numberOf(object, field)
  if (Number.isNaN(value)) throw wrong(field, 'a number', object[field])
  return value
}

/** @throws DecodeError if the field is there, not null, and not text. */
export function textOf(object: JsonObject, field: string): string | undefined {
  const value = object[field] ?? undefined
  if (value !== undefined && typeof value !== 'string') throw wrong(field, 'text', value)
  return value
}

/** @throws DecodeError if the field is there, not null, and not true or false. */
export function booleanOf(object: JsonObject, field: string): boolean | undefined {
  const value = object[field] ?? undefined
  if (value !== undefined && typeof value !== 'boolean') throw wrong(field, 'true or false', value)
  return value
}

/** A value from outside, cut to what a message can carry. */
export function cut(value: unknown): string {
  const text = Array.isArray(value)
    ? 'an array'
    : typeof value === 'object' && value !== null
      ? 'an object'
      : String(value)
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}

/** What is wrong in one part of a message, with the name of the part; anything that is no DecodeError as it is. */
export function foundIn(part: string, error: unknown): unknown {
  return error instanceof DecodeError ? new DecodeError(error.code, `${part}: ${error.message}`) : error
}

function wrong(field: string, wanted: string, value: unknown): DecodeError {
  return new DecodeError('malformed', `${field} must be ${wanted}, not ${cut(value)}`)
}
