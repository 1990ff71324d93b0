import { expect, test } from 'vitest'
import { GeofenceCreate } from '../../schemas/geofence.ts'
import { IMPORT_BYTES_MAX, IMPORT_FEATURES_MAX, ImportError, importGeofences } from './import.ts'

const SQUARE = [
  [0, 0],
  [1, 0],
  [1, 1],
  [0, 1],
  [0, 0],
]
const feature = (geometry: unknown, properties: unknown = {}) => ({ type: 'Feature', properties, geometry })
const collection = (...features: unknown[]) => JSON.stringify({ type: 'FeatureCollection', features })
const kml = (...placemarks: string[]) =>
  `<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>${placemarks.join('')}</Document></kml>`
const ring = (coordinates: string) => `<LinearRing><coordinates>${coordinates}</coordinates></LinearRing>`
const polygon = (coordinates: string) =>
  `<Polygon><outerBoundaryIs>${ring(coordinates)}</outerBoundaryIs></Polygon>`

/** Code of the whole file, or of each feature; `ok` where there is a shape. */
function codes(...parameters: Parameters<typeof importGeofences>): string | string[] {
  try {
    return importGeofences(...parameters).map((result) => ('error' in result ? result.error.code : 'ok'))
  } catch (error) {
    if (error instanceof ImportError) return error.code
    throw error
  }
}

test('features of GeoJSON become shapes, each with its name or its reason', () => {
  const results = importGeofences(
    'geojson',
    collection(
      feature({ type: 'Polygon', coordinates: [SQUARE] }, { name: ' Depot\n north ' }),
      feature({ type: 'MultiPolygon', coordinates: [[SQUARE]] }),
      feature({ type: 'Point', coordinates: [13, 52, 30] }, { name: 7, radiusM: 100 }),
      feature({ type: 'Point', coordinates: [13, 52] }, { radius: '50' }),
      feature(
        {
          type: 'LineString',
          coordinates: [
            [13, 52],
            [14, 52],
          ],
        },
        { name: 'x'.repeat(300), halfWidthM: 200 },
      ),
      feature({ type: 'Polygon', coordinates: [SQUARE.slice(0, 4)] }, { name: 'open' }),
      feature({
        type: 'GeometryCollection',
        geometries: [
          { type: 'Polygon', coordinates: [SQUARE] },
          { type: 'MultiPolygon', coordinates: [[SQUARE.map(([x, y]) => [x! + 5, y!])]] },
        ],
      }),
    ),
  )
  expect(results.map((result) => ('shape' in result ? result.shape.type : result.error.code))).toEqual([
    'Polygon',
    'MultiPolygon',
    'Circle',
    'Circle',
    'Corridor',
    'shape-ring-open',
    'MultiPolygon',
  ])
  expect(results.map(({ name }) => name)).toEqual([
    'Depot north',
    'Geofence 2',
    '7',
    'Geofence 4',
    'x'.repeat(200),
    'open',
    'Geofence 7',
  ])
  expect(results[2]).toMatchObject({ shape: { center: [13, 52, 30], radiusM: 100 } })
  expect(results[3]).toMatchObject({ shape: { radiusM: 50 } })
  for (const result of results) {
    if ('shape' in result) expect(GeofenceCreate.safeParse(result).error).toBeUndefined()
  }
})

test('a bare geometry and a single feature are GeoJSON, too', () => {
  expect(codes('geojson', JSON.stringify({ type: 'Polygon', coordinates: [SQUARE] }))).toEqual(['ok'])
  expect(
    codes('geojson', `\uFEFF${JSON.stringify(feature({ type: 'Polygon', coordinates: [SQUARE] }))}`),
  ).toEqual(['ok'])
})

