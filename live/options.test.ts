import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { LIVE_LIMITS } from './options.ts'

test('the page of limits has each limit of the stream with its default, and no other', () => {
  const [section] = /^## Stream\n[\s\S]*?(?=^## )/m.exec(readFileSync('docs/limits.md', 'utf8'))!
  const written = [...section.matchAll(/^\| `(\w+)` +\| [^|]+ \| +(\d+) +\| /gm)]
  expect(Object.fromEntries(written.map(([, name, value]) => [name, Number(value)]))).toEqual(LIVE_LIMITS)
})
