/**
 * Limits of ingest: every one has a name that ends in its unit, or in `Max` where it counts things, and a default. Each
 * can be set in the environment variable LIMITS, is shown as `fleetflow_limit{limit}`, and counts in
 * `fleetflow_limits_total{limit}` when it is met. docs/limits.md says what happens then.
 */
export const LIMITS = {
  /** Open device connections over all listeners; one more is closed at once. */
  connectionsMax: 50_000,
  /** Of them, those from one address, or from one IPv6 network of 64 bits; carriers put many devices behind one. */
  connectionsPerAddressMax: 20_000,
  /**
   * Of them, those of one device; with one more the oldest is closed, since a device that changes its network leaves
   * dead ones behind.
   */
  connectionsPerDeviceMax: 4,
  /**
   * Bytes that a device may send in a second; as many may come at once. Beyond, its sockets are not read for a while,
   * its datagrams are dropped, and its requests are answered 429.
   */
  bytesPerSecondPerDeviceMax: 8 * 1024 * 1024,
  /** Bytes of a frame; where the longest legal frame of a protocol is shorter, that counts. */
  frameBytesMax: 1024 * 1024,
  /**
   * Bytes that connections hold: pieces of frames, and frames that wait for room. Beyond, a connection is closed that
   * holds more than its share; an HTTP request is answered 503 instead.
   */
  heldBytesMax: 256 * 1024 * 1024,
  /** Time from the opening of a connection to its first whole frame, ms; of every HTTP request from its first byte. */
  firstFrameTimeoutMs: 30_000,
  /**
   * Bytes that a connection may send before it is known which protocol it speaks, on the port that finds that out; then
   * it is closed.
   */
  detectBytesMax: 16 * 1024,
  /** Time without a byte after which a connection is closed, ms. Trackers sleep for long. */
  idleTimeoutMs: 30 * 60_000,
  /**
   * Time without a byte to or from a device after which a connection is given up that is about to be closed, ms: the
   * device does not take its last replies, or it has closed its side and its positions are not stored yet.
   */
  closingTimeoutMs: 10_000,
  /** Time between two HTTP requests of a connection, ms. */
  httpKeepAliveTimeoutMs: 75_000,
  /** Longest time without a packet that an MQTT device may ask for, ms. */
  mqttKeepAliveMs: 3_600_000,
  /** Frames of one connection whose replies wait for the store; then its socket is not read. */
  pendingFramesPerConnectionMax: 256,
  /** Bytes of the line and the headers of an HTTP request. */
  httpHeaderBytes: 16 * 1024,
  /** Bytes of an MQTT packet beside the frame: topic and headers. */
  mqttTopicBytes: 512,
  /** Broken frames of one connection in a row, after which it is closed. */
  faultsPerConnectionMax: 16,
  /** Bytes of replies that a device does not take; then it is closed. */
  unsentReplyBytesMax: 65_536,
  /** Commands that wait for one device; one more is refused. */
  queuedCommandsPerDeviceMax: 100,
  /**
   * How long an engineStop waits, ms, for a position from after the device came back: the last one before may say that
   * the vehicle stands when it has started since. Then it goes by that one.
   */
  engineStopWaitMs: 30_000,
  /** How long a device is reached at the address of its last datagram, ms: networks between forget the way back. */
  datagramReturnMs: 30_000,
  /** Answers of devices to commands that wait for the database; more are dropped. */
  commandAnswersMax: 1_000,
  /** Of them, those of one device. */
  commandAnswersPerDeviceMax: 16,
  /** Bytes kept of an answer. */
  commandAnswerBytesMax: 4_096,
  /** How long a command may wait for an answer that does not say what it answers, ms; after it, such an answer is not its. */
  commandAnswerMs: 10 * 60_000,
  /** Unknown devices registered in a minute, where UNKNOWN_DEVICES=register. */
  registrationsPerMinuteMax: 20_000,
  /** Devices, however registered, beyond which unknown ones do not register themselves: each takes memory for good. */
  registeringDevicesMax: 200_000,
  /** Datagrams that wait for the store; more are dropped, devices send them again. */
  pendingDatagramsMax: 20_000,
  /** Requests that wait for the store; more are answered 503. */
  pendingRequestsMax: 20_000,
  /** Rows of the quarantine table; the longest unseen go first. */
  quarantineRowsMax: 10_000,
  /** Entries that wait for the next write of the quarantine. */
  quarantinePendingMax: 1_000,
  /** Bytes kept of a quarantined frame. */
  quarantineFrameBytesMax: 1_024,
  /**
   * How long a shard may be full, ms, before frames are left to the journal and stored later from there: what a reply
   * waits for at most because of a slow database. For one that is known to be away it does not wait.
   */
  spillAfterMs: 1_000,
  /**
   * Changed geofences beyond which the index of all is built anew: until it is there, each change takes longer than it
   * should.
   */
  geofenceChangesMax: 2_000,
  /** Stored positions that backfills of geofences read in a second; then they pause, and ingest has the machine. */
  backfillFixesPerSecondMax: 50_000,
  /** Devices of a shard of which it is in memory where they are in geofences; of others it is read when they report. */
  geofenceDevicesMax: 200_000,
  /** Visits, and devices by a time of day, that timers of geofences look at in a second; others are looked at later. */
  geofenceTimersPerSecondMax: 20_000,
  /** How long ago a time of day of `insideBy` may be, ms, at which nobody looked, to make its events still. */
  geofenceTimerBackMs: 8 * 24 * 3600 * 1000,
  /** How long a shard may take to store what it holds when the engine stops, ms; the journal keeps what it could not. */
  stopTimeoutMs: 10_000,
  /** Geofences of an organisation; one more is refused. */
  geofencesPerOrganizationMax: 1_000_000,
  /**
   * Geofences of an organisation whose box has the centre of another one's box in it; one more there is refused. Each
   * position in all of them would have to be tested against each.
   */
  geofenceOverlapsMax: 1_000,
  /** Characters of a device's unique id. */
  uniqueIdLengthMax: 128,
} as const

