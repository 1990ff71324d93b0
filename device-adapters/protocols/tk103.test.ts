/** What the recorded frames of TK103 do not hold: types, texts with parentheses, batteries, damaged frames, commands. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { CommandError, type Transport } from '../adapter.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { tk103 } from './tk103.ts'

const ID = '088048003342'
const IMEI = '864768011069660'
/** A position and its status, without a separator. */
const COMPACT = '150917A1352.9801N10030.9050E036.5103224276.170001000CL000003F9'
/** A position in the form with separators. */
const SEPARATED = '250517,A,3211.7118N,03452.8086E,0.68,115525,208.19,64.50,9'

function decode(text: string, transport: Transport = 'tcp'): DecodedLine {
  return new RecordedStream(tk103).decode(
    { protocol: 'tk103', stream: 1, transport, bytes: Buffer.from(text).toString('hex') },
    Date.UTC(2026, 0, 2),
  )
}

/** The only position of a message. */
function positionOf(text: string) {
  const { positions, error } = decode(text)
  expect(error).toBeNull()
  expect(positions).toHaveLength(1)
  return positions[0]!
}

const textsOf = ({ replies }: DecodedLine) => replies.map((reply) => Buffer.from(reply, 'hex').toString())

test('reads the same date from both forms, whose order of its parts differs', () => {
  expect(positionOf(`(${ID}BR00${COMPACT})`)).toMatchObject({
    fixTime: '2015-09-17T10:32:24.000Z',
    speed: 36.5,
  })
  expect(positionOf(`(${IMEI},DW30,${SEPARATED})`)).toMatchObject({ fixTime: '2017-05-25T11:55:25.000Z' })
})

test('reads every flag of the status', () => {
  const status = (flags: string) =>
    `(${ID}BR00150917A1352.9801N10030.9050E000.0103224000.0011${flags}0FFL00000010+021.5)`
  expect(positionOf(status('000')).attributes).toEqual({
    charge: false,
    ignition: true,
    in2: 0,
    panic: 0,
    out2: 0,
    fuel: 255,
    odometer: 16,
    temp1: 21.5,
  })
  expect(positionOf(status('FFE')).attributes).toMatchObject({
    in2: 1,
    panic: 1,
    out2: 1,
    blocked: 1,
    hs1: 1,
    hs2: 1,
    hs3: 1,
    door: 1,
    ls1: 1,
    ls2: 1,
    ls3: 1,
  })
})

test.each([
  ['1', 'accident'],
  ['2', 'sos'],
  ['3', 'vibration'],
  ['4', 'lowspeed'],
  ['5', 'overspeed'],
  ['6', 'geofenceExit'],
])('reads BO01 %s as the alarm %s', (data, alarm) => {
  expect(positionOf(`(${ID}BO01${data}${COMPACT})`).attributes.alarm).toBe(alarm)
})

test.each([
  ['0', 'lowBattery'],
  ['2', 'idle'],
  ['3', 'hardAcceleration'],
  ['4', 'hardBraking'],
  ['5', 'temperature'],
])('reads BQ81 %s as the alarm %s', (data, alarm) => {
  expect(positionOf(`(${ID}BQ81,ALARM,${data},164,${COMPACT})`).attributes.alarm).toBe(alarm)
})

test.each([
  ['DW31', { alarm: 'movement' }],
  ['ZC12', { alarm: 'lowBattery' }],
  ['DW33', { alarm: 'powerCut' }],
  ['ZC15', { ignition: true }],
  ['DW36', { ignition: false }],
  ['ZC25', { alarm: 'sos' }],
  ['DW3F', { alarm: 'tampering' }],
  ['DW40', { alarm: 'lowPower' }],
  ['DW42', { ignition: true }],
  ['DW30', {}],
])('reads what the type %s says', (type, attributes) => {
  expect(positionOf(`(${IMEI},${type},${SEPARATED})`).attributes).toEqual(attributes)
})

test('reads the type of a message of cells alone', () => {
  expect(positionOf(`(${IMEI},DW60,310,6,29876,30393,0,041217,102211)`)).toMatchObject({
    noFix: true,
    deviceTime: '2017-12-04T10:22:11.000Z',
    attributes: { alarm: 'lowPower' },
    network: { cellTowers: [{ mcc: 310, mnc: 6, lac: 29876, cid: 30393 }] },
  })
})

test('reads the cells that any type has in place of a position, and the mileage after them', () => {
  const cells = '{413,2,30073,16724}\n{413,2,30073,49860}\n'
  for (const message of [`${ID}BR00,${cells},0000FA10`, `${ID}BP05000${ID},${cells},0000FA10`]) {
    expect(positionOf(`(${message})`)).toMatchObject({
      noFix: true,
      attributes: { odometer: 64_016 },
      network: { cellTowers: [{ cid: 16_724 }, { mcc: 413, mnc: 2, lac: 30_073, cid: 49_860 }] },
    })
  }
  expect(textsOf(decode(`(${ID}BR00,${cells},0000FA10)`))).toEqual([])
})

