/**
 * The stream's WebSockets hold to RFC 6455: every case of the Autobahn test suite that applies, driven by kosoku against an
 * echo route that the server has in this test only.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { StreamFixture } from '../stream-fixture.ts'

const PROGRAM = process.env.KOSOKU ?? 'kosoku'
const ECHO_PATH = '/echo'
/** Messages beyond the 128 KiB that a client may send, and compression, which is not offered. */
const DO_NOT_APPLY = [
  ...['9.1', '9.2'].flatMap((group) => ['2', '3', '4', '5', '6'].map((number) => `${group}.${number}`)),
  ...['9.3', '9.4', '9.5', '9.6', '12', '13'].map((group) => `${group}.*`),
]
/** Cases that are left when those are taken out. */
const CASES = 261
/** Behaviours that the suite counts as passed: these two are where the standard leaves the choice. */
const PASSED = ['OK', 'NON-STRICT', 'INFORMATIONAL']

interface CaseReport {
  readonly id: string
  readonly description: string
  readonly behavior: string
  readonly behaviorClose: string
  readonly result: string
}

const fixture = await StreamFixture.create()
await fixture.start({ echoPath: ECHO_PATH })
const folder = await mkdtemp(join(tmpdir(), 'fleetflow-autobahn-'))
const reports = await run()

async function run(): Promise<readonly CaseReport[]> {
  const skipped = DO_NOT_APPLY.flatMap((name) => ['-x', name])
  const url = `ws://127.0.0.1:${fixture.live.port}${ECHO_PATH}`
  await new Promise<void>((resolve, reject) => {
    execFile(PROGRAM, [...skipped, '-o', folder, url], { timeout: 280_000 }, (error) => {
      // It ends with 1 where a case failed, which its reports say better.
      if (error === null || error.code === 1) resolve()
      else
        reject(
          new Error(`${PROGRAM} (pip install kosoku) can not be run: ${error.message}`, { cause: error }),
        )
    })
  })
  const files = (await readdir(folder)).filter((name) => /_case_.*\.json$/.test(name))
  return Promise.all(
    files.map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as CaseReport),
  )
}

afterAll(async () => {
  await fixture.stop()
  await rm(folder, { recursive: true })
})

test(`${CASES} cases of the Autobahn test suite were run`, () => {
  expect(reports.length).toBe(CASES)
})

describe('the stream does as the standard says', () => {
  test.each([...reports].sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true })))(
    '$id: $description',
    ({ behavior, behaviorClose, result }) => {
      expect(PASSED, result).toContain(behavior)
      expect([...PASSED, 'UNCLEAN'], result).toContain(behaviorClose)
    },
  )
})
