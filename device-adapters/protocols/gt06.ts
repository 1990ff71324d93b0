/**
 * GT06: Concox and Jimi trackers and their many clones.
 *
 * Short frame: 78 78 | length u8  | type u8 | content | serial u16 | crc u16 | 0D 0A
 * Long frame:  79 79 | length u16 | type u8 | content | serial u16 | crc u16 | 0D 0A
 *
 * Length counts type to crc; the crc covers length to serial. All numbers are big-endian, all times UTC:
 * the time zone of the login is the one that the device shows to its user. The server answers with an empty
 * message of the same type and serial number.
 *
 * The content is a row of blocks, each of which is one function: MESSAGES gives the blocks of each type, VARIANTS
 * those of devices that fill a type otherwise, told by the length of the message or the model of the device.
 *
 * A message that can be read is kept with a wrong checksum, but marked: devices, and the vendor's own example of a
 * location (GT06 v1.8.1), have it, and a refused message is sent again for ever. It decides what cannot be read:
 * with a wrong one the message is damaged; with a right one a clone has other blocks after the fix, which stands.
 */
import { QUALITY } from '../../schemas/quality.ts'
import { CommandError, DecodeError, defineAdapter, type Session } from '../adapter.ts'
import { latin1, passwordOf } from '../command-text.ts'
import { alert, status, statusVxt01, wideAlert } from './gt06/alarms.ts'
import {
  accModeStored,
  altitude,
  battery,
  dated,
  datedSeconds,
  field,
  flag,
  generationLbs,
  gps,
  hexField,
  LTE,
  lbs,
  optionalGps,
  remainder,
  sizedLbs,
  skip,
  undated,
} from './gt06/blocks.ts'
import {
  encode,
  FRAME_MAX_BYTES,
  frameBytes,
  hasValidChecksum,
  isFrame,
  isLong,
  isMeasured,
  startsFrame,
  typeOf,
} from './gt06/frame.ts'
import { bluetoothClock, commandAnswer, encodedAnswer, information, serialPort } from './gt06/information.ts'
import { login } from './gt06/login.ts'
import { type Block, Message } from './gt06/message.ts'
import { familyOf } from './gt06/models.ts'
import { az735, deviceStatus, modular, peripherals, reportModules } from './gt06/modules.ts'
import { photoAnnounced, photoPart, photoRequest } from './gt06/photo.ts'
import { type Answer, echo, echoDate, echoLong, noAddress, none, serverTime } from './gt06/replies.ts'
import type { Family, Gt06State } from './gt06/state.ts'
import { cells, wifiAlarm, wifiBcd, wifiScan } from './gt06/towers.ts'
import {
  BATTERY_SYSTEM,
  benwayInputs,
  camera,
  card,
  cardReader,
  driver,
  heartbeat,
  heartbeatObd,
  heartbeatTemperature,
  iButton,
  motion,
  obd,
  powerTenths,
  signed,
  x1,
} from './gt06/vehicle.ts'

/** How a message is read and answered. */
interface Layout {
  /** In the order of the content. What a device leaves off at the end is not read. */
  readonly blocks: readonly Block[]
  /** {@link echo} if not given. */
  readonly answer?: Answer
  /** The row has the type of the message, as `type`. */
  readonly typed?: true
}

/** A position or a status: what follows its blocks is told by its length. */
function report(...blocks: readonly Block[]): Layout {
  return { blocks: [...blocks, remainder], typed: true }
}

/** Any other message. */
function plain(...blocks: readonly Block[]): Layout {
  return { blocks }
}

function answered(answer: Answer, ...blocks: readonly Block[]): Layout {
  return { blocks, answer }
}

const language = skip(1)
const terminalId = skip(8)
const ignition = flag('ignition')
const odometer = field('odometer', 'u32')
const power = field('power', 'u16', 0.01)
const batteryVolts = field('battery', 'u16', 0.01)
const batteryTenths = field('battery', 'u8', 0.1)
const rssi = field('rssi', 'u8')
const geofence = field('geofence', 'u8')
const hours = field('hours', 'u32', 1000)
const hoursOfMinutes = field('hours', 'u24', 60_000)

/** After the alert of S5: fuel sensor, temperature, mileage in 10 m. */
const oilTemperatureMileage = [field('oil', 'u16'), signed('temp1', 'u8', 1), field('odometer', 'u32', 10)]

/** After the mileage of Seeworld: time under way, temperature, humidity. */
const climate = [skip(4), signed('temp1', 'u16', 100), field('humidity', 'u16', 0.01)]