test('reads a message of cells alone that has a fix as one with a fix', () => {
  expect(positionOf(`(${IMEI},DW60,${SEPARATED})`)).toMatchObject({
    fixTime: '2017-05-25T11:55:25.000Z',
    attributes: { alarm: 'lowPower' },
  })
})

test('leaves out a battery and a supply that are not there', () => {
  expect(positionOf(`(${IMEI},ZC20,180716,144222,255,65535,65535,255)`).attributes).toEqual({})
  expect(positionOf(`(${IMEI},ZC20,180716,144222,4,380,120,1)`).attributes).toEqual({
    batteryLevel: 50,
    battery: 3.8,
    power: 12,
  })
})

test('reads the result of a command, with the parentheses in it', () => {
  const text = `(${IMEI},ZC03,191117,234421,$)Notice: (12).\r\n$)`
  const reader = new FrameReader(tk103, 'tcp')
  reader.push(Buffer.from(text + text))
  const session = new DeviceSession(tk103, 'tcp', () => undefined)
  const batch = new PositionBatch(8)
  for (let frame = reader.next(); frame !== undefined; frame = reader.next())
    decodeFrame(tk103, frame, session, batch)
  const answer = { ok: true, text: ')Notice: (12).\r\n' }
  expect(session.answers).toEqual([answer, answer])
  expect(positionOf(text)).toMatchObject({
    noFix: true,
    deviceTime: '2017-11-19T23:44:21.000Z',
    attributes: { result: answer.text },
  })
})

test('takes BV00 for an answer where no VIN follows', () => {
  const session = new DeviceSession(tk103, 'tcp', () => undefined)
  decodeFrame(tk103, Buffer.from(`(${ID}BV001)`), session, new PositionBatch(8))
  expect(session.answers).toEqual([{ ok: true, text: '1' }])
  decodeFrame(tk103, Buffer.from(`(${ID}BV005J6RW2H53HL066029)`), session, new PositionBatch(8))
  expect(session.answers).toHaveLength(1)
})

test('takes the position that was asked for for an answer', () => {
  const session = new DeviceSession(tk103, 'tcp', () => undefined)
  const batch = new PositionBatch(8)
  decodeFrame(tk103, Buffer.from(`(${ID}BP04${COMPACT})`), session, batch)
  expect(session.answers).toEqual([{ ok: true, text: '' }])
  expect(batch.length).toBe(1)
})

test('reads the answers of a Daly battery as that battery gives them', () => {
  const { attributes } = positionOf(
    `(${ID}BS5190:02150000753001DC,91:0EE8060EDC0A01DC,92:42014101DC0A01DC,95:020EE10EE20EE800,96:0142400000000000)`,
  )
  expect(attributes).toMatchObject({
    cumulativeVoltage: 53.3,
    gatherVoltage: 0,
    current: 0,
    soc: 47.6,
    maxCellVoltage: 3.816,
    maxCellVoltageCount: 6,
    minCellVoltage: 3.804,
    minCellVoltageCount: 10,
    maxTemp: 26,
    minTemp: 25,
    cellTemp1: 26,
    cellTemp2: 24,
  })
})

test.each(['00', '01'])('numbers the temperatures of a Daly battery from its first frame, %s', (number) => {
  expect(positionOf(`(${ID}BS5196:${number}4240)`).attributes).toEqual({ cellTemp1: 26, cellTemp2: 24 })
})

test('reads a battery management system', () => {
  const bytes = Buffer.alloc(88)
  bytes[3] = 2
  bytes.writeUInt16LE(3300, 4)
  bytes.writeUInt16LE(3310, 6)
  bytes[52] = 1
  bytes.writeUInt16LE(125, 53)
  bytes.writeUInt16LE(5020, 55)
  bytes[57] = 88
  bytes[59] = 1
  bytes.writeUInt16LE(42, 63)
  bytes[65] = 3
  bytes[72] = 1
  bytes.set([70, 60, 65, 66], 73)
  bytes.writeUInt16LE(4000, 82)
  bytes.writeUInt32LE(100_000, 84)
  expect(positionOf(`(${ID}BS50${bytes.toString('hex')})`).attributes).toEqual({
    battery1: 3.3,
    battery2: 3.31,
    charge: false,
    current: 12.5,
    battery: 50.2,
    batteryLevel: 88,
    batteryOverheat: false,
    chargeProtection: true,
    dischargeProtection: false,
    cycles: 42,
    faultAlarm: 3,
    powerTemp: 30,
    equilibriumTemp: 20,
    batteryTemp1: 25,
    calibrationCapacity: 40,
    dischargeCapacity: 100_000,
  })
})

