import { defineConfig } from 'vitest/config'
import base from './vitest.config.ts'

/** Tests that ask something of positions, events and commits, and those that only hold for TimescaleDB; see test/timescale/run.ts. */
export default defineConfig({
  test: {
    ...base.test,
    include: [
      '{storage,ingest}/**/*.test.ts',
      'api/{positions,snapshot,tracks,track-stream,nearby,commands,geofence-events,geofence-backfills,quarantine}.test.ts',
      'live/{log,replay,subscriptions}/**/*.test.ts',
      'test/{commands*,engine*,tenancy*,ingest*,geofence*,stream-replay*,stream-grants*}.test.ts',
      'test/timescale/**/*.test.ts',
    ],
    exclude: [
      // The server that they look at is the embedded one.
      'storage/{embedded/**,secrets.test.ts}',
      // They ask nothing of positions and events, or the same for minutes.
      'ingest/{journal,listeners,bus}/**',
      'test/ingest-{adapter-bugs,connections,datagrams,idle,json-lines,limits,messages,mqtt,room}.test.ts',
      'test/commands-hostile.test.ts',
      'ingest/geofences/**/{fences,backfills,evaluator-orders}.test.ts',
    ],
  },
})
