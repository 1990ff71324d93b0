/** A database that is there only when the test says so: a PostgreSQL of the run itself, beside the engine. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../storage/embedded/embedded-postgres.ts'
import { Lab } from './lab.ts'

export class StoppableDatabase {
  private readonly lab: Lab
  private readonly dataDir: string
  private server: EmbeddedPostgres | undefined

  private constructor(lab: Lab, dataDir: string) {
    this.lab = lab
    this.dataDir = dataDir
  }

  static async start(lab: Lab): Promise<StoppableDatabase> {
    const dataDir = join(lab.folder, 'database')
    // Its port outlives its stops: what the system gives to others' connections would not.
    await mkdir(join(dataDir, 'postgres'), { recursive: true })
    await writeFile(join(dataDir, 'postgres', 'port'), String(await Lab.port()))
    const database = new StoppableDatabase(lab, dataDir)
    lab.defer(() => database.stop())
    await database.start()
    return database
  }

  /** Stays the same over stops and starts. */
  get url(): string {
    if (this.server === undefined) throw new Error('the database is stopped')
    return this.server.url
  }

  async start(): Promise<void> {
    // When a row was committed is asked for afterwards.
    this.server = await startEmbeddedPostgres({
      dataDir: this.dataDir,
      settings: { track_commit_timestamp: 'on' },
    })
    this.lab.event('the database is there')
  }

  /** Ends the server and all connections to it. */
  async stop(): Promise<void> {
    if (this.server === undefined) return
    await this.server.stop()
    this.server = undefined
    this.lab.event('the database is gone')
  }

  async connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.url })
    await client.connect()
    this.lab.defer(() => client.end())
    return client
  }
}
