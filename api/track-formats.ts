/**
 * Tracks as files. Each format writes a head, pieces of consecutive fixes and an end, so that a track of any length needs
 * the memory of one piece.
 */
import type { TrackFix } from '../storage/positions/tracks.ts'

export interface TrackedDevice {
  readonly id: number
  readonly name: string
}

/** Writes one track; a new one for each. */
export interface TrackWriter {
  head(): string
  /** The next fixes, one or more. */
  piece(fixes: readonly TrackFix[]): string
  end(): string
}

export interface TrackFormat {
  /** Media type. */
  readonly type: string
  /** What such a file is, for the documentation. */
  readonly description: string
  writer(device: TrackedDevice): TrackWriter
}

/** As in `Position`: what the API's own clients read. */
export const JSON_TRACK: TrackFormat = {
  type: 'application/json',
  description: 'fixes by time',
  writer() {
    let separator = ''
    return {
      head: () => '[',
      piece(fixes) {
        const text = separator + fixes.map(jsonFix).join(',\n')
        separator = ',\n'
        return text
      },
      end: () => ']\n',
    }
  },
}

export const NDJSON_TRACK: TrackFormat = {
  type: 'application/x-ndjson',
  description: 'a fix a line',
  writer: () => ({
    head: () => '',
    piece: (fixes) => fixes.map((fix) => `${jsonFix(fix)}\n`).join(''),
    end: () => '',
  }),
}

/** RFC 4180: lines end with CR and LF, nothing here needs quotes. Units are in the header. */
const csv: TrackFormat = {
  type: 'text/csv; charset=utf-8; header=present',
  description: 'RFC 4180, units in the names of the columns; a value that was not reported is empty',
  writer: () => ({
    head: () => `${CSV_COLUMNS.map(([name]) => name).join(',')}\r\n`,
    piece: (fixes) =>
      fixes.map((fix) => `${CSV_COLUMNS.map(([, value]) => value(fix)).join(',')}\r\n`).join(''),
    end: () => '',
  }),
}

const CSV_COLUMNS: readonly (readonly [name: string, value: (fix: TrackFix) => string])[] = [
  ['fix_time_utc', ({ fixTimeMs }) => time(fixTimeMs)],
  ['received_at_utc', ({ receivedMs }) => time(receivedMs)],
  ['latitude_deg', ({ latitudeDeg }) => decimal(latitudeDeg)],
  ['longitude_deg', ({ longitudeDeg }) => decimal(longitudeDeg)],
  ['altitude_m', ({ altitudeM }) => decimal(altitudeM)],
  ['speed_kmh', ({ speedKmh }) => decimal(speedKmh)],
  ['course_deg', ({ courseDeg }) => decimal(courseDeg)],
  ['accuracy_m', ({ accuracyM }) => decimal(accuracyM)],
  ['hdop', ({ hdop }) => decimal(hdop)],
  ['satellites', ({ satellites }) => decimal(satellites)],
]

/** GPX 1.1; speed (m/s) and course in Garmin's TrackPointExtension, which most programs read. */
const gpx: TrackFormat = {
  type: 'application/gpx+xml',
  description: 'GPX 1.1; speed in m/s and course in `TrackPointExtension` (v2)',
  writer: ({ name }) => ({
    head: () =>
      '<?xml version="1.0" encoding="UTF-8"?>\n' +
      '<gpx version="1.1" creator="FleetFlow" xmlns="http://www.topografix.com/GPX/1/1"' +
      ' xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v2">\n' +
      `<trk><name>${xml(name)}</name><trkseg>\n`,
    piece: (fixes) => fixes.map(gpxPoint).join(''),
    end: () => '</trkseg></trk>\n</gpx>\n',
  }),
}

function gpxPoint(fix: TrackFix): string {
  const extensions =
    element('gpxtpx:speed', fix.speedKmh === null ? null : Math.round((fix.speedKmh / 3.6) * 1e4) / 1e4) +
    element('gpxtpx:course', fix.courseDeg)
  return (
    `<trkpt lat="${decimal(fix.latitudeDeg)}" lon="${decimal(fix.longitudeDeg)}">` +
    `${element('ele', fix.altitudeM)}<time>${time(fix.fixTimeMs)}</time>` +
    element('sat', fix.satellites) +
    element('hdop', fix.hdop) +
    (extensions === ''
      ? ''
      : `<extensions><gpxtpx:TrackPointExtension>${extensions}</gpxtpx:TrackPointExtension></extensions>`) +
    '</trkpt>\n'
  )
}

/**
 * KML 2.2 with Google's extension for tracks. A gx:Track has all of its times before all of its places, so a piece is one
 * of those, and a gx:MultiTrack that interpolates between them is the whole.
 */
