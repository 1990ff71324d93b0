/** The short form of the crash suite, for every change; `npm run test:crash` is the long one. */
import type pg from 'pg'
import { expect, test } from 'vitest'
import { complaintsOf, type Remains, runKills } from './kills.ts'
import { FAULTS, type Verdict, verify } from './verify.ts'

const KILLS = Number(process.env.KILLS ?? 20)
const SEED = Number(process.env.SEED ?? 5)

/** Does what `sql` says to the table, verifies, and undoes it. */
async function spoilt({ client, fleet, journals }: Remains, sql: string): Promise<Verdict> {
  await client.query('BEGIN')
  try {
    const { rowCount } = await client.query(sql)
    expect(rowCount).toBe(1)
    return await verify(client, fleet, journals)
  } finally {
    await client.query('ROLLBACK')
  }
}

/** Faults that a verdict finds, with how many. */
function found(verdict: Verdict): Record<string, number> {
  return Object.fromEntries(
    FAULTS.map((fault) => [fault, verdict[fault].length] as const).filter(([, count]) => count > 0),
  )
}

const ONE = 'SELECT device_id, fix_time, digest FROM positions WHERE latitude IS NOT NULL LIMIT 1'

/** Adds a row like a stored one, with some columns other than it. */
async function addLike(client: pg.ClientBase, changes: Readonly<Record<string, string>>): Promise<string> {
  const { rows } = await client.query<{ column_name: string }>(
    "SELECT column_name FROM information_schema.columns WHERE table_name = 'positions' ORDER BY ordinal_position",
  )
  const columns = rows.map(({ column_name }) => column_name)
  const values = columns.map((column) => changes[column] ?? column)
  return `INSERT INTO positions (${columns.join(', ')}) SELECT ${values.join(', ')} FROM positions WHERE (device_id, fix_time, digest) IN (${ONE})`
}

test(`nothing acknowledged is lost and nothing is doubled over ${KILLS} kills (seed ${SEED})`, async () => {
  const result = await runKills({ kills: KILLS, seed: SEED }, async (whole, remains) => {
    expect(found(whole.verdict)).toEqual({})
    // The same eyes see each fault when there is one.
    const { client } = remains
    const lost = await spoilt(
      remains,
      `DELETE FROM positions WHERE (device_id, fix_time, digest) IN (${ONE})`,
    )
    expect(found(lost)).toEqual({ lost: 1 })
    const doubled = await spoilt(remains, await addLike(client, { digest: 'digest + 1' }))
    expect(found(doubled)).toEqual({ doubled: 1 })
    const foreign = await spoilt(remains, await addLike(client, { fix_time: "fix_time + interval '300 ms'" }))
    expect(found(foreign)).toEqual({ foreign: 1 })
    const altered = await spoilt(
      remains,
      `UPDATE positions SET latitude = latitude + 0.0001 WHERE (device_id, fix_time, digest) IN (${ONE})`,
    )
    expect(found(altered)).toEqual({ altered: 1 })
  })
  process.stdout.write(`${JSON.stringify(result)}\n`)
  expect(complaintsOf(result)).toEqual([])
  const { verdict, kills } = result
  // It was a test at all: killed, loaded, and made to send again.
  expect(Object.values(kills).reduce((sum, count) => sum + count)).toBe(KILLS)
  expect(verdict.acknowledged).toBeGreaterThan(KILLS * 100)
  expect(verdict.stored).toBe(verdict.made)
  expect(result.sent).toBeGreaterThan(verdict.made)
  expect(result.events.events).toBeGreaterThan(KILLS * 10)
})
