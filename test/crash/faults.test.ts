/** The short forms of a database that is away and of a disk that is full. */
import { expect, test } from 'vitest'
import { complaintsOfBehind, runBehind } from './behind.ts'
import { CAN_MOUNT, complaintsOfDiskFull, runDiskFull } from './disk-full.ts'
import { complaintsOfOutage, runOutage } from './outage.ts'

const OUTAGE_SECONDS = Number(process.env.OUTAGE_SECONDS ?? 15)
const SEED = Number(process.env.SEED ?? 5)
/** They run a database of their own. */
const OTHER_DATABASE = (process.env.TEST_DATABASE_URL ?? '') !== ''

test.skipIf(OTHER_DATABASE)(
  `replies go on while the database is away for ${OUTAGE_SECONDS} s, and what was replied to is stored afterwards`,
  async () => {
    const options = { seconds: OUTAGE_SECONDS, seed: SEED, recordsPerSecond: 1000 }
    const result = await runOutage(options)
    process.stdout.write(`${JSON.stringify({ ...result, samples: result.samples.length })}\n`)
    expect(complaintsOfOutage(options, result)).toEqual([])
    expect(result.verdict.stored).toBe(result.verdict.made)
  },
)

test.skipIf(OTHER_DATABASE)(
  'an engine that is killed while it drains a backlog loses nothing of it',
  async () => {
    const result = await runBehind({ outages: 2, seed: SEED })
    process.stdout.write(`${JSON.stringify(result)}\n`)
    expect(complaintsOfBehind(result)).toEqual([])
    expect(result.verdict.stored).toBe(result.verdict.made)
  },
)

test.skipIf(OTHER_DATABASE || !CAN_MOUNT)(
  'a full disk stops replies and reading, loses nothing, and is over by itself when there is room',
  async () => {
    const result = await runDiskFull({ seed: SEED })
    process.stdout.write(`${JSON.stringify(result)}\n`)
    expect(complaintsOfDiskFull(result)).toEqual([])
    expect(result.verdict.stored).toBe(result.verdict.made)
  },
)
