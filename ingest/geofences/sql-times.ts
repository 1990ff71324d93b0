/** Times in SQL as numbers: ms UTC, so that fractions of a millisecond and "never" come through as they are. */

/** SQL of ms UTC of a column, computed in decimals: it comes out as it went in. */
export function milliseconds(column: string): string {
  return `(extract(epoch FROM ${column}) * 1000)::double precision`
}

/** SQL of the moment of a number of ms UTC; Infinity is one, too. */
export function moment(timeMs: string): string {
  return `to_timestamp(${timeMs}::double precision / 1000)`
}
