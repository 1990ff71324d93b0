/** What the recorded reports of Suntech do not hold: the rest of its documents, damage, commands and their answers. */
import { expect, test } from 'vitest'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type Adapter, CommandError, type KnownDevice } from '../adapter.ts'
import { DeviceSession, decodeFrame } from '../decoder.ts'
import { FrameReader } from '../frames.ts'
import { type DecodedLine, RecordedStream } from '../recorded-line.ts'
import { suntech } from './suntech.ts'

const adapter = suntech as Adapter
const RECEIVED_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const PLACE = '+37.478519;+126.886819;000.012;180.50;9;1'
const ST300 = `100850000;01;010;20081017;07:41:56;00100;${PLACE};700;15.30;100000`
const UNIVERSAL =
  '20200219;20:52:25;00008D6C;334;20;0925;24;+20.741764;-103.430364;0.00;0.00;19;1;00000001;00000000'

function decode(text: string, setup: Record<string, unknown> = {}): DecodedLine {
  const bytes = Buffer.from(`${text}\r`, 'latin1').toString('hex')
  return decodeHex(bytes, setup)
}

function decodeHex(bytes: string, setup: Record<string, unknown> = {}): DecodedLine {
  const line = { protocol: 'suntech', stream: 1, transport: 'tcp', bytes, setup } as const
  return new RecordedStream(adapter).decode(line, RECEIVED_MS)
}

function framesOf(...pieces: Buffer[]): string[] {
  const reader = new FrameReader(adapter, 'tcp')
  const frames: string[] = []
  for (const piece of pieces) {
    reader.push(piece)
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      frames.push(frame.toString('latin1'))
    }
  }
  return frames
}

/** A session of a device that sent `reports`. */
function sessionAfter(...reports: string[]): DeviceSession {
  const device: KnownDevice = { model: '', options: {} }
  const session = new DeviceSession(adapter, 'tcp', () => device)
  for (const report of reports) decodeFrame(adapter, Buffer.from(report), session, new PositionBatch(8))
  return session
}

test('keeps a CR and a semicolon in the data of the serial port', () => {
  const report = Buffer.from(`ST300UEX;${ST300};9;a;\rb\n;\r\r;5C`)
  const next = Buffer.from('ST300ALV;100850000')
  const stream = Buffer.concat([report, Buffer.from('\r\n'), next, Buffer.from('\r')])
  const frames = [report.toString(), next.toString()]
  expect(framesOf(stream)).toEqual(frames)
  for (let cut = 1; cut < stream.length; cut++) {
    expect(framesOf(stream.subarray(0, cut), stream.subarray(cut)), String(cut)).toEqual(frames)
  }
})

test('counts an escaped byte of the serial port as one, and keeps its escape', () => {
  // The bytes `A 00 CR 01 B`.
  const { positions, error } = decode(`ST300UEX;${ST300};5;A\x01\x10\r\x01\x11B;0F;000276;4.2;0`, { hbm: 1 })
  expect(error).toBeNull()
  expect(positions[0]!.attributes).toMatchObject({
    serial: 'A\x01\x10\r\x01\x11B',
    hours: 276 * 60_000,
    battery: 4.2,
    archive: true,
  })
})

test('adds up what the probes of the fuel say', () => {
  const { positions } = decode(`ST300UEX;${ST300};40;CabAVL"CabMensaje,0,58.5,12,,,FinMensaje";B1`)
  expect(positions[0]!.attributes).toMatchObject({ fuel1: 58.5, fuel2: 12, fuel: 70.5 })
})

test('reads fuel and temperature of probes that leave room before a number', () => {
  const { positions } = decode(`ST300UEX;${ST300};24;t_0= 1C;N_0=0419.0;Q_D=09\r\n;B1`)
  expect(positions[0]!.attributes).toMatchObject({ temp0: 28, fuel0: 0x419, drivingQuality: 9 })
})

test.each([
  ['ST300ALT', 1, 'overspeed'],
  ['ST300ALT', 41, 'powerCut'],
  ['ST300ALT', 50, 'jamming'],
  ['ST300ALT', 99, undefined],
  ['ST300EMG', 2, 'parking'],
  ['ST300EMG', 6, 'door'],
  ['ST300EMG', 8, 'vibration'],
])('reads the number of %s;…;%d', (type, number, alarm) => {
  const { positions } = decode(`${type};${ST300};${number}`)
  expect(positions[0]!.attributes.alarm).toBe(alarm)
})

test('reads the report of a device that gives no model, and no cell', () => {
  const { positions } = decode(
    'ST300STT;100850000;010;20090724;07:12:16;00129;+37.1;+126.885815;0;0;7;1;0;15.33;100000;2;0002',
  )
  expect(positions).toMatchObject([
    { latitude: 37.1, attributes: { versionFw: '010', power: 15.33, index: 2 } },
  ])
  const [bare] = decode(`ST500STT;1;07;843;20170816;23:24:45;${PLACE};5;12.89;0;0;1`).positions
  expect(bare).toMatchObject({
    course: 180.5,
    attributes: { versionFw: '843', odometer: 5, status: 0, index: 1 },
  })
})

