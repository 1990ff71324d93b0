/** Where the fields stand in which the reports of the older generations differ. */

const DATE = /^\d{8}$/
const TIME = /^\d\d:\d\d:\d\d$/
/** Cell fields: none (ST500), one, or cell, country, network, area and signal (ST600). */
const CELL_FIELDS_MAX = 5

/** Field of the date: after the software version, before which newer devices give their model. */
export function legacyDateAt(fields: readonly string[]): number | undefined {
  return [3, 4].find((at) => DATE.test(fields[at] ?? '') && TIME.test(fields[at + 1] ?? ''))
}

/** Field of the latitude, the first one behind the time with a decimal point: no cell field has one. */
export function legacyPlaceAt(fields: readonly string[]): number | undefined {
  const dateAt = legacyDateAt(fields)
  if (dateAt === undefined) return undefined
  const cellAt = dateAt + 2
  for (let at = cellAt; at <= cellAt + CELL_FIELDS_MAX; at++) if (fields[at]?.includes('.')) return at
  return undefined
}