/** After the status of GL21L. */
const pedometer = [skip(3), rssi, field('power', 'u8'), skip(3), field('steps', 'u32'), battery, motion]

/** After the LBS of Jimi with an iButton. */
const driverReport = [
  ignition,
  field('uploadMode', 'u8'),
  flag('archive'),
  odometer,
  power,
  batteryTenths,
  hoursOfMinutes,
  hexField('driverUniqueId', 8),
]

/** After the battery of LW4G. */
const lw4gEnd = [rssi, alert, language, odometer, hours, terminalId, field('input', 'u16')]

const MESSAGES: ReadonlyMap<number, Layout> = new Map([
  [0x01, plain(login)],
  // Positions.
  [0x10, report(gps)],
  [0x11, report(gps, lbs({ mnc: 2, cid: 4 }))],
  [0x12, report(gps, lbs())],
  [0x1a, report(gps)],
  [0x1e, report(gps)],
  [0x22, report(gps, lbs(), accModeStored)],
  [0x2d, report(gps, lbs(), accModeStored)],
  [0x31, report(gps, lbs(), accModeStored)],
  [0x34, answered(none, skip(4), gps, x1)],
  [0x37, report(gps, lbs(), accModeStored, reportModules)],
  [0x38, answered(none, gps, skip(2), generationLbs, reportModules)],
  [0x61, plain(terminalId, gps, lbs({ cid: 4 }), iButton)],
  [0x70, plain(modular)],
  [0xa0, report(gps, lbs(LTE))],
  // Alarms.
  [0x16, report(gps, sizedLbs(), status, battery, rssi, alert)],
  [0x19, report(undated, lbs(), status, battery, rssi, alert)],
  [0x26, report(gps, sizedLbs(), status, battery, rssi, alert)],
  [0x27, report(gps, sizedLbs(), status, battery, rssi, wideAlert, geofence)],
  [0x32, report(gps, sizedLbs(), status, battery, rssi, alert)],
  [0x39, report(gps, generationLbs, status, battery, rssi, wideAlert, reportModules)],
  [0x95, plain(camera)],
  [0xa3, report(gps, sizedLbs(LTE), status, battery, rssi, alert)],
  [0xa4, report(gps, sizedLbs(LTE), status, battery, rssi, wideAlert, geofence)],
  [0xa5, report(undated, lbs(LTE), status, battery, rssi, alert)],
  [0xa7, report(undated, lbs(LTE))],
  // Status.
  [0x13, report(undated, status, battery, rssi, alert)],
  [0x23, plain(undated, heartbeat)],
  [0x36, report(undated, status, battery, rssi, alert, language, reportModules)],
  [0x40, plain(...BATTERY_SYSTEM)],
  [0x8c, answered(none, obd)],
  [0x94, answered(none, undated, power)],
  [0xf1, plain(datedSeconds, deviceStatus)],
  [0xf2, plain(datedSeconds, peripherals)],
  // Towers and access points where there is no fix.
  [0x17, answered(echoDate, wifiBcd)],
  [0x18, plain(dated, cells({ wifi: true }))],
  [0x24, plain(dated, cells())],
  [0x28, plain(dated, cells())],
  [0x2c, plain(dated, cells({ wifi: true }))],
  [0x2e, plain(dated, cells())],
  [0x33, plain(dated, cells({ cid: 4, count: 6, wifi: true }))],
  [0x69, answered(echoDate, wifiBcd)],
  [0xa1, plain(dated, cells({ lte: true }))],
  [0xa2, plain(dated, cells({ lte: true, wifi: true }))],
  [0xa9, plain(dated, wifiAlarm)],
  [0xf3, answered(none, dated, wifiScan)],
  // Text, and bytes of what is behind the device.
  [0x15, plain(commandAnswer)],
  [0x21, plain(encodedAnswer)],
  [0x9b, answered(none, serialPort)],
  [0xb2, plain(bluetoothClock)],
  // Requests, commands that come back, files.
  [0x2a, answered(noAddress)],
  [0x35, answered(photoRequest, photoAnnounced)],
  [0x41, answered(echoLong)],
  [0x80, answered(none)],
  [0x81, answered(none)],
  [0x82, answered(none)],
  [0x8a, answered(serverTime)],
])

