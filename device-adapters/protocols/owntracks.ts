/**
 * OwnTracks: JSON objects of the phone apps and of trackers that speak like them, over HTTP or on the MQTT topic
 * `owntracks/USER/DEVICE`. Only `"_type":"location"` is a position; the other types are taken and say nothing to us.
 *
 *     {"_type":"location","lat","lon","tst","acc","alt","vel","cog","batt","bs","t","tid","topic"}
 *
 * `tst` is in seconds since 1970, `vel` in km/h, `t` what caused the report. Trackers add `ign`, `uext` and `ubatt` (V),
 * `odometer` (km), `hmc` (engine hours, in seconds), `rpm`, `vin`, `rty`, and `anum` inputs `adda-NN`, `temp_c-NN`.
 * The device is the topic: of the message, or of the object over HTTP, and there else the tracker id `tid`.
 *
 * Source: OwnTracks Booklet, "JSON" (https://owntracks.org/booklet/tech/json) and "Traccar".
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import { DecodeError, defineAdapter } from '../adapter.ts'
import {
  booleanOf,
  type JsonObject,
  numberOf,
  ReportedAttributes,
  requiredNumberOf,
  textOf,
  uniqueIdFrom,
  unsignedOf,
} from '../reported-fields.ts'
import { parseHttpFrame, parseJsonObject, parseMqttFrame } from '../requests.ts'

/** Analogue inputs of one message. */
const INPUTS_MAX = 16

const ALARM_OF_TRIGGER: ReadonlyMap<string, string> = new Map([
  ['1', 'powerOn'],
  ['9', 'lowBattery'],
  ['e', 'powerCut'],
  ['E', 'powerRestored'],
  ['s', 'overspeed'],
  ['!', 'tow'],
])

/** Alarm of trigger `h`, by report type. */
const HARSH_ALARMS = ['hardBraking', 'hardAcceleration', 'hardCornering'] as const

export const owntracks = defineAdapter({
  id: 'owntracks',
  version: 1,
  makers: ['OwnTracks', 'phones'],
  source: 'https://owntracks.org/booklet/tech/json',
  listen: { http: 5144, mqtt: ['owntracks/+/+'] },
  maxFrameBytes: 64 * 1024,

  decode(frame, session, out) {
    const message = session.transport === 'mqtt' ? parseMqttFrame(frame) : undefined
    const root = parseJsonObject(message?.payload ?? parseHttpFrame(frame).body)
    const topic = message?.topic ?? textOf(root, 'topic')
    const device = topic?.slice(topic.lastIndexOf('/') + 1) ?? ''
    if (topic === undefined) session.identify(uniqueIdFrom('tid', root.tid))
    else session.identify(uniqueIdFrom('topic', topic), ...(device === '' ? [] : [device]))

    const type = textOf(root, '_type')
    // It may hold a position, so it must not be acknowledged.
    if (type === 'encrypted') throw new DecodeError('unsupported', 'an encrypted payload')
    if (type === undefined) throw new DecodeError('malformed', '_type is missing')
    if (type === 'location') addLocation(root, out)
  },
})

function addLocation(root: JsonObject, out: PositionBatch): void {
  const fixTimeMs = requiredNumberOf(root, 'tst') * 1000
  const row = out.add(fixTimeMs, requiredNumberOf(root, 'lat'), requiredNumberOf(root, 'lon'))
  const sent = numberOf(root, 'sent')
  if (!Number.isNaN(sent)) out.deviceTimeMs[row] = sent * 1000
  out.altitudeM[row] = numberOf(root, 'alt')
  out.speedKmh[row] = unsignedOf(root, 'vel')
  out.courseDeg[row] = unsignedOf(root, 'cog')
  out.accuracyM[row] = unsignedOf(root, 'acc')

  const attributes = new ReportedAttributes()
  const trigger = textOf(root, 't')
  attributes.set('event', trigger)
  attributes.set('alarm', alarmOf(trigger, numberOf(root, 'rty')))
  attributes.set('ignition', trigger === 'i' || trigger === 'I' ? trigger === 'i' : booleanOf(root, 'ign'))
  attributes.set('motion', booleanOf(root, 'motion'))
  attributes.set('batteryLevel', unsignedOf(root, 'batt'))
  const batteryStatus = numberOf(root, 'bs')
  // 1 is unplugged, 2 charging, 3 full.
  if (batteryStatus >= 1) attributes.set('charge', batteryStatus > 1)
  attributes.set('power', numberOf(root, 'uext'))
  attributes.set('battery', numberOf(root, 'ubatt'))
  attributes.set('vin', textOf(root, 'vin') ?? textOf(root, 'name'))
  attributes.set('rpm', numberOf(root, 'rpm'))
  attributes.set('odometer', numberOf(root, 'odometer') * 1000)
  attributes.set('hours', numberOf(root, 'hmc') * 1000)
  const inputs = Math.min(numberOf(root, 'anum') || 0, INPUTS_MAX)
  for (let i = 0; i < inputs; i++) {
    const index = String(i).padStart(2, '0')
    attributes.set(`adc${i + 1}`, textOf(root, `adda-${index}`))
    attributes.set(`temp${i + 1}`, numberOf(root, `temp_c-${index}`))
  }
  attributes.writeTo(out, row)
}

function alarmOf(trigger: string | undefined, reportType: number): string | undefined {
  if (trigger === undefined) return undefined
  if (trigger === 'h') return HARSH_ALARMS[reportType % HARSH_ALARMS.length]
  return ALARM_OF_TRIGGER.get(trigger)
}
