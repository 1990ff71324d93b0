/** Items and transparent messages of makers that the recorded frames do not hold, each as its maker has it. */
import { expect, test } from 'vitest'
import type { Adapter } from '../../adapter.ts'
import { xor8 } from '../../checksums.ts'
import { RecordedStream } from '../../recorded-line.ts'
import { jt808 } from '../jt808.ts'

const LOCATION = '000000000000000201d907f2073d336c029a030c005c241029213903'
const IN_EACH = { ignition: false, blocked: false, charge: false }

function positionsOf(type: string, body: string, model = '') {
  const bytes = Buffer.from(
    `7e${type}${(body.length / 2).toString(16).padStart(4, '0')}0139123443230007${body}007e`,
    'hex',
  )
  bytes[bytes.length - 2] = xor8(bytes, 1, bytes.length - 2)
  const line = new RecordedStream(jt808 as Adapter).decode(
    {
      protocol: 'jt808',
      stream: 1,
      transport: 'frame',
      frame: bytes.toString('hex'),
      setup: { modelOverride: model },
    },
    Date.UTC(2024, 9, 29),
  )
  expect(line.error).toBeNull()
  return line.positions
}

const text = (value: string) => Buffer.from(value, 'latin1').toString('hex')
const item = (number: string, value: string) =>
  number + (value.length / 2).toString(16).padStart(2, '0') + value

/** Item, value, what it means, and the model that it is of. */
const ITEMS: readonly (readonly [item: string, value: string, meaning: object, model?: string])[] = [
  ['02', '8064', { fuel: 100 }],
  ['0b', '0100112233', { lockCommand: 1, lockCard: 1_122_867 }],
  ['0b', '010011223301', { lockCommand: 1, lockCard: 1_122_867, unlockResult: 1 }],
  ['51', '00fa80140000ffffffffffffffffffff', { temp1: 25, temp2: -2, temp3: 0 }],
  ['57', '0700000000010000', { alarm: 'hardAcceleration,hardBraking,hardCornering' }],
  ['57', '0000000000010000', { alarm: 'door', door: false }, 'MV810G'],
  ['65', '000000010102', { dmsAlarm: 2 }],
  ['70', '000000010103', { alarm: 'hardCornering' }],
  ['70', '000000010116', { alarm: 'accident' }],
  [
    '91',
    '007d03e83c80805a0000012c000000000000000001f4',
    {
      battery: 12.5,
      rpm: 1000,
      obdSpeed: 60,
      throttle: 50,
      engineLoad: 50,
      coolantTemp: 50,
      fuelConsumption: 3,
      fuelUsed: 5,
    },
  ],
  ['94', text('JN1BJ1CR6KW336535'), { vin: 'JN1BJ1CR6KW336535' }],
  ['ac', '00000064', { odometer: 100 }],
  ['d0', '00000008', { alarm: 'vibration' }],
  ['d4', 'ff', { charge: true }],
  ['d5', '0172', { battery: 3.7 }],
  [
    'd5',
    '01000260432327959802775300' + '20',
    { lock1Id: '0002604323', lock1Card: '2795980277', lock1Battery: 83, lock1Locked: false },
  ],
  ['e1', '0078', { power: 12 }],
  ['e2', '00000064', { fuel: 10 }],
  ['e2', '00000064', {}, 'DT800'],
  ['e4', '0050', { charge: true, batteryLevel: 80 }],
  ['e6', '01aabbccddeeff19333c00', { temp1: 25.2, humidity1: 60 }],
  ['e7', '0003000000000000', { alarm: 'vibration,sos' }],
  ['e8', '00012c', { lockStatus: 300 }],
  ['e8', '0c0e', { alarm: 'powerCut' }, 'JC450'],
  ['e8', '0c03', { ignition: true }, 'JC450'],
  ['e8', '2002020101', { uploadMode: 1, buffered: true }, 'JC450'],
  [
    'ea',
    `01${item('11', '000102')}${item('15', '0258')}${item('16', '02ee')}`,
    { externalAlarms: 1, alarmThresholdType: 2, externalHumidity: 60, externalTemp: 25 },
  ],
  ['eb', '000300c603', { alarm: 'lowBattery', batteryAlarm: 3 }],
  ['eb', '000600c5ffbfffff', { motion: undefined }],
  ['ee', '1f2ee00fa00c', { rssi: 31, power: 12, battery: 4, sat: 12 }],
  [
    'f3',
    '1caabbccddeeff' + 'c4' + '0bb8' + '00fa' + '0258',
    { tag1Mac: 'aabbccddeeff', tag1Rssi: -60, tag1Battery: 3, tag1Temp: 25, tag1Humidity: 60 },
    'AL300',
  ],
  ['f5', '012c', { illuminance: 300 }],
  ['f6', '03f6', { airPressure: 1014 }],
  ['f7', '0258', { humidity: 60 }],
  ['f7', '00000e7402', { battery: 3.7, charge: true }],
  ['fe', '64', { batteryLevel: 100 }],
  ['fe', '0078', { power: 12 }],
  ['fe', '00000064', { odometer: 100 }],
  ['fe', '016400', { batteryLevel: 100 }],
  ['fe', '7c01040000001e', { alarm: 'hardBraking,hardCornering,accident,tampering' }],
]