/** Types that mean something else in long frames; the others are as in short ones. */
const LONG_MESSAGES: ReadonlyMap<number, Layout> = new Map([
  [0x32, answered(echoLong, optionalGps, az735)],
  [0x33, answered(echoLong, optionalGps, az735)],
  [0x36, answered(photoRequest, photoPart)],
  [0x94, answered(none, information)],
])

/** Types that are not known: the devices of short frames wait for an answer. */
const UNKNOWN = plain()
const UNKNOWN_LONG = answered(none)

/** What a device does otherwise, told by its model or by the value of the length field. */
interface Variant extends Layout {
  readonly type: number
  readonly family?: Family
  readonly length?: number
  readonly lengthMin?: number
}

/** NT and XT: source u8, IMEI, date of the device, then a report with voltages and engine hours. */
const ntHead = [skip(1), terminalId, skip(6), gps]
const ntStatus = [
  status,
  power,
  batteryTenths,
  rssi,
  alert,
  language,
  field('odometer', 'u24'),
  hoursOfMinutes,
]
const ntReport = report(...ntHead, sizedLbs(), ...ntStatus)

/** SL4X: network code of two bytes, cell id of four. */
const sl4x = { mnc: 2, cid: 4 } as const

/** Of short frames. The first of a type that holds counts. */
const VARIANTS: readonly Variant[] = [
  { type: 0x12, family: 'qh302r', ...report(terminalId, gps, lbs()) },
  // Benway.
  { type: 0x12, length: 0x21, ...report(gps, lbs(), benwayInputs) },
  // VXT01.
  { type: 0x12, length: 0x24, ...report(gps, lbs(), statusVxt01, power, rssi, skip(1)) },
  { type: 0x16, length: 0x24, ...report(gps, lbs(), statusVxt01, battery, rssi, skip(1)) },
  // Wetrust.
  { type: 0x12, length: 0x29, ...report(gps, lbs(), odometer, card, cardReader) },
  // S5.
  { type: 0x12, length: 0x2b, ...report(gps, lbs(), status, power, rssi, alert, ...oilTemperatureMileage) },
  // GT06E with a card reader.
  { type: 0x12, lengthMin: 0x71, ...report(gps, lbs(), odometer, card, skip(2)) },
  { type: 0x13, family: 'r11', ...report(undated, status, power, rssi, alert) },
  { type: 0x13, family: 'lw', ...report(undated, status, battery, rssi, powerTenths) },
  { type: 0x13, family: 'seeworld', ...report(undated, status, battery, rssi, field('power', 'u8')) },
  // OBD6.
  { type: 0x13, length: 0x13, ...report(undated, status, heartbeatObd) },
  { type: 0x13, length: 0x15, ...plain(undated, heartbeatTemperature) },
  // RFID reader.
  { type: 0x17, length: 0x28, ...report(gps, lbs(), hexField('driverUniqueId', 8), skip(1)) },
  // Space10X: a list of towers whose layout is not published.
  { type: 0x19, lengthMin: 0x17, ...answered(none) },
  // NT and XT.
  { type: 0x22, family: 'nt', ...ntReport },
  { type: 0x22, length: 0x3c, ...ntReport },
  { type: 0x25, ...report(...ntHead, sizedLbs({ cid: 4 }), ...ntStatus, driver) },
  // Seeworld.
  { type: 0x16, length: 0x26, ...report(gps, sizedLbs({ cid: 4 }), status, battery, rssi, alert) },
  { type: 0x22, length: 0x2f, ...report(gps, lbs({ cid: 4 }), ignition, skip(2), odometer, ...climate) },
  { type: 0xa3, length: 0x0c, ...report(undated, status, battery, rssi, alert) },
  { type: 0xa3, length: 0x18, ...report(undated, status, ...pedometer) },
  // SR411 Mini.
  { type: 0x24, length: 0x2e, ...answered(none, gps, lbs(), ignition, power, batteryVolts) },
  // WanWay S20.
  { type: 0x24, length: 0x31, ...plain(dated, cells({ advanceFirst: true, counted: true })) },
  // SL4X.
  { type: 0x31, length: 0x2a, ...report(gps, lbs(sl4x), accModeStored, odometer, altitude) },
  { type: 0x32, length: 0x27, ...report(gps, sizedLbs(sl4x), status, battery, rssi, alert, language) },
  {
    type: 0x32,
    length: 0x29,
    ...report(gps, sizedLbs(sl4x), status, battery, rssi, alert, language, altitude),
  },
  { type: 0x34, length: 0x37, ...plain(dated, cells({ ...sl4x, advanceFirst: true })) },
  // Jimi with an iButton.
  { type: 0x36, length: 0x35, ...plain(gps, lbs({ cid: 4 }), ...driverReport) },
  // LW4G: a network indicator before the status.
  { type: 0xa2, length: 0x40, ...report(gps, lbs(LTE), skip(1), status, power, battery, ...lw4gEnd) },
]