test('what is no GeoJSON is refused with the reason', () => {
  expect(codes('geojson', '{"type":"Polygon","coordinates":[[[NaN,1]]]}')).toBe('import-not-json')
  expect(codes('geojson', '')).toBe('import-not-json')
  expect(codes('geojson', 'null')).toBe('import-not-geojson')
  expect(codes('geojson', '{"type":"Topology"}')).toBe('import-not-geojson')
  expect(codes('geojson', '{"type":"FeatureCollection"}')).toBe('import-not-geojson')
  expect(codes('geojson', collection())).toBe('import-nothing')
  expect(
    codes(
      'geojson',
      collection(
        null,
        feature(null),
        feature({ type: 'Point', coordinates: [1, 2] }),
        feature({ type: 'LineString', coordinates: SQUARE }),
        feature({ type: 'MultiPoint', coordinates: SQUARE }),
        feature({ type: 'GeometryCollection', geometries: [{ type: 'Point', coordinates: [1, 2] }] }),
        feature({ type: 'Polygon', coordinates: [[[1, '2']]] }),
        feature({ type: 'Polygon' }),
        feature({ type: 'Polygon', coordinates: [] }),
        feature({ type: 'Point', coordinates: [1, 2] }, { radiusM: -1 }),
        feature({ type: 'Point', coordinates: [1, 2] }, { radiusM: 'wide' }),
        feature({ type: 'Point', coordinates: [1, 2] }, { radiusM: 1e9 }),
        feature({ type: 'Polygon', coordinates: [Array.from({ length: 200_000 }, () => null)] }),
        feature({ type: 'Polygon', coordinates: [Array.from({ length: 200_000 }, () => [null])] }),
      ),
    ),
  ).toEqual([
    'import-no-geometry',
    'import-no-geometry',
    'import-no-radius',
    'import-no-half-width',
    'import-geometry-unknown',
    'import-geometry-unknown',
    'import-shape-invalid',
    'import-shape-invalid',
    'shape-empty',
    'import-shape-invalid',
    'import-shape-invalid',
    'import-shape-invalid',
    'shape-too-many-vertices',
    'shape-too-many-vertices',
  ])
})

