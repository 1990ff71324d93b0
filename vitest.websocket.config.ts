import { defineConfig } from 'vitest/config'

/** Where CI wants the counts of the run; people get the default report only. */
const report = process.env.TEST_REPORT

/** The stream against the cases of the Autobahn test suite, by kosoku (PyPI): `pip install kosoku` puts it on the PATH. */
export default defineConfig({
  test: {
    include: ['test/websocket/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    ...(report === undefined ? {} : { reporters: ['default', 'json'], outputFile: { json: report } }),
    testTimeout: 30_000,
    hookTimeout: 300_000,
  },
})
