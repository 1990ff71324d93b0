/** Databases for tests: each its own, copied from one that is migrated once. */
import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import pg from 'pg'
import { inject } from 'vitest'
import { startEmbeddedPostgres } from '../storage/embedded/embedded-postgres.ts'
import { migrate } from '../storage/migrate.ts'
import { projectRoot } from '../storage/project-root.ts'

export interface TestDatabase {
  /** Connection string of the owner of the schema. */
  readonly url: string
  /** Removes the database, also when connections to it are still open. */
  drop(): Promise<void>
}

/**
 * A fresh database with the schema of this version, on the embedded server of this run or on the server of
 * `TEST_DATABASE_URL` (a superuser's connection string).
 */
export async function testDatabase(): Promise<TestDatabase> {
  const server = await serverUrl()
  const template = await migratedTemplate(server)
  const name = `test_${randomBytes(6).toString('hex')}`
  await query(server, `CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY file_copy`)
  return {
    url: databaseUrl(server, name),
    drop: () => query(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  }
}

/** A database without any schema, for tests of the migration itself. */
export async function emptyDatabase(): Promise<TestDatabase> {
  const server = await serverUrl()
  const name = `test_${randomBytes(6).toString('hex')}`
  await query(server, `CREATE DATABASE ${name} TEMPLATE template0`)
  return {
    url: databaseUrl(server, name),
    drop: () => query(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  }
}

/**
 * Takes a database away: nobody gets in any more, and who is in is thrown out, so that nothing is heard or stored.
 * @param applications Who is thrown out: a pattern of SQL's LIKE for the names of their connections.
 * @returns Gives it back.
 */
export async function takeAway(url: string, applications = '%'): Promise<() => Promise<void>> {
  const name = new URL(url).pathname.slice(1)
  const server = databaseUrl(url, 'postgres')
  await query(server, `ALTER DATABASE ${name} ALLOW_CONNECTIONS false`)
  await query(
    server,
    `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
     WHERE datname = '${name}' AND application_name LIKE '${applications}'`,
  )
  return () => query(server, `ALTER DATABASE ${name} ALLOW_CONNECTIONS true`)
}

let started: Promise<string> | undefined

function serverUrl(): Promise<string> {
  const given = process.env.TEST_DATABASE_URL
  if (given !== undefined) return Promise.resolve(given)
  // Every worker may ask: the first starts the server, the others find it running. Its data need not outlive the
  // machine, and without fsync a database is made and dropped several times faster.
  started ??= startEmbeddedPostgres({ dataDir: inject('databaseDir'), settings: { fsync: 'off' } }).then(
    ({ url }) => url,
  )
  return started
}

const templates = new Map<string, Promise<string>>()

function migratedTemplate(server: string): Promise<string> {
  let template = templates.get(server)
  if (template === undefined) {
    template = makeTemplate(server)
    templates.set(server, template)
  }
  return template
}

/** The name tells the migrations in it, since a server of one's own outlives the run. */
async function makeTemplate(server: string): Promise<string> {
  const folder = new URL('migrations/', projectRoot)
  const hash = createHash('sha256')
  for (const file of (await readdir(folder)).sort()) hash.update(await readFile(new URL(file, folder)))
  const name = `fleetflow_${hash.digest('hex').slice(0, 12)}`
  const client = new pg.Client({ connectionString: server })
  await client.connect()
  try {
    await client.query("SELECT pg_advisory_lock(hashtext('fleetflow test template'))")
    const found = await client.query('SELECT datistemplate FROM pg_database WHERE datname = $1', [name])
    if (found.rows[0]?.datistemplate === true) return name
    // Left half made by an interrupted run.
    await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    await client.query(`CREATE DATABASE ${name} TEMPLATE template0`)
    await migrate(databaseUrl(server, name))
    // A database can be copied only while nobody is connected, which workers of TimescaleDB would be.
    await client.query(`ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS false IS_TEMPLATE true`)
    await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name])
    return name
  } finally {
    await client.end()
  }
}

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(sql).finally(() => client.end())
}

function databaseUrl(server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}
