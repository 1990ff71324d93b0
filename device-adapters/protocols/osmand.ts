/**
 * OsmAnd: HTTP requests of OsmAnd, Traccar Client and many scripts. Two forms:
 *
 * - a query or a form, `/?id=…&lat=…&lon=…&timestamp=…`, by GET or POST. Only the id is required; a request without
 *   a place is a status. Speed is in knots. Parameters that are not named below become attributes.
 * - the JSON of background-geolocation clients (Traccar Client since 9.0),
 *   `{"device_id","location":{"timestamp","coords":{…},"is_moving","battery":{…},"activity":{…},"extras":{…}}}`,
 *   where `location` may be an array (batches). Speed is in m/s; −1 stands for "unknown".
 *
 * Source: https://www.traccar.org/osmand and the "Location Data Schema" of transistorsoft's background-geolocation.
 */
import type { AttributeValue } from '../../schemas/attributes.ts'
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { DecodeError, defineAdapter, type Session } from '../adapter.ts'
import { type AccessPoint, type CellTower, setNetwork } from '../network.ts'
import {
  booleanOf,
  cut,
  type JsonObject,
  numberOf,
  objectFrom,
  ReportedAttributes,
  requiredNumberOf,
  textOf,
  uniqueIdFrom,
  unsignedOf,
} from '../reported-fields.ts'
import { parseHttpFrame, parseJsonObject } from '../requests.ts'
import { kmhFromKnots, kmhFromMetersPerSecond } from '../units.ts'

/** Locations of one request; clients send 50 or fewer unless told otherwise. */
const LOCATIONS_MAX = 100

/** Cell towers and Wi-Fi access points of one request, each. */
const NETWORK_ENTRIES_MAX = 32

/** A number below is seconds since 1970, else milliseconds: as ms it would be a day of 1973. */
const SECONDS_BELOW = 1e11

export const osmand = defineAdapter({
  id: 'osmand',
  version: 2,
  makers: ['OsmAnd', 'Traccar Client', 'phones'],
  source: 'https://www.traccar.org/osmand; background-geolocation, Location Data Schema',
  listen: { http: 5055 },
  maxFrameBytes: 256 * 1024,

  decode(frame, session, out) {
    const { target, contentType, body } = parseHttpFrame(frame)
    if (contentType === 'application/json' || body[0] === 0x7b) {
      decodeJson(parseJsonObject(body), session, out)
      return
    }
    if (contentType === 'application/x-ndjson') throw new DecodeError('unsupported', 'lines of JSON')
    const query = target.indexOf('?')
    const parameters = new URLSearchParams(query < 0 ? '' : target.slice(query + 1))
    decodeForm(parameters.size > 0 ? parameters : new URLSearchParams(body.toString('utf8')), session, out)
  },
})

function decodeForm(parameters: URLSearchParams, session: Session, out: PositionBatch): void {
  session.identify(uniqueIdFrom('id', parameters.get('id') ?? parameters.get('deviceid') ?? undefined))
  let timeMs = Number.NaN
  let latitudeDeg = Number.NaN
  let longitudeDeg = Number.NaN
  let altitudeM = Number.NaN
  let speedKmh = Number.NaN
  let courseDeg = Number.NaN
  let accuracyM = Number.NaN
  let valid = true
  const attributes = new ReportedAttributes()
  const cellTowers: CellTower[] = []
  const wifi: AccessPoint[] = []
  for (const [key, value] of parameters) {
    if (value === '') continue
    switch (key) {
      case 'id':
      case 'deviceid':
      // Where a phone takes notifications: of no use here, and a secret.
      case 'notificationToken':
        break
      case 'timestamp':
        timeMs = timeFrom(value)
        break
      case 'lat':
        latitudeDeg = numberFrom(key, value)
        break
      case 'lon':
        longitudeDeg = numberFrom(key, value)
        break
      case 'location': {
        const [latitude = '', longitude = ''] = value.split(',')
        latitudeDeg = numberFrom(key, latitude)
        longitudeDeg = numberFrom(key, longitude)
        break
      }
      case 'valid':
        valid = isTrue(value)
        break
      case 'gprmc':
        throw new DecodeError('unsupported', 'gprmc is a position of OpenGTS')
      case 'altitude':
        altitudeM = numberFrom(key, value)
        break
      case 'speed':
        speedKmh = kmhFromKnots(knownFrom(key, value))
        break
      case 'bearing':
      case 'heading':
        courseDeg = knownFrom(key, value)
        break
      case 'accuracy':
        accuracyM = knownFrom(key, value)
        break
      case 'hdop':
        attributes.set('hdop', numberFrom(key, value))
        break
      case 'batt':
        attributes.set('batteryLevel', numberFrom(key, value))
        break
      case 'charge':
        attributes.set('charge', isTrue(value))
        break
      case 'driverUniqueId':
        attributes.set('driverUniqueId', value)
        break
      case 'cell': {
        const [mcc, mnc, lac, cid, rssi] = value.split(',').map((field) => numberFrom(key, field))
        if (cid === undefined) throw new DecodeError('malformed', `cell is no mcc,mnc,lac,cid: ${cut(value)}`)
        cellTowers.push({ mcc, mnc, lac, cid, ...(rssi === undefined ? {} : { rssi: dbmOf(rssi) }) })
        break
      }
      case 'wifi': {
        const [mac = '', rssi] = value.split(',')
        if (!/^[\dA-Fa-f]{2}([:-][\dA-Fa-f]{2}){5}$/.test(mac)) {
          throw new DecodeError('malformed', `wifi is no address,signal: ${cut(value)}`)
        }
        wifi.push({
          mac: mac.replaceAll('-', ':'),
          ...(rssi === undefined ? {} : { rssi: dbmOf(numberFrom(key, rssi)) }),
        })
        break
      }
      default:
        attributes.set(key, typed(value))
    }
  }
  if (cellTowers.length > NETWORK_ENTRIES_MAX || wifi.length > NETWORK_ENTRIES_MAX) {
    throw new DecodeError('malformed', `more than ${NETWORK_ENTRIES_MAX} cell towers or access points`)
  }
  if (Number.isNaN(latitudeDeg) !== Number.isNaN(longitudeDeg)) {
    throw new DecodeError('malformed', 'lat and lon come together')
  }
  // Clients that have no fix leave the place out, or send 0, 0.
  const placed = !Number.isNaN(latitudeDeg) && (latitudeDeg !== 0 || longitudeDeg !== 0)
  const row = placed ? out.add(timeMs, latitudeDeg, longitudeDeg) : out.addWithoutFix(timeMs)
  if (placed) out.setValid(row, valid)
  out.altitudeM[row] = altitudeM
  out.speedKmh[row] = speedKmh
  out.courseDeg[row] = courseDeg
  out.accuracyM[row] = accuracyM
  attributes.writeTo(out, row)
  setNetwork(out, row, cellTowers, wifi)
}

