/** `fleetflow reprocess`: decodes what a device has sent once more, and makes its stored positions be what comes of it. */
import { existsSync } from 'node:fs'
import { pino } from 'pino'
import { ConfigError, readConfig } from '../config.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { openJournalReader } from '../ingest/journal/reader.ts'
import { reprocess } from '../ingest/reprocess.ts'
import { journalOptions } from '../start.ts'
import { startEmbeddedPostgres } from '../storage/embedded/embedded-postgres.ts'
import { migrate } from '../storage/migrate.ts'

const PROGRESS_EVERY_MS = 500

export interface ReprocessArguments {
  readonly device: string
  readonly from: string
  readonly to: string
  readonly dryRun?: boolean
}

/** Changes go to standard output as JSON lines, progress and the sum to standard error. */
export async function reprocessDevice({ device, from, to, dryRun }: ReprocessArguments): Promise<void> {
  const [fromMs, toMs] = [timeOf('--from', from), timeOf('--to', to)]
  if (toMs <= fromMs) throw new ConfigError('--to must be later than --from')
  const adapters = await loadAdapters()
  const config = readConfig(process.env, [...adapters.keys()])
  const log = pino({ level: config.logLevel, base: null }, pino.destination({ fd: 2, sync: true }))
  const journal = journalOptions(config)
  // Before a database is made in a folder that is the wrong one.
  if (!existsSync(journal.folder)) {
    throw new ConfigError(`there is no journal in ${journal.folder}: DATA_DIR must be the engine's`)
  }
  // Beside a running engine its own server is used, and left running.
  const postgres =
    config.databaseUrl === undefined
      ? await startEmbeddedPostgres({ dataDir: config.dataDir, log })
      : undefined
  const databaseUrl = config.databaseUrl ?? postgres!.url
  try {
    await migrate(databaseUrl, log)
    let shownMs = performance.now()
    const done = await reprocess({
      databaseUrl,
      reader: openJournalReader(journal),
      adapters,
      device,
      fromMs,
      toMs,
      dryRun: dryRun === true,
      onChange: (change) => process.stdout.write(`${JSON.stringify(change)}\n`),
      onProgress: (frames) => {
        if (performance.now() - shownMs < PROGRESS_EVERY_MS) return
        shownMs = performance.now()
        process.stderr.write(`${frames} frames decoded\n`)
      },
    })
    const { frames, added, changed, removed, unread, damaged } = done
    process.stderr.write(
      `${frames} frames of ${device}: ${added} rows added, ${changed} changed, ${removed} removed` +
        `${dryRun ? ' if this was no dry run' : ''}; ${unread} frames cannot be read, ${damaged} records are damaged\n`,
    )
  } finally {
    await postgres?.stop()
  }
}

function timeOf(name: string, text: string): number {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw new ConfigError(`${name}: "${text}" is no time such as 2026-03-01T00:00:00Z`)
  return ms
}
