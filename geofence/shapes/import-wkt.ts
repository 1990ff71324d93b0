import { wktToGeoJSON } from 'betterknown'
import { ImportError } from './import-error.ts'
import type { ForeignFeature } from './import-feature.ts'

/** In one way only: digits that two parts could take would cost their number squared. */
const NUMBER = '[-+]?(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:E[-+]?\\d+)?'
const POSITION = new RegExp(`^${NUMBER}(?: ${NUMBER}){1,3}$`)
const HEAD = /^(?:SRID ?= ?(\d+) ?; ?)?([A-Z]+) ?(?:(?:ZM|Z|M) ?)?(EMPTY$|\()/
/** Of a multipolygon. */
const DEPTH_MAX = 3

/** A feature, or why a geometry is none. */
export type ReadFeature = ForeignFeature | ImportError

/**
 * Well-known text, also with `SRID=4326;` before it. A geometry begins at each line that begins with a letter and may
 * go on in the next ones.
 */
export function readWkt(text: string): ReadFeature[] {
  const geometries: string[] = []
  for (const line of text.split(/\r\n|\r|\n/)) {
    const trimmed = line.trim()
    if (trimmed === '') continue
    if (/^[a-z]/i.test(trimmed) || geometries.length === 0) geometries.push(trimmed)
    else geometries[geometries.length - 1] += ` ${trimmed}`
  }
  return geometries.map((geometry) => {
    try {
      return { properties: {}, geometry: parse(geometry.replace(/\s+/g, ' ').trim().toUpperCase()) }
    } catch (error) {
      if (error instanceof ImportError) return error
      return notWkt((error as Error).message.slice(0, 200))
    }
  })
}

/** The library reads numbers and brackets loosely, and goes as deep as they do: so they are checked before it. */
function parse(text: string): unknown {
  const [, srid, type] = HEAD.exec(text) ?? []
  if (type === undefined) throw notWkt(`"${text.slice(0, 40)}" does not begin as a geometry`)
  if (srid !== undefined && Number(srid) !== 4326) {
    throw notWkt(`SRID ${srid} is not known: give longitude and latitude (4326)`)
  }
  if (type === 'GEOMETRYCOLLECTION') {
    throw new ImportError(
      'import-geometry-unknown',
      'give each geometry of a collection on a line of its own',
    )
  }
  checkBody(text)
  return wktToGeoJSON(text.replace(/^SRID[^;]*; ?/, ''))
}

function checkBody(text: string): void {
  const start = text.indexOf('(')
  if (start < 0) return
  let depth = 0
  let from = start
  for (let at = start; at < text.length; at++) {
    const sign = text[at]
    if (sign !== '(' && sign !== ')' && sign !== ',') continue
    const position = text.slice(from, at).trim()
    if (position !== '' && !POSITION.test(position))
      throw notWkt(`"${position.slice(0, 40)}" is not a position`)
    from = at + 1
    if (sign === '(') depth++
    else if (sign === ')') depth--
    if (depth > DEPTH_MAX) throw notWkt('its brackets are nested too deep')
    if (depth === 0 && at < text.length - 1) throw notWkt('something follows the last bracket')
  }
  if (depth !== 0) throw notWkt('a bracket is not closed')
}

function notWkt(reason: string): ImportError {
  return new ImportError('import-not-wkt', `this is not well-known text: ${reason}`)
}
