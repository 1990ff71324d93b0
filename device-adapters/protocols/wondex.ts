/**
 * WondeX VT10, VT200, VT300 and kin; lines end with CR LF, and what is in brackets may be missing:
 *     id,yyyyMMddHHmmss,longitude,latitude,km/h,course,altitude,satellites,event
 *       [,battery V][,odometer km][,inputs][,analogue 1][,analogue 2][,outputs][,…]
 *     $OK:NAME=…  $ERR:NAME=…    what the device says to a command `$WP+NAME=password`; $MSG:… unasked
 *     D0 D7 | serial 2 | id 4, least significant byte first    keep-alive, which the server sends back
 */
import { DecodeError, defineAdapter, type Session } from '../adapter.ts'
import { latin1, oneLine, passwordOf } from '../command-text.ts'
import { DIGIT, startsWith } from '../signature.ts'

const POSITION =
  /^\D*(\d+),(\d{14}),(-?\d+\.\d+),(-?\d+\.\d+),(\d+),(\d+),(-?\d+\.?\d*),(\d+),(\d+),?(?:(\d+\.\d+)V,)?(\d+\.\d+)?,?(\d+)?,?(\d+\.\d+)?,?(\d+\.\d+)?,?(\d+)?/
const ask = (name: string) => (_: object, session: Session) => `$WP+${name}=${passwordOf(session, '0000')}`

export const wondex = defineAdapter({
  id: 'wondex',
  version: 1,
  makers: ['WondeX'],
  source: 'Wonde Proud Technology, WondeX VT300 protocol document V1.01',
  listen: { tcp: 5032, udp: 5032 },
  maxFrameBytes: 1024,
  starts: startsWith('\xd0\xd7', ...[10, 15].map((digits) => `${DIGIT.repeat(digits)},${DIGIT.repeat(14)},`)),
  frame(bytes, transport) {
    if (bytes[0] === 0xd0) return bytes.length < 8 ? 0 : 8
    const end = bytes.indexOf('\r\n')
    if (end < 0) return transport === 'udp' ? bytes.length : 0
    return end || -2
  },
  decode(frame, session, out) {
    if (frame[0] === 0xd0) return session.identify(String(frame.readUInt32LE(4)))
    const text = frame.toString('latin1').trim()
    const [, said] = /^\$(OK|ERR|MSG):[^\0]*$/.exec(text) ?? []
    if (said === 'OK' || said === 'ERR') session.answer({ ok: said === 'OK', text })
    if (said !== undefined) return out.set(out.addWithoutFix(session.receivedMs), 'result', text)
    const [, id, date = '', ...fields] = POSITION.exec(text) ?? []
    if (id === undefined) throw new DecodeError('malformed', `no position: ${text.slice(0, 40)}`)
    session.identify(id)
    const time = date.replace(/(....)(..)(..)(..)(..)(..)/, '$1-$2-$3T$4:$5:$6Z')
    const [longitude, latitude, speed, course, altitude, sat] = fields.map(Number)
    const [event, volts, km, input, adc1, adc2, output] = fields.slice(6)
    const row = out.add(Date.parse(time), latitude!, longitude!)
    out.setValid(row, sat !== 0)
    out.speedKmh[row] = speed!
    out.courseDeg[row] = course!
    out.altitudeM[row] = altitude!
    const all = { sat, event, battery: Number(volts), odometer: Number(km) * 1000, input, adc1, adc2, output }
    for (const [key, value] of Object.entries(all)) out.set(row, key, value)
  },
  ack: (frame) => (frame[0] === 0xd0 ? frame : undefined),
  commands: {
    custom: ({ data }) => latin1(oneLine(data)),
    deviceIdentification: ask('IMEI'),
    getDeviceStatus: ask('TEST'),
    getVersion: ask('VER'),
    positionSingle: ask('GETLOCATION'),
    rebootDevice: ask('REBOOT'),
  },
})
