import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { demoFile } from '../demo/files.ts'
import { parseTracks, readTracks, SPEED_MAX_KMH, speedKmh } from './tracks.ts'

const HEAD = 'vehicle_id,timestamp,speed,route_id,trip_id,latitude,longitude,trip_headsign'
const row = (minute: number, latitude: number | string, vehicle = '2228') =>
  `${vehicle},2016-11-25T08:${String(minute).padStart(2, '0')}:00-06:00,0.0,1,77,${latitude},-97.74,1-Metric-SB`
const minutesOf = (rows: string[]) =>
  parseTracks([HEAD, ...rows].join('\n'))[0]!.fixes.map(({ timeMs }) => new Date(timeMs).getUTCMinutes())

test('reads fixes of each vehicle with their route', () => {
  const tracks = parseTracks(
    [HEAD, row(0, 30.2), row(4, 30.21), row(0, 30.3, '11'), row(4, 30.31, '11')].join('\n'),
  )
  expect(tracks.map(({ vehicle }) => vehicle)).toEqual(['11', '2228'])
  expect(tracks[1]!.fixes[0]).toEqual({
    timeMs: Date.UTC(2016, 10, 25, 14, 0),
    latitudeDeg: 30.2,
    longitudeDeg: -97.74,
    trip: '77',
    route: '1 1-Metric-SB',
  })
})

test('puts late rows in their place and drops repeats', () => {
  expect(minutesOf([row(8, 30.22), row(0, 30.2), row(4, 30.21), row(4, 30.21), row(8, 30.22)])).toEqual([
    0, 4, 8,
  ])
})

test('drops a jump there and back', () => {
  expect(minutesOf([row(0, 30.2), row(4, 31.5), row(8, 30.21), row(12, 30.22)])).toEqual([0, 8, 12])
})

test('keeps the place where a vehicle stays after it was moved', () => {
  expect(minutesOf([row(0, 30.2), row(4, 31.5), row(8, 31.51), row(12, 31.52)])).toEqual([0, 4, 8, 12])
})

test('leaves out rows that cannot be read', () => {
  expect(minutesOf([row(0, 30.2), row(2, ''), row(3, 'x'), 'torn', row(4, 30.21)])).toEqual([0, 4])
})

test('says which columns are missing', () => {
  expect(() => parseTracks('vehicle_id,timestamp\n')).toThrow('lack the columns latitude, longitude')
})

test('reads quoted fields and altitudes', () => {
  const csv =
    'vehicle_id,timestamp,latitude,longitude,altitude,trip_headsign\r\n' +
    '"a ""b""",2016-11-25T08:00:00Z,30.2,-97.7,150.5,"North, then east"\r\n' +
    '"a ""b""",2016-11-25T08:04:00Z,30.21,-97.7,,\r\n'
  const [track] = parseTracks(csv)
  expect(track!.vehicle).toBe('a "b"')
  expect(track!.fixes[0]).toMatchObject({ altitudeM: 150.5, route: 'North, then east' })
  expect(track!.fixes[1]).not.toHaveProperty('altitudeM')
})

test('reads the slice of the demo, and leaves no speed that a bus cannot reach but where it was moved', async () => {
  const tracks = await readTracks(demoFile('tracks.csv.gz'))
  expect(tracks).toHaveLength(179)
  const fast = tracks.flatMap(({ fixes }) =>
    fixes.slice(1).filter((fix, i) => speedKmh(fixes[i]!, fix) > SPEED_MAX_KMH),
  )
  expect(fast.length).toBeLessThan(5)
})

test('refuses a file without tracks', async () => {
  const file = join(tmpdir(), `fleetflow-tracks-${process.pid}.csv`)
  await writeFile(file, `${HEAD}\n`)
  await expect(readTracks(file)).rejects.toThrow('holds no track')
})