const VARIANTS_BY_TYPE: ReadonlyMap<number, readonly Variant[]> = new Map(
  VARIANTS.map(({ type }) => [type, VARIANTS.filter((variant) => variant.type === type)]),
)

export const gt06 = defineAdapter<Gt06State>({
  id: 'gt06',
  version: 2,
  makers: ['Concox', 'Jimi', 'many others'],
  source: 'Concox GT06 GPS tracker communication protocol v1.8.1; Jimi JM-VL03 protocol V1.1.2',
  listen: { tcp: 5023 },
  options: {
    alternative: '`true`: relay commands are those of clones, with the password',
    language: '`true`: commands ask for answers in English',
  },
  maxFrameBytes: FRAME_MAX_BYTES,

  starts: startsFrame,

  open: () => ({ photo: undefined, family: undefined, familyOf: undefined }),

  frame: frameBytes,

  decode(frame, session, out) {
    if (!isFrame(frame)) throw new DecodeError('malformed', 'neither 78 78 nor 79 79, or too short')
    const { blocks, typed } = layoutOf(frame, session)
    const message = new Message(frame, session, out)
    const firstRow = out.length
    try {
      for (const block of blocks) {
        // The first block begins the row, and must be there.
        if (message.left <= 0 && message.hasRow) break
        block(message)
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      if (!hasValidChecksum(frame)) throw new DecodeError('checksum', error.message)
      if (!message.hasRow) throw error
    }
    if (typed) message.set('type', message.type)
    if (isMeasured(frame) && !hasValidChecksum(frame)) {
      for (let row = firstRow; row < out.length; row++) out.quality[row]! |= QUALITY.checksum
    }
  },

  ack(frame, session) {
    return (layoutOf(frame, session).answer ?? echo)(frame, session)
  },

  commands: {
    engineStop: (_, session) => relayCommand(session, 'Relay,1#', 'DYD'),
    engineResume: (_, session) => relayCommand(session, 'Relay,0#', 'HFYD'),
    custom: ({ data }, session) => textCommand(data, session),
  },
})

/** What a length field of one byte leaves: 255 − type, text length, flag, serial number, checksum. */
const COMMAND_MAX_BYTES = 245

/** Relay commands of clones: by the option `alternative`, with the device's password; of a G109 without one. */
function relayCommand(session: Session, standard: string, clone: string): Buffer {
  if (session.device?.model === 'G109') return textCommand(`${clone}#`, session)
  const alternative = session.device?.options.alternative === true
  return textCommand(alternative ? `${clone},${passwordOf(session, '123456')}#` : standard, session)
}

function layoutOf(frame: Buffer, session: Session<Gt06State>): Layout {
  const type = typeOf(frame)
  if (isLong(frame)) return LONG_MESSAGES.get(type) ?? MESSAGES.get(type) ?? UNKNOWN_LONG
  const variants = VARIANTS_BY_TYPE.get(type)
  if (variants !== undefined) {
    const length = frame[2]!
    const family = familyOf(session)
    for (const variant of variants) {
      if (variant.family !== undefined && variant.family !== family) continue
      if (variant.length !== undefined && variant.length !== length) continue
      if (variant.lengthMin !== undefined && variant.lengthMin > length) continue
      return variant
    }
  }
  return MESSAGES.get(type) ?? UNKNOWN
}

/**
 * Command 0x80: length u8 of flag and text, server flag u32, text. The device answers with 0x15 or 0x21, and the
 * same flag.
 * @throws CommandError if the text does not fit into a short frame, or has no bytes there.
 */
function textCommand(text: string, session: Session): Buffer {
  // Option `language` of a device: it shall answer in English, 2.
  const language = session.device?.options.language === true ? [0, 2] : []
  const bytes = [...Buffer.from(latin1(text), 'latin1'), ...language]
  if (bytes.length > COMMAND_MAX_BYTES) {
    throw new CommandError(`a command has at most ${COMMAND_MAX_BYTES} characters, got ${bytes.length}`)
  }
  const content = Buffer.from([4 + text.length, 0, 0, 0, 0, ...bytes])
  content.writeUInt32BE(session.commandSerial, 1)
  return encode(0x80, content, 0)
}
