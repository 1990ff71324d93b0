/** The short form of `npm run test:crash -- --clients N`. */
import { expect, test } from 'vitest'
import { complaintsOf, runKills } from './kills.ts'

const KILLS = 6
const CLIENTS = 100
const STAY_MS_MAX = 2_000
const AWAY_MS_MAX = 3_000
const SEED = Number(process.env.SEED ?? 5)

test(`${CLIENTS} clients that are dropped at random have every row and event once over ${KILLS} kills (seed ${SEED})`, async () => {
  const result = await runKills({
    kills: KILLS,
    seed: SEED,
    clients: { count: CLIENTS, stayMsMax: STAY_MS_MAX, awayMsMax: AWAY_MS_MAX },
  })
  process.stdout.write(`${JSON.stringify(result.stream)}\n`)
  expect(complaintsOf(result)).toEqual([])
  // It was a test at all.
  const { stream, verdict } = result
  expect(stream!.drops).toBeGreaterThan(CLIENTS)
  expect(stream!.losses).toBeGreaterThan(0)
  expect(stream!.rows).toBeGreaterThan((verdict.stored * CLIENTS) / 2)
  expect(stream!.events).toBeGreaterThan(CLIENTS)
})
