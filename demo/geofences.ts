/** Geofences of the demo: stops and transit centres of Austin's buses, and the middle of the city. */
import { readFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import type { z } from 'zod'
import { GeofenceCreate } from '../schemas/geofence.ts'
import { demoFile } from './files.ts'

/** Stops that many routes serve, by the names that the overlay has for them. */
const STOPS = [
  'REPUBLIC SQUARE STATION (SB)',
  'LAVACA/10TH',
  'GUADALUPE/W. 21ST STREET',
  'GUADALUPE/DEAN KEETON',
  'GUADALUPE/34TH',
  'SAN JACINTO/11TH',
  '301 S 1ST/RIVERSIDE',
  '11TH/CONGRESS',
  'NORTH LAMAR BAY 2',
  'TECH RIDGE BAY G',
  'ACC RIVERSIDE CAMPUS STOP',
  '6500 JONATHAN DR (HIGHLAND MALL)',
  'RUIZ LIBRARY',
  '4631 WEST GATE/WESTERN TRAILS',
] as const
const STOP_RADIUS_M = 120

/** Between Lady Bird Lake, Lamar Boulevard, Martin Luther King Boulevard and Interstate 35. */
const DOWNTOWN: readonly (readonly [longitudeDeg: number, latitudeDeg: number])[] = [
  [-97.7535, 30.2672],
  [-97.7507, 30.2768],
  [-97.7478, 30.2837],
  [-97.7349, 30.2805],
  [-97.7331, 30.2739],
  [-97.7389, 30.2599],
  [-97.7455, 30.2624],
  [-97.7535, 30.2672],
]

/** The demo's buses report once in ten seconds of their day: a way past a stop lies between two of their fixes. */
const CROSSING_GAP_S = 30

/** Few, so that their events can be followed: some a second. */
export async function demoGeofences(): Promise<GeofenceCreate[]> {
  const overlay = JSON.parse(gunzipSync(await readFile(demoFile('overlay.geojson.gz'))).toString('utf8')) as {
    readonly features: readonly {
      readonly properties: { readonly kind: string; readonly name: string }
      readonly geometry: { readonly coordinates: [number, number] }
    }[]
  }
  const stops = new Map(
    overlay.features
      .filter(({ properties }) => properties.kind === 'stop')
      .map(({ properties, geometry }) => [properties.name, geometry.coordinates]),
  )
  const geofences: z.input<typeof GeofenceCreate>[] = STOPS.map((name) => ({
    name,
    shape: { type: 'Circle', center: stops.get(name)!, radiusM: STOP_RADIUS_M },
    rules: [{ crossingGapS: CROSSING_GAP_S, dwellS: 60 }],
  }))
  geofences.push({
    name: 'Downtown',
    shape: { type: 'Polygon', coordinates: [DOWNTOWN.map((place) => [...place])] },
    rules: [{ speedLimitKmh: 48 }],
  })
  return geofences.map((geofence) => GeofenceCreate.parse({ timeZone: 'America/Chicago', ...geofence }))
}
