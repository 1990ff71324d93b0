import { afterEach, describe, expect, it } from 'vitest'
import { emptyDatabase, type TestDatabase } from '../test/database.ts'
import { MigrationError, migrate } from './migrate.ts'

describe('migrate', () => {
  let database: TestDatabase
  afterEach(() => database.drop())

  it('brings an empty database up to date, and does nothing the second time', async () => {
    database = await emptyDatabase()
    expect(await migrate(database.url)).toContain('0001-first-light')
    expect(await migrate(database.url)).toEqual([])
  })

  it('lets a second process wait for the first', async () => {
    database = await emptyDatabase()
    const ran = await Promise.all([migrate(database.url), migrate(database.url), migrate(database.url)])
    expect(ran.filter((names) => names.length > 0)).toHaveLength(1)
  })

  it('tells what is wrong when the server cannot be reached', async () => {
    database = await emptyDatabase()
    const url = new URL(database.url)
    url.port = '1'
    await expect(migrate(url.href)).rejects.toThrow(MigrationError)
  })
})