test('answers the handshake and the login of devices whose number has 11, 12 or 15 digits', () => {
  for (const id of [ID.slice(1), ID, IMEI]) {
    expect(textsOf(decode(`(${id}BP00${IMEI}HSO)`))).toEqual([`(${id}AP01HSO)`])
    const login = decode(`(${id}BP05${IMEI}${COMPACT})`)
    expect(login.positions).toHaveLength(1)
    expect(textsOf(login)).toEqual([`(${id}AP05)`])
  }
})

test.each([ID.slice(1), `(${ID.slice(1)}`])(
  'finds a device of 11 digits that is registered as %s',
  (registered) => {
    const session = new DeviceSession(tk103, 'tcp', (uniqueId) =>
      uniqueId === registered ? { model: '', options: {} } : undefined,
    )
    decodeFrame(tk103, Buffer.from(`(${ID.slice(1)}BR00${COMPACT})`), session, new PositionBatch(8))
    expect(session.uniqueId).toBe(registered)
    expect(tk103.commands!.engineStop!({}, session)).toBe(`(${ID.slice(1)}AV010)`)
  },
)

test('reads the id and the date of a device that puts a field before the position', () => {
  expect(positionOf(`(${IMEI}BP02,G,2,170304A6015.7466N01101.8460E001.609445591.048,7)`)).toMatchObject({
    device: IMEI,
    fixTime: '2017-03-04T09:44:55.000Z',
    course: 91.048,
  })
})

test('reads a datagram that lacks its parenthesis', () => {
  expect(decode(`(${ID}BR00${COMPACT}`, 'udp').positions).toHaveLength(1)
})

test.each([
  `(${ID}BR00150917A13N10030.9050E036.5103224276.170001000CL000003F9)`,
  `(${ID}BR00150917A1352.9801N10030.9050E)`,
  `(${IMEI},ZC20,180716,144222,6)`,
  `(${IMEI},ZC03,180716,144222,no marks)`,
  `(${IMEI},DW5B,310,6,29876,041217,102211)`,
  `(${ID}BZ00,740,000,xyz,0425,)`,
  `(${ID}BS5001020304)`,
  `(${ID}BS5190:0215zz)`,
  '(nobody)',
])('finds %s malformed', (text) => {
  expect(decode(text)).toMatchObject({ positions: [], error: { code: 'malformed' } })
})

const session = (options: Readonly<Record<string, unknown>> = {}) => {
  const named = new DeviceSession(tk103, 'tcp', () => ({ model: '', options }))
  named.identify(ID)
  return named
}
const ALTERNATIVE = { alternative: true }

test('refuses a command that the form of the device cannot say', () => {
  expect(() => tk103.commands!.powerOff!({}, session())).toThrow('only devices with the option')
  expect(() => tk103.commands!.engineStop!({}, session(ALTERNATIVE))).toThrow('do not know this command')
})

test('refuses what would break out of a command', () => {
  const { commands } = tk103
  expect(() => commands!.custom!({ data: `AP07)(${ID}AV010` }, session())).toThrow(CommandError)
  expect(() => commands!.custom!({ data: '1,[end][begin]' }, session(ALTERNATIVE))).toThrow(CommandError)
  expect(() => commands!.custom!({ data: 'AP07\n' }, session())).toThrow(CommandError)
  expect(() => commands!.outputControl!({ data: '1)' }, session())).toThrow(CommandError)
  const password = session({ ...ALTERNATIVE, devicePassword: '1*2' })
  expect(() => commands!.sosNumber!({ index: 0, phone: '+1' }, password)).toThrow(CommandError)
})

test('refuses values that the protocol has no room for', () => {
  const { commands } = tk103
  expect(commands!.positionPeriodic!({ frequency: 65_535 }, session())).toBe(`(${ID}AR00FFFF0000)`)
  expect(() => commands!.positionPeriodic!({ frequency: 65_536 }, session())).toThrow(CommandError)
  expect(() => commands!.outputControl!({ index: 2, data: '1' }, session())).toThrow(CommandError)
  expect(() => commands!.setOdometer!({ data: '5' }, session())).toThrow(CommandError)
  expect(commands!.setOdometer!({ data: '0' }, session())).toBe(`(${ID}AX01)`)
  const server = { server: 'example.org', port: 5002 }
  expect(() => commands!.setConnection!(server, session(ALTERNATIVE))).toThrow('IPv4')
})

test('sends the password of the device, or the one that devices come with', () => {
  const number = { index: 0, phone: '+15550100' }
  const given = session({ ...ALTERNATIVE, devicePassword: '232323' })
  expect(tk103.commands!.sosNumber!(number, given)).toBe('[begin]sms2,*master*232323*+15550100*,[end]')
  expect(tk103.commands!.sosNumber!(number, session(ALTERNATIVE))).toContain('*123456*')
})
