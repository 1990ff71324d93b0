/** What is read of grants while the database changes, or can not be read. */
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPool } from '../../storage/pools.ts'
import { StreamFixture } from '../../test/stream-fixture.ts'
import { type GrantChange, Grants } from './grants.ts'

let stream: StreamFixture
let pool: pg.Pool
let organizationId: number
let device: number
let driver: number

beforeAll(async () => {
  stream = await StreamFixture.create()
  pool = createPool(stream.database.url, { max: 4, applicationName: 'grants' })
  organizationId = await stream.organization()
  device = (await stream.devices(organizationId, 1))[0]!
  driver = await stream.user(organizationId, 'driver')
})
afterAll(async () => {
  await pool.end()
  await stream.stop()
})

test('what a driver has lost is told although share links can not be read', async () => {
  await stream.owner.query('INSERT INTO driver_devices VALUES ($1, $2, $3)', [organizationId, driver, device])
  const grants = new Grants(pool)
  const grant = await grants.drivers.of(driver)
  const link = await grants.shareLinks.of(1)
  expect([...grant.devices]).toEqual([device])
  await stream.owner.query('DELETE FROM driver_devices')
  grants.devicesChanged()
  const told: GrantChange[] = []
  const refresh = () => grants.refresh(new Set([grant, link]), (changes) => told.push(...changes))
  await stream.owner.query('ALTER FUNCTION share_devices RENAME TO unreadable')
  await expect(refresh()).rejects.toThrow('share_devices')
  await stream.owner.query('ALTER FUNCTION unreadable RENAME TO share_devices')
  await refresh()
  expect(told).toEqual([{ grant, added: [], removed: [device] }])
  expect(grant.devices.size).toBe(0)
})
