import { defineConfig } from 'vitest/config'
import base from './vitest.config.ts'

/** Tests that use a database, and those that only hold for TimescaleDB; see test/timescale/run.ts. */
export default defineConfig({
  test: {
    ...base.test,
    include: [
      '{storage,ingest,api,live}/**/*.test.ts',
      'test/{commands*,engine*,tenancy,ingest*}.test.ts',
      'test/timescale/**/*.test.ts',
    ],
    // The server that they look at is the embedded one.
    exclude: ['storage/{embedded-postgres,secrets}.test.ts'],
  },
})
