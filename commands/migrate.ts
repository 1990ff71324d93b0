/** `fleetflow migrate`: brings the database to the schema of this version and ends. */
import { pino } from 'pino'
import { readConfig } from '../config.ts'
import { loadAdapters } from '../device-adapters/registry.ts'
import { startEmbeddedPostgres } from '../storage/embedded/embedded-postgres.ts'
import { migrate } from '../storage/migrate.ts'

export async function migrateDatabase(): Promise<void> {
  const config = readConfig(process.env, [...(await loadAdapters()).keys()])
  const log = pino({ level: config.logLevel, base: null }, pino.destination({ fd: 2, sync: true }))
  if (config.databaseUrl !== undefined) {
    await migrate(config.databaseUrl, log)
  } else {
    const postgres = await startEmbeddedPostgres({ dataDir: config.dataDir, log })
    try {
      await migrate(postgres.url, log)
    } finally {
      await postgres.stop()
    }
  }
  process.stdout.write('migrated\n')
}
