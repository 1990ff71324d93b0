/**
 * Teltonika Codec 8 over TCP, as a tracker sends it: positions with six elements each, seeded. Layout: see
 * device-adapters/protocols/teltonika.ts.
 */
import { crc16Ibm } from '../device-adapters/checksums.ts'
import { seededRandom } from '../test/seeded-random.ts'
import { SEED } from './measure.ts'

/** GPS part, then 3 elements of 1 byte, 2 of 2, 1 of 4, none of 8. */
const RECORD_BYTES = 24 + 2 + (1 + 3 * 2) + (1 + 2 * 3) + (1 + 5) + 1

const IGNITION = 239
const MOVEMENT = 240
const GSM_SIGNAL = 21
const EXTERNAL_VOLTAGE_MV = 66
const BATTERY_VOLTAGE_MV = 67
const TOTAL_ODOMETER_M = 16

/** Name of the device of that number. */
export function imeiOf(device: number): string {
  return String(350_000_000_000_000 + device)
}

export function loginOf(device: number): Buffer {
  const imei = imeiOf(device)
  const login = Buffer.alloc(2 + imei.length)
  login.writeUInt16BE(imei.length)
  login.write(imei, 2, 'latin1')
  return login
}

/** Degrees of latitude in units of the protocol, and metres that they are. */
const UNITS_PER_DEG = 1e7
export const METRES_PER_DEG = 111_195

/** A way straight to the north, in place of one that wanders. */
export interface StraightWay {
  readonly metresPerRecord: number
  /** Records that the device has sent on this way before. */
  readonly recordsBefore: number
}

/** Where the {@link StraightWay} of a device begins, degrees: those of neighbours are 700 m apart. */
export function wayStartOf(device: number): { latitudeDeg: number; longitudeDeg: number } {
  return { latitudeDeg: 50, longitudeDeg: 10 + device / 100 }
}

/** A tracker that drives about; each record is of `stepMs` later than the one before. */
export class TeltonikaTrack {
  private readonly random: () => number
  private readonly stepMs: number
  private timeMs: number
  private latitude: number
  private longitude: number
  private odometerM = 100_000
  /** To the north a record; undefined = it wanders. */
  private readonly straightStep: number | undefined

  /**
   * @param startMs Time of the first record, ms UTC.
   * @param way undefined = within some hundred metres of the start.
   */
  constructor(device: number, startMs: number, stepMs: number, way?: StraightWay) {
    this.random = seededRandom(SEED + device)
    this.timeMs = startMs
    this.stepMs = stepMs
    this.latitude = 500_000_000 + (device % 37) * 1_000_000
    this.longitude = 100_000_000 + (device % 50) * 1_000_000
    if (way === undefined) return
    const { latitudeDeg, longitudeDeg } = wayStartOf(device)
    this.straightStep = Math.round((way.metresPerRecord / METRES_PER_DEG) * UNITS_PER_DEG)
    this.latitude = Math.round(latitudeDeg * UNITS_PER_DEG) + way.recordsBefore * this.straightStep
    this.longitude = Math.round(longitudeDeg * UNITS_PER_DEG)
  }

  /** The next `records` records as one packet. */
  packet(records: number): Buffer {
    const dataBytes = 3 + records * RECORD_BYTES
    const packet = Buffer.alloc(8 + dataBytes + 4)
    packet.writeUInt32BE(dataBytes, 4)
    packet[8] = 8
    packet[9] = records
    for (let i = 0; i < records; i++) this.write(packet, 10 + i * RECORD_BYTES)
    packet[8 + dataBytes - 1] = records
    packet.writeUInt32BE(crc16Ibm(packet, 8, 8 + dataBytes), 8 + dataBytes)
    return packet
  }

  private write(packet: Buffer, start: number): void {
    const { random } = this
    if (this.straightStep !== undefined) this.latitude += this.straightStep
    else {
      this.latitude += Math.round((random() - 0.5) * 2000)
      this.longitude += Math.round((random() - 0.5) * 2000)
    }
    this.odometerM += 15
    packet.writeUInt32BE(Math.floor(this.timeMs / 2 ** 32), start)
    packet.writeUInt32BE(this.timeMs % 2 ** 32, start + 4)
    this.timeMs += this.stepMs
    packet.writeInt32BE(this.longitude, start + 9)
    packet.writeInt32BE(this.latitude, start + 13)
    packet.writeInt16BE(100 + Math.floor(random() * 300), start + 17)
    packet.writeUInt16BE(Math.floor(random() * 360), start + 19)
    packet[start + 21] = 7 + Math.floor(random() * 8)
    packet.writeUInt16BE(Math.floor(random() * 100), start + 22)
    let at = start + 24
    const byte = (value: number) => {
      packet[at++] = value
    }
    byte(0)
    byte(6)
    byte(3)
    for (const [id, value] of [
      [IGNITION, 1],
      [MOVEMENT, 1],
      [GSM_SIGNAL, Math.floor(random() * 6)],
    ] as const) {
      byte(id)
      byte(value)
    }
    byte(2)
    byte(EXTERNAL_VOLTAGE_MV)
    at = packet.writeUInt16BE(12_000 + Math.floor(random() * 2000), at)
    byte(BATTERY_VOLTAGE_MV)
    at = packet.writeUInt16BE(3900 + Math.floor(random() * 200), at)
    byte(1)
    byte(TOTAL_ODOMETER_M)
    packet.writeUInt32BE(this.odometerM, at)
  }
}
