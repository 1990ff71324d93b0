import { defineConfig } from 'vitest/config'

/** Where CI wants the counts of the run; people get the default report only. */
const report = process.env.TEST_REPORT

/** Tests with a redis-server (7 or later) of their own, which must be in the PATH; some run dist/, so build first. */
export default defineConfig({
  test: {
    include: ['test/bus/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    // Each has several processes already.
    fileParallelism: false,
    ...(report === undefined ? {} : { reporters: ['default', 'json'], outputFile: { json: report } }),
    testTimeout: 240_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  },
})