function decodeJson(root: JsonObject, session: Session, out: PositionBatch): void {
  session.identify(uniqueIdFrom('device_id', root.device_id))
  const location = root.location
  const locations: readonly unknown[] = Array.isArray(location) ? location : [location]
  if (locations.length > LOCATIONS_MAX)
    throw new DecodeError('malformed', `more than ${LOCATIONS_MAX} locations`)
  for (const item of locations) addLocation(objectFrom('location', item), out)
}

function addLocation(location: JsonObject, out: PositionBatch): void {
  const coords = objectFrom('coords', location.coords ?? {})
  const battery = objectFrom('battery', location.battery ?? {})
  const activity = objectFrom('activity', location.activity ?? {})
  const timestamp = location.timestamp
  const timeMs = timeFrom(
    typeof timestamp === 'number' ? String(timestamp) : (textOf(location, 'timestamp') ?? ''),
  )
  // A heartbeat or a change of the settings may have no place.
  const row =
    location.coords === undefined || location.coords === null
      ? out.addWithoutFix(timeMs)
      : out.add(timeMs, requiredNumberOf(coords, 'latitude'), requiredNumberOf(coords, 'longitude'))
  out.altitudeM[row] = numberOf(coords, 'altitude')
  out.speedKmh[row] = kmhFromMetersPerSecond(unsignedOf(coords, 'speed'))
  out.courseDeg[row] = unsignedOf(coords, 'heading')
  out.accuracyM[row] = unsignedOf(coords, 'accuracy')

  const attributes = new ReportedAttributes()
  attributes.set('event', textOf(location, 'event'))
  attributes.set('alarm', textOf(location, 'alarm'))
  attributes.set('motion', booleanOf(location, 'is_moving'))
  attributes.set('odometer', Math.trunc(numberOf(location, 'odometer')))
  attributes.set('mock', booleanOf(location, 'mock'))
  attributes.set('activity', textOf(activity, 'type'))
  attributes.set('batteryLevel', Math.round(unsignedOf(battery, 'level') * 100))
  attributes.set('charge', booleanOf(battery, 'is_charging'))
  for (const [key, value] of Object.entries(objectFrom('extras', location.extras ?? {}))) {
    // The client's own alarm, say that of a button, is the one that it raises now.
    if (key === 'alarm' && textOf(location, 'alarm') !== undefined) continue
    // What is nested further is the client's own and no attribute.
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
      attributes.set(key, value)
    }
  }
  attributes.writeTo(out, row)
}

/** Seconds or milliseconds since 1970, ISO 8601, or `yyyy-MM-dd HH:mm:ss`; UTC where no zone is given. */
function timeFrom(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) {
    const time = Number(text)
    return time < SECONDS_BELOW ? time * 1000 : time
  }
  // The + of a zone becomes a space in a query that does not escape it.
  const [, date, time, zone] = /^(\d{4}-\d\d-\d\d)[T ]([\d:.]+)(Z|[+ -]\d\d:?\d\d)?$/.exec(text) ?? []
  const offset = (zone ?? 'Z').replace(' ', '+').replace(/(\d\d):?(\d\d)$/, '$1:$2')
  const timeMs = Date.parse(`${date}T${time}${offset}`)
  if (Number.isNaN(timeMs)) throw new DecodeError('malformed', `timestamp is no time: ${cut(text)}`)
  return timeMs
}

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i

function numberFrom(key: string, text: string): number {
  const value = DECIMAL.test(text.trim()) ? Number(text) : Number.NaN
  if (!Number.isFinite(value)) throw new DecodeError('malformed', `${key} is no number: ${cut(text)}`)
  return value
}

/** As {@link numberFrom}, but negative is NaN: phones say "unknown" so. */
function knownFrom(key: string, text: string): number {
  const value = numberFrom(key, text)
  return value < 0 ? Number.NaN : value
}

/** Some send the strength of a signal without its sign. */
function dbmOf(strength: number): number {
  return -Math.abs(strength)
}

/** As clients write it: `true` in any case, or 1. */
function isTrue(text: string): boolean {
  return text === '1' || text.toLowerCase() === 'true'
}

/** A parameter of the client's own: a number, true or false where it reads as one, else text. */
function typed(text: string): AttributeValue {
  if (text === 'true' || text === 'false') return text === 'true'
  return DECIMAL.test(text) && Number.isFinite(Number(text)) ? Number(text) : text
}
