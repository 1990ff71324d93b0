import { defineConfig } from 'vitest/config'

/** Where CI wants the counts of the run; people get the default report only. */
const report = process.env.TEST_REPORT

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: [
      '**/node_modules/**',
      'dist/**',
      'test/browser/**',
      'test/bus/**',
      'test/crash/**',
      'test/fuzz/**',
      'test/timescale/**',
      'test/websocket/**',
    ],
    globalSetup: ['test/global-setup.ts'],
    // Most of them wait, for databases and timers: on two processors, two at a time take 505 s, three 420 s.
    maxWorkers: 3,
    // Tests wait for events, not for times; these bounds only end what hangs, also on a loaded machine.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 15_000 } },
    ...(report === undefined ? {} : { reporters: ['default', 'json'], outputFile: { json: report } }),
  },
})
