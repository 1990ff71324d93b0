import { defineConfig } from 'vitest/config'
import base from './vitest.config.ts'

/** Tests that use a database, and those that only hold for TimescaleDB; see test/timescale/run.ts. */
export default defineConfig({
  test: {
    ...base.test,
    include: [
      '{storage,ingest,api,live}/**/*.test.ts',
      'test/{commands*,engine*,tenancy*,ingest*,geofence*}.test.ts',
      'test/timescale/**/*.test.ts',
    ],
    exclude: [
      // The server that they look at is the embedded one.
      'storage/{embedded-postgres,secrets}.test.ts',
      // They ask nothing of positions and events, or the same for minutes.
      'ingest/{journal,listeners}/**',
      'ingest/geofences/**/{fences,backfills,evaluator-orders}.test.ts',
      'api/geofence{-import,s-hostile}.test.ts',
    ],
  },
})
