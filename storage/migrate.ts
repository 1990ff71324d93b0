/** Brings a database to the schema of this version: runs the files of migrations/ that it has not had yet. */
import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'
import pg from 'pg'
import type { Logger } from 'pino'
import { projectRoot } from './project-root.ts'

/** A migration that did not go through. The database is as it was before. */
export class MigrationError extends Error {
  readonly code = 'migration-failed'
  override readonly name = 'MigrationError'
}

/**
 * Runs the migrations that are new to the database, all in one transaction. A second process that migrates the
 * same database waits for the first and then finds nothing to do.
 *
 * @param url Connection string of the owner of the schema.
 * @returns Names of the migrations that ran.
 * @throws MigrationError
 */
export async function migrate(url: string, log?: Logger): Promise<string[]> {
  const client = new pg.Client({ connectionString: url, application_name: 'fleetflow migrate' })
  // Without a listener a lost connection would end the process; the query under way fails by itself.
  client.on('error', () => {})
  const quiet = () => {}
  try {
    await client.connect()
    const ran = await runner({
      dbClient: client,
      dir: fileURLToPath(new URL('migrations', projectRoot)),
      ignorePattern: '(?!.*\\.sql$).*',
      direction: 'up',
      migrationsTable: 'migrations',
      advisoryLockMode: 'wait',
      logger: {
        debug: quiet,
        info: quiet,
        warn: (message: string) => log?.warn(message),
        error: (message: string) => log?.error(message),
      },
    })
    const names = ran.map((migration) => migration.name)
    if (names.length > 0) log?.info({ migrations: names }, 'database migrated')
    return names
  } catch (error) {
    throw new MigrationError(
      `the database could not be migrated and is as it was: ${(error as Error).message}. ` +
        'Mend the cause and start again; a restore is not needed.',
      { cause: error },
    )
  } finally {
    await client.end()
  }
}
