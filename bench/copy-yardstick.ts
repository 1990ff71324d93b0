/** The yardstick: PostgreSQL's own client copies a file of rows into a table, `\copy table FROM file (FORMAT binary)`. */
import { execFile } from 'node:child_process'
import { createReadStream, createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import copyStreams from 'pg-copy-streams'

export interface CopyYardstick {
  /** What copies, for the table. */
  readonly name: string
  /** Writes the rows of a query or table, in their order, to a file. */
  copyOut(databaseUrl: string, source: string, file: string): Promise<void>
  /** Copies the file into a table. @returns How long the copy itself took, ms. */
  copyIn(databaseUrl: string, table: string, file: string): Promise<number>
}

/** psql where there is one, else pg-copy-streams. */
export async function findCopyYardstick(): Promise<CopyYardstick> {
  const version = await run('psql', ['--version']).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  )
  return version === undefined ? streams : psql(version)
}

const run = promisify(execFile)

function psql(version: string): CopyYardstick {
  const ask = async (databaseUrl: string, command: string) => {
    const url = new URL(databaseUrl)
    const env = {
      ...process.env,
      PGHOST: url.hostname,
      PGPORT: url.port || '5432',
      PGUSER: decodeURIComponent(url.username),
      PGPASSWORD: decodeURIComponent(url.password),
      PGDATABASE: url.pathname.slice(1),
    }
    const commands = ['\\timing on', command].flatMap((text) => ['-c', text])
    const { stdout } = await run('psql', ['-X', '-v', 'ON_ERROR_STOP=1', ...commands], { env })
    return Number(/^Time: ([\d.]+) ms/m.exec(stdout)![1])
  }
  return {
    name: `\\copy of ${version.replace(/ \(.*/, '')}`,
    copyOut: async (databaseUrl, source, file) => {
      await ask(databaseUrl, `\\copy ${source} TO '${file}' (FORMAT binary)`)
    },
    copyIn: (databaseUrl, table, file) => ask(databaseUrl, `\\copy ${table} FROM '${file}' (FORMAT binary)`),
  }
}

const streams: CopyYardstick = {
  name: 'pg-copy-streams (no psql here)',
  copyOut: async (databaseUrl, source, file) => {
    const client = new pg.Client({ connectionString: databaseUrl })
    await client.connect()
    const rows = client.query(copyStreams.to(`COPY ${source} TO STDOUT (FORMAT binary)`))
    await pipeline(rows, createWriteStream(file)).finally(() => client.end())
  },
  copyIn: async (databaseUrl, table, file) => {
    const client = new pg.Client({ connectionString: databaseUrl })
    await client.connect()
    const startMs = performance.now()
    const rows = client.query(copyStreams.from(`COPY ${table} FROM STDIN (FORMAT binary)`))
    await pipeline(createReadStream(file), rows).finally(() => client.end())
    return performance.now() - startMs
  },
}
