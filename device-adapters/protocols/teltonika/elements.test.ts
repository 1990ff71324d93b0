/** Elements that the recorded records do not hold with the model of their device. */
import { expect, test } from 'vitest'
import { attributesOf } from '../../../schemas/position.ts'
import { PositionBatch } from '../../../schemas/position-batch.ts'
import type { Adapter } from '../../adapter.ts'
import { crc16Ibm } from '../../checksums.ts'
import { DeviceSession, decodeFrame } from '../../decoder.ts'
import { teltonika } from '../teltonika.ts'

const HEAD = '0000017fcedf499600280431be0eded45d0038012d10000000000000'

/** Attributes of a record of codec 8 Extended with `elements`, hex of id and value each, by the bytes of their value. */
function attributesWith(model: string, ...elements: readonly string[][]): Record<string, unknown> {
  const lists = [0, 1, 2, 3].map((i) => {
    const list = elements[i] ?? []
    return list.length.toString(16).padStart(4, '0') + list.join('')
  })
  const data = Buffer.from(`8e01${HEAD}${lists.join('')}000001`, 'hex')
  const packet = Buffer.alloc(12 + data.length)
  packet.writeUInt32BE(data.length, 4)
  data.copy(packet, 8)
  packet.writeUInt32BE(crc16Ibm(data, 0, data.length), 8 + data.length)
  const session = new DeviceSession(teltonika as Adapter, 'tcp', () => ({ model, options: {} }))
  session.identify('352093081452251')
  const batch = new PositionBatch(8)
  decodeFrame(teltonika as Adapter, packet, session, batch)
  return attributesOf(batch, 0)
}

test('names Bluetooth sensors, and keeps their faults raw', () => {
  const battery = ['001d64', '001432']
  const humidity = ['005601f4', '00680fa0']
  expect(attributesWith('FMB130', battery, humidity)).toMatchObject({
    bleBattery1: 100,
    bleBattery2: 50,
    bleHumidity1: 50,
    io104: 4000,
  })
  expect(attributesWith('FMC650', ['02c164'])).toMatchObject({ bleBattery1: 100 })
})

test('names each of the four sensors EYE', () => {
  const bytes = ['2a3801', '2a3c00', '2a40f6']
  const words = ['2a30ff9c', '2a33ff9c', '2a480bb8', '2a50fff6', '2a540007']
  expect(attributesWith('FMC130', bytes, words)).toMatchObject({
    eyeTemp1: -1,
    eyeTemp4: -1,
    eyeMagnet1: true,
    eyeMotion1: false,
    eyePitch1: -10,
    eyeBattery1: 3,
    eyeRoll1: -10,
    eyeMotionCount1: 7,
  })
})

test('names readings of OBD and CAN in their units', () => {
  const attributes = attributesWith('FMB003', ['002928', '0035f6'], ['003c00fa'], ['00660000003c'])
  expect(attributes).toMatchObject({
    throttle: 40,
    ambientTemp: -10,
    fuelConsumption: 2.5,
    hours: 3_600_000,
  })
})

test('keeps raw what means something else in another line of devices', () => {
  expect(attributesWith('', ['001d64', '2a3801'], ['005601f4'])).toMatchObject({
    io29: 100,
    io86: 500,
    io10808: 1,
  })
  expect(attributesWith('FMB640', ['001d64'], ['005601f4'])).toMatchObject({ io29: 100, io86: 500 })
})