/** Limits that the code is built around: they count like the others, but cannot be set. */
export const FIXED_LIMITS = {
  /** Batches of a shard: two on their way to the database, and one that is full. Then there is no room. */
  batchesPerShardMax: 3,
  /** Bytes of the records that wait for one sync of the journal. Then there is no room until it is done. */
  journalGroupBytesMax: 4 * 1024 * 1024,
  /** Frames of a datagram: a connection's are taken in turns, those of a datagram at once. The rest is dropped. */
  framesPerDatagramMax: 256,
} as const

export type Limits = { readonly [Name in keyof typeof LIMITS]: number }
export type LimitName = keyof typeof LIMITS | keyof typeof FIXED_LIMITS

/** Beyond, timers would run out at once. */
const LIMIT_VALUE_MAX = 2 ** 31 - 1
/** The table of devices holds no longer ids. */
const UNIQUE_ID_LENGTH_MAX = 128

/**
 * Reads limits as LIMITS gives them.
 * @param items Such as `connectionsMax=1000`.
 * @returns Those that are set, and what is wrong with the others.
 */
export function parseLimits(items: readonly string[]): { limits: Partial<Limits>; faults: string[] } {
  const limits: { -readonly [Name in keyof Limits]?: number } = {}
  const faults: string[] = []
  for (const item of items) {
    const [, name = '', value = ''] = /^([^=]*?)\s*=\s*(.*)$/.exec(item) ?? []
    if (!Object.hasOwn(LIMITS, name)) {
      faults.push(`"${item}" is not NAME=NUMBER with one of ${Object.keys(LIMITS).join(', ')}`)
      continue
    }
    const max = name === 'uniqueIdLengthMax' ? UNIQUE_ID_LENGTH_MAX : LIMIT_VALUE_MAX
    if (name in limits) faults.push(`${name} is set twice`)
    else if (!/^[1-9]\d{0,9}$/.test(value) || Number(value) > max) {
      faults.push(`${name} must be a whole number from 1 to ${max}, not "${value}"`)
    } else limits[name as keyof Limits] = Number(value)
  }
  return { limits, faults }
}
