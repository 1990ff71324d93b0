/** Values in queries, which carry text. */
import { z } from 'zod'

/** A moment in a query. Years of four digits: PostgreSQL and JavaScript agree on those. */
export const TimeText = z.iso
  .datetime({ offset: true })
  .refine((text) => !Number.isNaN(Date.parse(text)), 'must be a moment')
  .transform((text) => new Date(text))

export const BooleanText = z
  .enum(['true', 'false'])
  .transform((text) => text === 'true')
  .meta({ type: 'boolean' })

const DECIMAL = /^-?\d{1,15}(?:\.\d{1,20})?$/

/** A number in decimal digits. */
export function numberText(min: number, max: number): z.ZodType<number> {
  return z
    .string()
    .regex(DECIMAL, 'must be a number')
    .transform(Number)
    .pipe(z.number().min(min).max(max))
    .meta({ type: 'number', minimum: min, maximum: max })
}

/** Degrees. */
export const LatitudeText = numberText(-90, 90)
export const LongitudeText = numberText(-180, 180)

/** West, south, east, north, degrees; west > east across the antimeridian. */
export type Box = readonly [west: number, south: number, east: number, north: number]

export const BoxText = z
  .string()
  .max(200)
  .transform((text, context): Box => {
    const parts = text.split(',')
    const [west, south, east, north] = parts.map((part) => (DECIMAL.test(part) ? Number(part) : Number.NaN))
    const valid =
      parts.length === 4 &&
      Math.abs(west!) <= 180 &&
      Math.abs(east!) <= 180 &&
      south! >= -90 &&
      south! <= north! &&
      north! <= 90
    if (valid) return [west!, south!, east!, north!]
    context.addIssue({
      code: 'custom',
      message:
        'must be west,south,east,north in degrees; west may be greater than east: across the antimeridian',
    })
    return z.NEVER
  })
  .meta({ type: 'string', maxLength: 200, example: '-97.9,30.1,-97.6,30.4' })