test('reads the cell of a device that is set up to report it, with and without a driver', () => {
  const cells = [{ mcc: 724, mnc: 5, lac: 1351, cid: 23675, rssi: -75 }]
  const tail = '23675;724;5;-75;1351;1'
  const without = decode(`ST300STT;${ST300};1;1306;069596;4.1;1;${tail}`, { hbm: 2 })
  expect(without.positions[0]!.network).toMatchObject({ cellTowers: cells })
  const driver = decode(`ST300STT;${ST300};1;1306;069596;4.1;1;01B5;0;${tail}`, { hbm: 2 })
  expect(driver.positions[0]).toMatchObject({
    attributes: { driverUniqueId: '01B5' },
    network: { cellTowers: cells },
  })
})

test('reads an ST900 with its cell and odometer, and an alert of one without a version', () => {
  const place = '3af54e5331;+19.301833;-099.190657;000.246;000.00;1;28462;80'
  expect(decode(`ST910;Location;907510186;552;20180504;23:15:45;${place}`).positions).toMatchObject([
    { latitude: 19.301833, valid: true, attributes: { versionFw: '552', odometer: 28_462 } },
  ])
  expect(decode(`ST910;Alert;907510186;20180504;23:15:45;${place}`).positions).toMatchObject([
    { longitude: -99.190657, attributes: { alarm: 'general', odometer: 28_462 } },
  ])
})

test('reads as many fields as the report map of the universal protocol has bits', () => {
  // Date, time, place and fix.
  const { positions } = decode('STT;0560001616;011830;20200219;20:52:25;+20.741764;-103.430364;0')
  expect(positions).toEqual([
    {
      device: '0560001616',
      deviceTime: '2020-02-19T20:52:25.000Z',
      fixTime: '2020-02-19T20:52:25.000Z',
      valid: false,
      latitude: 20.741764,
      longitude: -103.430364,
      altitude: 0,
      speed: 0,
      course: 0,
      attributes: { type: 'STT' },
    },
  ])
})

test('reads what is assigned by its map, and what is left by its place', () => {
  const { positions } = decode(
    `ALT;0560001616;FFFFFF;56;1.0.15;1;${UNIVERSAL};42;;;;00008003;4.1;;136598;x;;y`,
  )
  expect(positions[0]!.attributes).toMatchObject({
    alarm: 'sos',
    io1: '4.1',
    io16: '136598',
    assign1: 'x',
    assign3: 'y',
  })
  expect(positions[0]!.attributes).not.toHaveProperty('io2')
  expect(positions[0]!.attributes).not.toHaveProperty('alertModifier')
})

/** Zip report of the ST300 series: 12.5° S, 45.25° W, 38.5 km/h, fixed by 6 satellites. */
const zip = (type: string, tail: string) => {
  const body = `${type}511340877028813f180c17001604105129${'0c500000'}${'2d250000'}${'002650'}${'001a30'}e6${'01665e56'}${'0c40'}21${tail}`
  return `02${(body.length / 2).toString(16).padStart(4, '0')}${body}03`
}

test('reads an alert and an emergency in the zip form', () => {
  const { positions } = decodeHex(zip('13', '2900000002041000') + zip('11', '01'))
  expect(positions).toMatchObject([
    {
      device: '511340877',
      fixTime: '2024-12-23T00:22:04.000Z',
      valid: true,
      latitude: -12.5,
      longitude: -45.25,
      speed: 38.5,
      course: 26.3,
      attributes: {
        alarm: 'powerCut',
        event: 41,
        sat: 6,
        power: 12.4,
        ignition: true,
        in1: false,
        out2: true,
        hours: 120_000,
        battery: 4.1,
        archive: true,
      },
    },
    { attributes: { alarm: 'sos', event: 1 } },
  ])
})

test('reads number, engine time and cell of a status in the zip form', () => {
  const tail = '010075000271270400015c7b02d405004b0547ff'
  const [position] = decodeHex(zip('10', tail), { hbm: 2 }).positions
  expect(position).toMatchObject({
    attributes: { event: 1, index: 117, hours: 160_039 * 60_000, battery: 4 },
    network: { cellTowers: [{ mcc: 724, mnc: 5, lac: 1351, cid: 23_675, rssi: -75 }] },
  })
})

test('reads the mode and the number of a status of the universal protocol in its zip form', () => {
  const body = '0580000055381830180c0a0b0c0d00470eb4846a0681020300a8'
  expect(decodeHex(`81${(body.length / 2).toString(16).padStart(4, '0')}${body}`).positions).toMatchObject([
    {
      device: '0580000055',
      latitude: 4.65682,
      longitude: -74.057345,
      attributes: { mode: 2, reason: 3, index: 168 },
    },
  ])
})