test('1e400 and 100,000 nested brackets in GeoJSON end with a reason', () => {
  expect(codes('geojson', '{"type":"Polygon","coordinates":[[[1e400,1],[1,1],[1,2],[1e400,1]]]}')).toEqual([
    'import-shape-invalid',
  ])
  const bomb = `{"type":"Polygon","coordinates":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
  expect(codes('geojson', bomb)).toEqual(['import-shape-invalid'])
})

test('placemarks of KML become shapes, lines and points by their extended data', () => {
  const data = (name: string, value: string) =>
    `<ExtendedData><Data name="${name}"><value>${value}</value></Data></ExtendedData>`
  const results = importGeofences(
    'kml',
    kml(
      `<Placemark><name>Yard &amp; gate</name>${polygon('0,0 1,0,5 1,1 0,1 0,0')}</Placemark>`,
      `<Folder><Placemark><MultiGeometry>${polygon('0,0 1,0 1,1 0,0')}${polygon('5,0 6,0 6,1 5,0')}</MultiGeometry></Placemark></Folder>`,
      `<Placemark>${data('halfWidthM', '150')}<LineString><coordinates>0,0 1,1</coordinates></LineString></Placemark>`,
      '<Placemark><name>no width</name><LineString><coordinates>0,0 1,1</coordinates></LineString></Placemark>',
      `<Placemark>${data('radiusM', '150')}<Point><coordinates>0,0</coordinates></Point></Placemark>`,
      '<Placemark><name><![CDATA[<b>none</b>]]></name></Placemark>',
      '<GroundOverlay><LatLonBox><north>1</north><south>0</south><east>1</east><west>0</west></LatLonBox></GroundOverlay>',
    ),
  )
  expect(results).toMatchObject([
    { name: 'Yard & gate', shape: { type: 'Polygon' } },
    { name: 'Geofence 2', shape: { type: 'MultiPolygon' } },
    { shape: { type: 'Corridor', halfWidthM: 150 } },
    { name: 'no width', error: { code: 'import-no-half-width' } },
    { shape: { type: 'Circle', radiusM: 150 } },
    { name: '<b>none</b>', error: { code: 'import-no-geometry' } },
  ])
  expect(results.length).toBe(6)
})

test('numbers and rings that the parser of KML would mend are refused', () => {
  expect(
    codes(
      'kml',
      kml(
        ...[
          'x,10,20 1,0 1,1 0,1 x,10,20',
          '0,0 1,0 1,1',
          '0,0 1,0 1,1 0,1',
          'NaN,NaN 1,0 1,1 NaN,NaN',
          '',
        ].map((coordinates) => `<Placemark>${polygon(coordinates)}</Placemark>`),
      ),
    ),
  ).toEqual(Array(5).fill('import-shape-invalid'))
})

test('entities, document types and bombs in KML are refused and not expanded', () => {
  const place = `<Placemark>${polygon('0,0 1,0 1,1 0,0')}</Placemark>`
  const laughs = `<!DOCTYPE kml [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>${kml('<name>&b;</name>')}`
  const bombs = [
    laughs,
    `<!DOCTYPE kml [<!ENTITY a SYSTEM "file:///etc/passwd">]><kml>&a;${place}</kml>`,
    kml(`<name>&a;</name>${place}`),
    `${'<Folder>'.repeat(100_000)}${'</Folder>'.repeat(100_000)}`,
    `<kml>${'<a/>'.repeat(400_001)}</kml>`,
    `<kml ${Array.from({ length: 101 }, (_, index) => `a${index}="1"`).join(' ')}/>`,
    kml(`<Placemark>${place}</Placemark>`),
    'hello',
    '',
    '<kml>',
    '<kml><!-- ',
    '<kml a="',
    '<a></b>',
  ]
  expect(bombs.map((bomb) => codes('kml', bomb))).toEqual(bombs.map(() => 'import-not-kml'))
  expect(codes('kml', kml())).toBe('import-nothing')
})

test('lines of well-known text become shapes', () => {
  const text = `SRID=4326;POLYGON((0 0,1 0,1 1,0 1,0 0))
    multipolygon z (((0 0 1, 1 0 1, 1 1 1,
      0 0 1)))

    POINT (13 52)
    LINESTRING(13 52, 14 52)\r
    POLYGON((0 0,1 1,1 0,0 1,0 0))
    POLYGON((0 0,10 0,10 10,0 10,0 0),(4 4,6 4,6 6,4 4))`
  expect(codes('wkt', text, { radiusM: 100, halfWidthM: 50 })).toEqual([
    'ok',
    'ok',
    'ok',
    'ok',
    'shape-self-crossing',
    'ok',
  ])
  expect(codes('wkt', text).slice(2, 4)).toEqual(['import-no-radius', 'import-no-half-width'])
})

test('what the parser of well-known text would read loosely is refused', () => {
  const wrong = [
    'hello',
    '<http://x> POINT(1 2)',
    'SRID=3857;POINT(1 2)',
    'POINT(1,5 2)',
    'POINT(1x 2)',
    'POINT(NaN 1)',
    'POINT(1 2) POINT(3 4)',
    'POINT(1 2',
    'POLYGON((0 0,1 0,1 1,0 0)',
    `POLYGON${'('.repeat(100_000)}${')'.repeat(100_000)}`,
    'CIRCULARSTRING(0 0,1 1,2 0)',
  ]
  expect(wrong.map((text) => codes('wkt', text, { radiusM: 1 }))).toEqual(wrong.map(() => ['import-not-wkt']))
  expect(codes('wkt', 'POLYGON EMPTY')).toEqual(['import-no-geometry'])
  expect(codes('wkt', `${'GEOMETRYCOLLECTION('.repeat(9)}POINT(1 2)${')'.repeat(9)}`)).toEqual([
    'import-geometry-unknown',
  ])
  expect(codes('wkt', ' \n ')).toBe('import-nothing')
})

test('files that are too large or have too many features are refused', () => {
  expect(codes('wkt', ' '.repeat(IMPORT_BYTES_MAX + 1))).toBe('import-too-large')
  expect(codes('wkt', '\n'.repeat(IMPORT_BYTES_MAX))).toBe('import-nothing')
  const many = IMPORT_FEATURES_MAX + 1
  expect(codes('wkt', 'POINT(1 2)\n'.repeat(many))).toBe('import-too-many-features')
  expect(codes('kml', kml('<Placemark/>'.repeat(many)))).toBe('import-too-many-features')
  expect(codes('geojson', collection(...Array(many).fill(null)))).toBe('import-too-many-features')
})
