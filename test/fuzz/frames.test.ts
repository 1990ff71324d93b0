/**
 * Damaged frames of every protocol, two protocols at a time; how many, of which and with what seed is told by main.ts.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadAdapters } from '../../device-adapters/registry.ts'
import { threadUrl } from '../../storage/project-root.ts'
import { type TestDatabase, testDatabase } from '../database.ts'

/** What an ordinary run takes; a long one is for the night. */
const FRAMES_DEFAULT = 100_000
/** Slower than this no machine is, damaged frames/s. */
const FRAMES_PER_SECOND_MIN = 500
const START_TIMEOUT_MS = 60_000

const { FUZZ_FRAMES = String(FRAMES_DEFAULT), FUZZ_SEED = '1', FUZZ_PROTOCOL, FUZZ_CONNECTION } = process.env
const timeoutMs = START_TIMEOUT_MS + (Number(FUZZ_FRAMES) / FRAMES_PER_SECOND_MIN) * 1000

let database: TestDatabase

beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.drop())

const protocols = [...(await loadAdapters()).keys()].filter((id) => (FUZZ_PROTOCOL ?? id) === id)

test.concurrent.for(protocols)(
  '%s takes damaged frames without crash, growth or a row that is refused',
  { timeout: timeoutMs },
  async (protocol, { signal }) => {
    const options = { protocol, frames: FUZZ_FRAMES, seed: FUZZ_SEED, database: database.url }
    const connection = FUZZ_CONNECTION === undefined ? {} : { connection: FUZZ_CONNECTION }
    const child = spawn(
      process.execPath,
      [
        '--expose-gc',
        threadUrl('test/fuzz/process').pathname,
        ...Object.entries({ ...options, ...connection }).flatMap(([name, value]) => [`--${name}`, value]),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'], signal },
    )
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const [code] = await once(child, 'close')
    expect(code, said).toBe(0)
    process.stdout.write(said)
  },
)
