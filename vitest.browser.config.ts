import { defineConfig } from 'vitest/config'

/** Where CI wants the counts of the run; people get the default report only. */
const report = process.env.TEST_REPORT

/** Tests that drive a browser; the built page and threads are what they look at, so build first. */
export default defineConfig({
  test: {
    include: ['test/browser/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    // One engine and one browser: each step stands on the one before, and a failed one would spoil the rest.
    fileParallelism: false,
    bail: 1,
    ...(report === undefined ? {} : { reporters: ['default', 'json'], outputFile: { json: report } }),
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A picture of the map takes its time on software graphics.
    expect: { poll: { timeout: 30_000 } },
  },
})
