/** Limits of ingest: every one has a name, a unit and a default, and counts in `fleetflow_limits_total{limit}`. */
export const LIMITS = {
  /** Open device connections over all listeners; one more is closed at once. */
  connectionsMax: 50_000,
  /** Time from the opening of a connection to its first whole frame, ms; of every HTTP request from its first byte. */
  firstFrameTimeoutMs: 30_000,
  /** Time without a byte after which a connection is closed, ms. Trackers sleep for long. */
  idleTimeoutMs: 30 * 60_000,
  /**
   * Time without a byte to or from a device after which a connection is given up that is about to be closed, ms: the
   * device does not take its last replies, or it has closed its side and its positions are not stored yet.
   */
  closingTimeoutMs: 10_000,
  /** Frames of one connection whose replies wait for the store; then its socket is not read. */
  pendingFramesPerConnectionMax: 256,
  /** Broken frames of one connection in a row, after which it is closed. */
  faultsPerConnectionMax: 16,
  /** Bytes of replies that a device does not take; then it is closed. */
  unsentReplyBytesMax: 65_536,
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
  /** How long a shard may take to store what it holds when the engine stops, ms; its devices send again what it could not. */
  stopTimeoutMs: 10_000,
  /** Characters of a device's unique id. */
  uniqueIdLengthMax: 128,
} as const

export type Limits = { readonly [Name in keyof typeof LIMITS]: number }
export type LimitName = keyof typeof LIMITS
