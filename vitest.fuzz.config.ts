import { defineConfig } from 'vitest/config'

/** Where CI wants the counts of the run; people get the default report only. */
const report = process.env.TEST_REPORT

/** Damaged frames: each protocol in a process of its own that runs from dist/, so build first. */
export default defineConfig({
  test: {
    include: ['test/fuzz/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    fileParallelism: false,
    maxConcurrency: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 15_000 } },
    ...(report === undefined ? {} : { reporters: ['default', 'json'], outputFile: { json: report } }),
  },
})