const CASES = ITEMS.map(([number, value, meaning, model]) => ({ number, value, meaning, model }))

test.each(CASES)('reads item 0x$number $value', ({ number, value, meaning, model }) => {
  const [position] = positionsOf('0200', `${LOCATION}300112${item(number, value)}`, model)
  expect(position!.attributes).toEqual(clean({ ...IN_EACH, rssi: 18, ...meaning }))
})

test('reads the cells of an item, each with its network', () => {
  const cells = item('eb', '01cc00' + '28661a2b1e' + '28661a2c20')
  expect(positionsOf('0200', LOCATION + cells)[0]!.network).toEqual({
    radioType: 'gsm',
    cellTowers: [
      { mcc: 460, mnc: 0, lac: 0x2866, cid: 0x1a2b, rssi: -30 },
      { mcc: 460, mnc: 0, lac: 0x2866, cid: 0x1a2c, rssi: -32 },
    ],
  })
})

test('alarms of a padlock and of a container tracker are those of their makers', () => {
  const alarmOf = (bits: string, model: string) =>
    positionsOf('0200', bits + LOCATION.slice(8), model)[0]!.attributes.alarm
  expect(alarmOf('00000012', 'G-360P')).toBe('removing,tampering')
  expect(alarmOf('00010001', 'GL100')).toBe('movement')
  expect(alarmOf('60000000', 'VL300')).toBeUndefined()
  expect(alarmOf('60000000', '')).toBe('accident')
})

/** Vehicle data of kind F0: time, sent live, car. */
const VEHICLE = 'f02410292139030001'

const TRANSPARENT: readonly (readonly [body: string, meaning: object])[] = [
  [`40${text('GTSL|6|x|1|DRIVER7|y')}`, { driverUniqueId: 'DRIVER7' }],
  [`40${text('anything')}`, { data: 'anything' }],
  [`f3${'0002' + '0002' + '6400'}${'0006' + '0006' + '241029213903'}`, { collision: 1 }],
  [
    `${VEHICLE}0103${'010304000003e8'}${'052d0178'}${'1234020102'}${LOCATION.slice(8, 32)}`,
    { ...IN_EACH, fuel: 10, coolantTemp: 80, io4660: 258 },
  ],
  [`${VEHICLE}0302${'0200'}${'3101aa'}${LOCATION.slice(8, 32)}`, { ...IN_EACH, alarm: 'powerCut,door' }],
  [
    `${VEHICLE}0402${'00000009'}${'00'.repeat(29)}${'0002' + '003c' + '0064' + '012c'}`,
    { tripNumber: 9, idlingCount: 2, idlingTime: 60, tripOdometer: 10_000, tripFuel: 3 },
  ],
  [`${VEHICLE}0b01${text('JN1BJ1CR6KW336535')}`, { vin: 'JN1BJ1CR6KW336535' }],
  [`${VEHICLE}1500000034`, { alarm: 'hardBraking' }],
  [`${VEHICLE}1500000007`, { event: 7 }],
]

test.each(TRANSPARENT)('reads the transparent message %s', (body, meaning) => {
  const [position] = positionsOf('0900', body)
  expect(position).toMatchObject({ noFix: true, attributes: meaning })
})

test('a transparent message of an unknown kind, or without what it is for, is no position', () => {
  expect(positionsOf('0900', 'aa0102')).toEqual([])
  expect(positionsOf('0900', `40${text('GTSL|6|x')}`)).toEqual([])
  expect(positionsOf('0900', `${VEHICLE}7701`)).toEqual([])
})

test('reads the place of a collision', () => {
  expect(positionsOf('0900', `ff241029213903fe26f80e073d336c029a030c005c0000`)).toMatchObject([
    { valid: true, latitude: -31.000562, longitude: 121.451372, altitude: 666, speed: 78, course: 92 },
  ])
})

test('reads the beacons around a device', () => {
  const place = LOCATION.slice(8, 44)
  expect(
    positionsOf('0900', `53${place}24102921390302${'00aabbccddeeffc402beef'}`)[0]!.attributes,
  ).toMatchObject({
    tag1Mac: 'aabbccddeeff',
    tag1Rssi: -60,
    tag1Data: 'beef',
  })
})

function clean(attributes: object): object {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))
}
