import { defineConfig } from 'vitest/config'

/** Where CI wants the counts of the run; people get the default report only. */
const report = process.env.TEST_REPORT

/** Tests that kill the engine and its database; they run it from dist/, so build first. */
export default defineConfig({
  test: {
    include: ['test/crash/**/*.test.ts'],
    // Each has the machine to itself: a recovery that shares it with another one tells nothing.
    fileParallelism: false,
    ...(report === undefined ? {} : { reporters: ['default', 'json'], outputFile: { json: report } }),
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
})
