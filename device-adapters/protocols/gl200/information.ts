/**
 * INF, the state of the device.
 *
 *     name,state,ICCID,signal,bit errors,external power,[mac,°C,%,]power mV|odometer km,reserved,battery V,charging,LED,…
 *
 * Source: Queclink, @Track Air Interface Protocols of GMT100, GV200, GV300 and GV310LAU.
 */
import type { PositionBatch } from '../../../schemas/position-batch.ts'
import type { Session } from '../../adapter.ts'
import { type FieldReader, hexOf, numberOf } from './fields.ts'
import { type Message, modelOfMessage } from './message.ts'

/** States: whether the ignition is on, where that is known, and whether the device moves. */
export const STATES: ReadonlyMap<number, readonly [ignition: boolean | undefined, motion: boolean]> = new Map(
  [
    [0x11, [false, false]],
    [0x12, [false, true]],
    // Towed, and perhaps towed.
    [0x16, [false, true]],
    [0x1a, [false, true]],
    [0x21, [true, false]],
    [0x22, [true, true]],
    [0x41, [undefined, false]],
    [0x42, [undefined, true]],
  ],
)

const MAC = /^[0-9a-f]{12}$/i

/** Reads an INF report of which name and what follows is left. */
export function readInformation(
  fields: FieldReader,
  message: Message,
  session: Session,
  out: PositionBatch,
): void {
  const model = modelOfMessage(message, session)
  const row = out.addWithoutFix(message.sentMs)
  fields.skip(1)
  const [ignition, motion] = STATES.get(hexOf(fields.text())) ?? []
  if (ignition !== undefined) out.set(row, 'ignition', ignition)
  if (motion !== undefined) out.set(row, 'motion', motion)
  const iccid = fields.text()
  if (iccid !== '') out.set(row, 'iccid', iccid)
  out.set(row, 'rssi', fields.number())
  fields.skip(2)
  // A sensor of Bluetooth, with or without a field before its address.
  if (MAC.test(fields.peek(1))) fields.skip(1)
  if (MAC.test(fields.peek())) {
    fields.skip(1)
    out.set(row, 'deviceTemp', fields.number())
    out.set(row, 'humidity', fields.number())
  }
  const supply = fields.text()
  if (supply.includes('.')) out.set(row, 'odometer', numberOf(supply) * 1000)
  else out.set(row, 'power', numberOf(supply) / 1000)
  // An expansion mask or the kind of network on some.
  if (model === 'GV350M' || model === 'GV310LAU') fields.skip(1)
  else if (model !== 'GV500VC') out.set(row, 'power2', fields.number() / 1000)
  out.set(row, 'battery', fields.number())
  // Recorded values take the LED, the field behind it, for the charging.
  if (fields.text() === '1') out.set(row, 'charge', true)
  if (model === 'GV310LAU') {
    // LED, saving of power, antenna, time of the last fix, use of the pins.
    fields.skip(5)
    for (let i = 1; i <= 3; i++) out.set(row, `adc${i}`, fields.number())
  }
}
