/** Reads the past from the API: where everyone stood, the track of one vehicle, events, groups. */
import type { GeofenceEvent } from '../../../schemas/geofence-event.ts'
import type { Scope } from '../../../schemas/stream.ts'
import type { TrackPoint } from '../fleet/track.ts'
import type { Session } from '../wire/session.ts'
import type { ReplayView, Who } from './replay-view.ts'
import type { Group } from './who-picker.ts'

const PAGE = 100
const SNAPSHOT_PAGE = 1_000
/** A fleet larger than this is shown in part until it reports. */
const SNAPSHOT_PAGES_MAX = 100
/** The newest events of the range; more are not told apart on a timeline. */
const EVENT_PAGES_MAX = 10
const NAME_PAGES_MAX = 50
/** Vehicles whose events are asked for one by one; of more, all events of the range are looked through. */
const EVENT_DEVICES_MAX = 8
/** The track of more time is read as fine as it is drawn, without most of its speeds and rests. */
const EXACT_TRACK_MS = 25 * 3_600_000
/** Less is not seen. */
const TRACK_TOLERANCE_M = 5

export const EXPORTS = ['gpx', 'kml', 'geojson', 'csv'] as const
export type ExportFormat = (typeof EXPORTS)[number]

interface Page<Item> {
  readonly items: Item[]
  readonly next: string | null
}

/** A vehicle's last place before a time. */
export interface SnapshotRow {
  readonly device: number
  readonly fixTime: string
  readonly latitude: number
  readonly longitude: number
  readonly speed: number | null
  readonly course: number | null
}

/** Events of a range, and whether there are more than these. */
export interface EventsRead {
  /** Oldest first. */
  readonly events: GeofenceEvent[]
  readonly more: boolean
}

/** What the stream is asked for. */
export function scopeOf(who: Who): Scope {
  if (who.kind === 'all') return { all: true }
  return who.kind === 'group' ? { groups: [who.group] } : { devices: [...who.devices] }
}

/**
 * Where the vehicles stood at a time.
 * @param onRows Called with each page as it comes.
 * @throws RequestError
 */
export async function readSnapshot(
  session: Session,
  who: Who,
  atMs: number,
  onRows: (rows: readonly SnapshotRow[]) => void,
): Promise<void> {
  const query: Record<string, string> = { at: new Date(atMs).toISOString(), limit: String(SNAPSHOT_PAGE) }
  if (who.kind === 'group') query.group = String(who.group)
  if (who.kind === 'devices') query.devices = who.devices.join(',')
  await readPages<SnapshotRow>(session, '/api/v1/snapshot', query, SNAPSHOT_PAGES_MAX, onRows)
}

/** A track, and whether it has every fix. */
export interface TrackRead {
  /** Oldest first. */
  readonly track: readonly TrackPoint[]
  readonly exact: boolean
}

/** The whole track of a vehicle in the range. @throws RequestError */
export async function readTrack(
  session: Session,
  device: number,
  { fromMs, toMs }: Pick<ReplayView, 'fromMs' | 'toMs'>,
): Promise<TrackRead> {
  const exact = toMs - fromMs <= EXACT_TRACK_MS
  const query = rangeQuery(fromMs, toMs)
  query.set('tolerance', String(exact ? 0 : TRACK_TOLERANCE_M))
  const positions = await session.get<readonly SnapshotRow[]>(`/api/v1/devices/${device}/track?${query}`)
  const track = positions.map(({ fixTime, latitude, longitude, speed }) => ({
    timeMs: Date.parse(fixTime),
    latitude,
    longitude,
    speedKmh: speed,
  }))
  return { track, exact }
}

/** Address of a track as a file. */
export function exportPath(device: number, format: ExportFormat, fromMs: number, toMs: number): string {
  return `/api/v1/devices/${device}/track.${format}?${rangeQuery(fromMs, toMs)}`
}

/** Events of the vehicles in the range. @throws RequestError */
export async function readEvents(
  session: Session,
  who: Who,
  fromMs: number,
  toMs: number,
): Promise<EventsRead> {
  const query = {
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    limit: String(PAGE),
  }
  let more = false
  const read = async (path: string) => {
    const events: GeofenceEvent[] = []
    const whole = await readPages<GeofenceEvent>(session, path, query, EVENT_PAGES_MAX, (page) =>
      events.push(...page),
    )
    more ||= !whole
    return events
  }
  let events: GeofenceEvent[]
  if (who.kind === 'devices' && who.devices.length <= EVENT_DEVICES_MAX) {
    events = (await Promise.all(who.devices.map((id) => read(`/api/v1/devices/${id}/events`)))).flat()
  } else {
    const members = await membersOf(session, who)
    events = (await read('/api/v1/events')).filter(({ device }) => members === null || members.has(device))
  }
  return { events: events.sort((a, b) => a.time.localeCompare(b.time) || a.id - b.id), more }
}

/** Groups of vehicles. @throws RequestError */
export async function readGroups(session: Session): Promise<Group[]> {
  const groups: Group[] = []
  const query = { limit: String(PAGE) }
  await readPages<Group>(session, '/api/v1/device-groups', query, NAME_PAGES_MAX, (page) =>
    groups.push(...page),
  )
  return groups
}

/** Names of geofences by id. @throws RequestError */
export async function readGeofenceNames(session: Session): Promise<Map<number, string>> {
  const names = new Map<number, string>()
  const query = { limit: String(PAGE) }
  await readPages<{ id: number; name: string }>(
    session,
    '/api/v1/geofences',
    query,
    NAME_PAGES_MAX,
    (page) => {
      for (const { id, name } of page) names.set(id, name)
    },
  )
  return names
}

/** Devices of a choice; null = all. */
async function membersOf(session: Session, who: Who): Promise<Set<number> | null> {
  if (who.kind === 'all') return null
  if (who.kind === 'devices') return new Set(who.devices)
  const members = new Set<number>()
  const path = `/api/v1/device-groups/${who.group}/devices`
  await readPages<{ deviceId: number }>(session, path, { limit: String(PAGE) }, NAME_PAGES_MAX, (page) => {
    for (const { deviceId } of page) members.add(deviceId)
  })
  return members
}

function rangeQuery(fromMs: number, toMs: number): URLSearchParams {
  return new URLSearchParams({ from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString() })
}

/** @returns Whether all pages were read. */
async function readPages<Item>(
  session: Session,
  path: string,
  query: Readonly<Record<string, string>>,
  pagesMax: number,
  onPage: (items: Item[]) => void,
): Promise<boolean> {
  let cursor: string | null = null
  for (let page = 0; page < pagesMax; page++) {
    const parameters = new URLSearchParams(query)
    if (cursor !== null) parameters.set('cursor', cursor)
    const answer: Page<Item> = await session.get<Page<Item>>(`${path}?${parameters}`)
    onPage(answer.items)
    cursor = answer.next
    if (cursor === null) return true
  }
  return false
}
