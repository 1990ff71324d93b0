/**
 * `npm run test:fuzz -- [--frames N] [--protocol NAME] [--seed N] [--connection N]`: the suite of this folder with those
 * numbers. It ends with 1 at a finding, whose last lines say how to make it again.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { projectRoot } from '../../storage/project-root.ts'

const { values } = parseArgs({
  options: {
    frames: { type: 'string' },
    protocol: { type: 'string' },
    seed: { type: 'string' },
    connection: { type: 'string' },
  },
})
const env = { ...process.env }
for (const [name, value] of Object.entries(values)) env[`FUZZ_${name.toUpperCase()}`] = value
// Who asks for a protocol asks for its frames; the wire is the same for all.
const files = values.protocol === undefined ? [] : ['test/fuzz/frames.test.ts']
const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', '--config', 'vitest.fuzz.config.ts', ...files],
  { cwd: fileURLToPath(projectRoot), env, stdio: 'inherit' },
)
process.exitCode = status ?? 1
