/** Answers of devices on their way into the table, in their order; they wait while the database is away. */
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { Logger } from 'pino'
import type { CommandAnswer } from '../../device-adapters/adapter.ts'
import type { Limits } from '../limits.ts'
import type { IngestMetrics } from '../metrics.ts'
import type { CommandStore } from './command-store.ts'

const RETRY_MS = 1_000

interface Waiting {
  readonly deviceId: number
  readonly answer: CommandAnswer
}

export class CommandAnswers {
  private readonly store: CommandStore
  private readonly limits: Limits
  private readonly metrics: IngestMetrics
  private readonly log: Logger
  private readonly waiting: Waiting[] = []
  private readonly waitingOf = new Map<number, number>()
  private writing: Promise<void> | undefined
  private readonly closing = new AbortController()

  constructor(store: CommandStore, limits: Limits, metrics: IngestMetrics, log: Logger) {
    this.store = store
    this.limits = limits
    this.metrics = metrics
    this.log = log
  }

  add(deviceId: number, answer: CommandAnswer): void {
    const ofDevice = this.waitingOf.get(deviceId) ?? 0
    if (ofDevice >= this.limits.commandAnswersPerDeviceMax) {
      this.metrics.limitMet('commandAnswersPerDeviceMax')
    } else if (this.waiting.length >= this.limits.commandAnswersMax) {
      this.metrics.limitMet('commandAnswersMax')
    } else {
      this.waitingOf.set(deviceId, ofDevice + 1)
      this.waiting.push({ deviceId, answer: { ...answer, text: this.bounded(answer.text) } })
      this.writing ??= this.write().finally(() => {
        this.writing = undefined
      })
    }
  }

  /** Writes what waits, if the database takes it at once. */
  async close(): Promise<void> {
    this.closing.abort()
    await this.writing
  }

  /** What PostgreSQL takes of a text, and not more of it than the limit. */
  private bounded(text: string): string {
    const { commandAnswerBytesMax } = this.limits
    const bytes = Buffer.from(text.replaceAll('\0', ''))
    if (bytes.length <= commandAnswerBytesMax) return bytes.toString()
    this.metrics.limitMet('commandAnswerBytesMax')
    let end = commandAnswerBytesMax
    // Not within a character.
    while ((bytes[end]! & 0xc0) === 0x80) end--
    return bytes.toString('utf8', 0, end)
  }

  private async write(): Promise<void> {
    let failing = false
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) {
      const { deviceId, answer } = next
      try {
        if (await this.store.answer(deviceId, answer)) {
          this.metrics.commands.inc({ state: answer.ok ? 'acknowledged' : 'failed' })
        }
        failing = false
      } catch (error) {
        if (!failing) this.log.warn({ err: error }, 'answers to commands can not be written')
        failing = true
        // What the database does not take as it is, it will not take later either.
        if (!isRefused(error)) {
          if (this.closing.signal.aborted) return
          await delay(RETRY_MS, undefined, { signal: this.closing.signal }).catch(() => undefined)
          continue
        }
      }
      this.waiting.shift()
      const left = this.waitingOf.get(deviceId)! - 1
      if (left === 0) this.waitingOf.delete(deviceId)
      else this.waitingOf.set(deviceId, left)
    }
  }
}

/** SQLSTATE of data that breaks a type or a constraint. */
function isRefused(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^2[23]/.test(error.code ?? '')
}