test('takes what a device says of a command for its answer', () => {
  const session = sessionAfter('ST300CMD;Res;511848119;319H;Disable1', 'RES;511848119;04;02;done', '-Error')
  expect(session.answers).toEqual([
    { ok: true, text: '319H;Disable1' },
    { ok: true, text: '04;02;done' },
    { ok: false, text: '-Error' },
  ])
})

test.each([
  ['no report at all', 'hello;100850000'],
  ['an id of other characters', `ST300STT;1008 50000${ST300.slice(9)};1;1`],
  ['a report without a place', 'ST300STT;100850000;01;010;20081017;07:41:56;00100'],
  ['a report without a time', `ST300STT;100850000;01;010;;;00100;${PLACE};0;15.30;100000;1;0072`],
  ['a report that ends too early', `ST300STT;100850000;01;010;20081017;07:41:56;00100;${PLACE}`],
  ['a map that is none', `STT;0560001616;;56;1.0.15;1;${UNIVERSAL};2;1;1765`],
  ['a place of no numbers', `STT;0560001616;001800;north;west`],
  [
    'more beacons than there are',
    'BLE;0820012345;82;1.0.0;20191203;17:00:51;+32.6;-117.2;2;-32;-100;33;AABB;12;18;52',
  ],
  ['a cell of no numbers', `ST410STT;109815653;445;03;${'x;'.repeat(50)}`],
])('refuses %s', (_, text) => {
  const { positions, error } = decode(text)
  expect(positions).toEqual([])
  expect(error?.code).toBe('malformed')
})

test('takes no device and no form of commands from a line of an answer', () => {
  const session = sessionAfter('ST300CMD;Res;100850000;010;Preset;', 'NTW;0;internet;;;111.111.111.111;8600')
  expect(session.uniqueId).toBe('100850000')
  expect(adapter.commands!.rebootDevice!({}, session)).toBe('ST300CMD;100850000;02;Reboot\r')
})

test('says that it does not read crash reports', () => {
  expect(decode('CRR;0910000063;1;1;0150;...').error?.code).toBe('unsupported')
})

test('keeps a report without a place as one', () => {
  const { positions } = decode(
    `STT;0560001616;3FFFFF;56;1.0.15;1;${UNIVERSAL.replace('+20.741764;-103.430364', ';')};2;1;1765`,
  )
  expect(positions).toMatchObject([
    { noFix: true, deviceTime: '2020-02-19T20:52:25.000Z', attributes: { index: 1765 } },
  ])
})

test.each([
  ['*HQ,4106004132,V1', false],
  ['ST300STT,1008', false],
  ['STT;056000', true],
  ['STT;05x', false],
  ['ST910;Loc', true],
  ['ST910Loc', false],
  ['SA200A', undefined],
  ['-Err', undefined],
  ['\x02\x00\x32\x10\x51\x13\x40\x87\x70', true],
  ['\x02\x01\x32', false],
  ['\x81\x00\x4e\x05\x2a', false],
])('knows whether %j may begin a stream', (text, starts) => {
  expect(suntech.starts!(Buffer.from(text, 'latin1'), 'tcp')).toBe(starts)
})

test('gives commands in the form of the reports that the device sends', () => {
  const { commands } = adapter
  const of = (report: string) => {
    const session = sessionAfter(report)
    return [
      commands!.engineStop!({}, session),
      commands!.alarmDisarm!({}, session),
      commands!.positionSingle!({}, session),
      commands!.outputControl!({ index: 3, data: '1' }, session),
      commands!.outputControl!({ data: '0' }, session),
    ]
  }
  expect(of('ST600ALV;008728327')).toEqual([
    'ST600CMD;008728327;02;Enable1\r',
    'ST600CMD;008728327;02;Disable2\r',
    'ST600CMD;008728327;02;StatusReq\r',
    'ST600CMD;008728327;02;Enable3\r',
    'ST600CMD;008728327;02;Disable1\r',
  ])
  expect(of('ALV;0560001616')).toEqual([
    'CMD;0560001616;04;01\r',
    'CMD;0560001616;04;04\r',
    'CMD;0560001616;03;01\r',
    'CMD;0560001616;04;09\r',
    'CMD;0560001616;04;02\r',
  ])
})

test('sends the command of an operator as one line', () => {
  const session = sessionAfter('ST300ALV;1')
  const { custom, outputControl } = adapter.commands!
  expect(custom!({ data: 'ST300CMD;1;02;Preset' }, session)).toBe('ST300CMD;1;02;Preset\r')
  expect(() => custom!({ data: 'ST300CMD;1;02;Preset\rST300CMD;2;02;Reboot' }, session)).toThrow(CommandError)
  expect(() => outputControl!({ index: 4, data: '1' }, session)).toThrow(CommandError)
  expect(() => outputControl!({ index: 0, data: '1' }, session)).toThrow(CommandError)
  expect(() => outputControl!({ index: 1, data: '1\r' }, session)).toThrow(CommandError)
})
