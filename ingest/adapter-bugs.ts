/** Bugs of adapters in the log, which a bug that every frame meets must not fill. */
import type { Logger } from 'pino'
import type { DecodeError } from '../device-adapters/adapter.ts'

/** The bugs of one adapter are logged no more often than this. */
const LOG_EVERY_MS = 60_000

export class AdapterBugLog {
  private readonly log: Logger
  private readonly loggedMs = new Map<string, number>()

  constructor(log: Logger) {
    this.log = log
  }

  add(protocol: string, error: DecodeError): void {
    const nowMs = performance.now()
    if (nowMs - (this.loggedMs.get(protocol) ?? -Infinity) < LOG_EVERY_MS) return
    this.loggedMs.set(protocol, nowMs)
    this.log.error(
      { err: error.cause, protocol },
      'bug of an adapter: the frame is in the quarantine as adapter-bug, please report it',
    )
  }
}
