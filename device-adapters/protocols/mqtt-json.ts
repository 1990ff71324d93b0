/**
 * FleetFlow's own format over MQTT, for phones, gateways and scripts: a message on `devices/UNIQUE_ID/positions` whose
 * payload is one position of json-position.ts, or an array of at most {@link POSITIONS_MAX}, which is taken as a whole
 * or not at all.
 *
 * Source: this file.
 */
import { DecodeError, defineAdapter } from '../adapter.ts'
import { addJsonPosition } from '../json-position.ts'
import { foundIn, uniqueIdFrom } from '../reported-fields.ts'
import { parseJson, parseMqttFrame } from '../requests.ts'

/** Positions of one message. */
export const POSITIONS_MAX = 100

const TOPIC = /^devices\/([^/]+)\/positions$/

export const mqttJson = defineAdapter({
  id: 'mqtt-json',
  version: 1,
  makers: ['anyone: JSON of our own over MQTT'],
  source: 'device-adapters/protocols/mqtt-json.ts',
  listen: { mqtt: ['devices/+/positions'] },
  maxFrameBytes: 256 * 1024,

  decode(frame, session, out) {
    const { topic, payload } = parseMqttFrame(frame)
    session.identify(uniqueIdFrom('topic', TOPIC.exec(topic)?.[1]))
    const value = parseJson(payload)
    if (!Array.isArray(value)) {
      addJsonPosition(value, out)
      return
    }
    if (value.length > POSITIONS_MAX)
      throw new DecodeError('malformed', `more than ${POSITIONS_MAX} positions`)
    value.forEach((element, i) => {
      try {
        addJsonPosition(element, out)
      } catch (error) {
        throw foundIn(`[${i}]`, error)
      }
    })
  },
})
