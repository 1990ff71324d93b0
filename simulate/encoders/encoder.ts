/**
 * What a protocol's encoder is: the device's side of the wire, written from the protocol's document and sharing only
 * checksums with the server's decoders, so that a misreading of a field on one side shows on the other.
 */

/** What a simulated device reports of one moment. */
export interface Report {
  /** Number that the device gives the report, 1..65535 and then 1 again; stays the same when it is sent again. */
  readonly serial: number
  /** ms UTC; some protocols send whole seconds, see {@link EncoderBase.timeStepMs}. */
  readonly fixTimeMs: number
  readonly latitudeDeg: number
  readonly longitudeDeg: number
  /** Metres above mean sea level; undefined where the recording has none. */
  readonly altitudeM: number | undefined
  readonly speedKmh: number
  /** Clockwise from true north, 0..360. */
  readonly courseDeg: number
  readonly satellites: number
  readonly ignition: boolean
  readonly odometerM: number
  /** Supply of the vehicle. */
  readonly powerV: number
  /** Battery of the device. */
  readonly batteryV: number
  /** Bars of the mobile network, 0..4. */
  readonly signalBars: number
}

interface EncoderBase {
  /** Id of the adapter that reads it. */
  readonly protocol: string
  /** Customary port. */
  readonly port: number
  /** Smallest step of the time of a fix on the wire, ms. */
  readonly timeStepMs: number
  /** Whether devices are named by an IMEI. */
  readonly namedByImei: boolean
  /** Most reports that a device sends before it waits for their acknowledgement. */
  readonly reportsMax: number
}

/** A protocol of frames over TCP or UDP. */
export interface FrameEncoder extends EncoderBase {
  readonly transport: 'tcp' | 'udp'
  /** The server answers no report: one counts as acknowledged once it is written. */
  readonly unanswered?: true
  /** First frame of a connection; without it the device may send at once. */
  login?(uniqueId: string): Buffer
  /** What a device sends now and then, without waiting for an answer. */
  heartbeat?(): Buffer
  /** Frames for `reports`, which are {@link EncoderBase.reportsMax} at most. */
  frames(uniqueId: string, reports: readonly Report[]): Buffer[]
  /** Reads what the server sent, of which `bytes` is the not yet read part, never empty; undefined if more bytes are needed. */
  answer(bytes: Buffer, loggedIn: boolean): Answer | undefined
}

/** One message of the server to a device. */
export interface Answer {
  /** Bytes that it takes. */
  readonly length: number
  /** `other` is a message that the device does not wait for, such as a command. */
  readonly kind: 'logged-in' | 'refused' | 'stored' | 'other'
  /** With `stored`: the report that it acknowledges, by its serial, or how many in their order. */
  readonly stored?: { readonly serial: number } | { readonly count: number }
}

/** A protocol of HTTP GET requests, one a report. */
export interface HttpEncoder extends EncoderBase {
  readonly transport: 'http'
  /** Path and query of the request. */
  target(uniqueId: string, report: Report): string
}

/** A protocol of MQTT messages, one a report. */
export interface MqttEncoder extends EncoderBase {
  readonly transport: 'mqtt'
  topic(uniqueId: string): string
  payload(report: Report): string
}

export type Encoder = FrameEncoder | HttpEncoder | MqttEncoder