const kml: TrackFormat = {
  type: 'application/vnd.google-earth.kml+xml',
  description: 'KML 2.2 with `gx:Track`, consecutive ones in a `gx:MultiTrack`; speed in km/h',
  writer: ({ name }) => ({
    head: () =>
      '<?xml version="1.0" encoding="UTF-8"?>\n' +
      '<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2">\n' +
      `<Document><name>${xml(name)}</name>\n<Schema id="fix">` +
      '<gx:SimpleArrayField name="speedKmh" type="float"><displayName>Speed, km/h</displayName></gx:SimpleArrayField>' +
      '<gx:SimpleArrayField name="courseDeg" type="float"><displayName>Course, degrees</displayName></gx:SimpleArrayField>' +
      `</Schema>\n<Placemark><name>${xml(name)}</name>\n` +
      '<gx:MultiTrack><gx:interpolate>1</gx:interpolate>\n',
    piece: (fixes) =>
      `<gx:Track>\n${fixes.map(({ fixTimeMs }) => `<when>${time(fixTimeMs)}</when>\n`).join('')}` +
      fixes.map((fix) => `<gx:coord>${kmlPlace(fix)}</gx:coord>\n`).join('') +
      '<ExtendedData><SchemaData schemaUrl="#fix">\n' +
      kmlValues(
        'speedKmh',
        fixes.map(({ speedKmh }) => speedKmh),
      ) +
      kmlValues(
        'courseDeg',
        fixes.map(({ courseDeg }) => courseDeg),
      ) +
      '</SchemaData></ExtendedData></gx:Track>\n',
    end: () => '</gx:MultiTrack></Placemark></Document>\n</kml>\n',
  }),
}

function kmlPlace({ longitudeDeg, latitudeDeg, altitudeM }: TrackFix): string {
  return `${decimal(longitudeDeg)} ${decimal(latitudeDeg)} ${decimal(altitudeM ?? 0)}`
}

function kmlValues(name: string, values: readonly (number | null)[]): string {
  const texts = values.map((value) => `<gx:value>${decimal(value)}</gx:value>`)
  return `<gx:SimpleArrayData name="${name}">${texts.join('')}</gx:SimpleArrayData>\n`
}

/**
 * RFC 7946: lines, each of which begins with the fix that ends the one before, unless the antimeridian lies between; times
 * and the like are lists beside the coordinates, where @tmcw/togeojson puts them.
 */
const geojson: TrackFormat = {
  type: 'application/geo+json',
  description:
    'RFC 7946: a `FeatureCollection` of consecutive `LineString`, each with `times`, `speedsKmh` and `coursesDeg` of its coordinates in `coordinateProperties`; ' +
    'a line begins with the fix that ends the one before, and none crosses the antimeridian',
  writer(device) {
    let separator = '\n'
    let last: TrackFix | undefined
    return {
      head: () => '{"type":"FeatureCollection","features":[',
      piece(fixes) {
        const lines: TrackFix[][] = [last === undefined ? [] : [last]]
        for (const fix of fixes) {
          if (last !== undefined && Math.abs(fix.longitudeDeg - last.longitudeDeg) > 180) lines.push([])
          lines.at(-1)!.push(fix)
          last = fix
        }
        // The fix that was written before stands alone where the antimeridian follows.
        const written = lines.filter((line) => fixes.includes(line.at(-1)!))
        const text = separator + written.map((line) => geojsonFeature(device, line)).join(',\n')
        separator = ',\n'
        return text
      },
      end: () => '\n]}\n',
    }
  },
}

function geojsonFeature({ id, name }: TrackedDevice, fixes: readonly TrackFix[]): string {
  const places = fixes.map(({ longitudeDeg, latitudeDeg, altitudeM }) =>
    altitudeM === null ? [longitudeDeg, latitudeDeg] : [longitudeDeg, latitudeDeg, altitudeM],
  )
  return JSON.stringify({
    type: 'Feature',
    geometry:
      places.length === 1
        ? { type: 'Point', coordinates: places[0] }
        : { type: 'LineString', coordinates: places },
    properties: {
      device: id,
      name,
      coordinateProperties: {
        times: fixes.map(({ fixTimeMs }) => time(fixTimeMs)),
        speedsKmh: fixes.map(({ speedKmh }) => speedKmh),
        coursesDeg: fixes.map(({ courseDeg }) => courseDeg),
      },
    },
  })
}

/** By the end of the file's name. */
export const FILE_FORMATS = { gpx, kml, geojson, csv } as const

function jsonFix(fix: TrackFix): string {
  return JSON.stringify({
    fixTime: time(fix.fixTimeMs),
    latitude: fix.latitudeDeg,
    longitude: fix.longitudeDeg,
    altitude: fix.altitudeM,
    speed: fix.speedKmh,
    course: fix.courseDeg,
  })
}

function time(ms: number): string {
  return new Date(ms).toISOString()
}

/** In digits without an exponent, which neither XML's decimals nor all readers of CSV have; '' for null. */
function decimal(value: number | null): string {
  if (value === null) return ''
  const text = String(value)
  return text.includes('e') ? value.toFixed(12).replace(/\.?0+$/, '') : text
}

function element(name: string, value: number | null): string {
  return value === null ? '' : `<${name}>${decimal(value)}</${name}>`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

/** Text in XML, without the characters that XML can not hold. */
function xml(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out.
  const clean = text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '')
  return clean.replace(/[&<>"']/g, (character) => ENTITIES[character]!)
}
