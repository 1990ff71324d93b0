import { expect, test } from 'vitest'
import { hashOf, routeOf, shareTokenOf } from './route.ts'

test('a hash names a page and what it is asked for, and is written the same way', () => {
  const { page, query } = routeOf('#replay?device=7&from=2026-01-05T12%3A00%3A00Z')
  expect(page).toBe('replay')
  expect(Object.fromEntries(query)).toEqual({ device: '7', from: '2026-01-05T12:00:00Z' })
  expect(hashOf({ page, query })).toBe('#replay?device=7&from=2026-01-05T12%3A00%3A00Z')
})

test('an empty hash names no page, and one without a query asks for nothing', () => {
  expect(routeOf('').page).toBe('')
  expect(routeOf('#/geofences').page).toBe('geofences')
  expect(hashOf(routeOf('#geofences'))).toBe('#geofences')
})

test('only a path below /share/ holds the token of a shared map', () => {
  expect(['/', '/share/', '/shared/abc', '/share/a-b_c', '/share/abc/'].map(shareTokenOf)).toEqual([
    null,
    null,
    null,
    'a-b_c',
    'abc',
  ])
})
