/** A thread that reads geofences and builds an index of them, while evaluation goes on in others. */
import { workerData } from 'node:worker_threads'
import pg from 'pg'
import { FenceIndexBuilder } from '../../../geofence/index/fence-index.ts'
import type { BuildTask, BuildThreadOptions, BuiltFences } from './build-messages.ts'
import { FenceReader } from './fence-reader.ts'

const CONNECT_TIMEOUT_MS = 10_000
/** A server that does not answer for so long is taken for lost. */
const ANSWER_TIMEOUT_MS = 60_000

/** @throws Error of the connection or the database; nothing is left open then. */
export async function build({ ids, termsFrom, progress }: BuildTask): Promise<BuiltFences> {
  const { databaseUrl } = workerData as BuildThreadOptions
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: 'fleetflow geofences',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    keepAlive: true,
  })
  // The statement under way fails then, and tells it.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const reader = new FenceReader(client, termsFrom)
    const builder = new FenceIndexBuilder()
    for await (const { fences, read } of reader.pages(ids)) {
      for (const fence of fences) builder.add(fence)
      progress[0]! += read
    }
    const { terms, refused, refusedCount } = reader
    return { index: builder.finish(), fences: progress[0]! - refusedCount, terms, refusedCount, refused }
  } finally {
    await client.end().catch(() => undefined)
  }
}
