import { expect, test } from 'vitest'
import { ANY, CAPITAL, DIGIT, startsWith } from './signature.ts'

test('bytes fit a pattern, do not, or are too few to tell', () => {
  const starts = startsWith(`*${ANY}${ANY},`, `#${DIGIT}`, 'xx\xff', `$${CAPITAL}`)
  const of = (text: string) => starts(Buffer.from(text, 'latin1'))
  expect(of('*HQ,1')).toBe(true)
  expect(of('*HQ')).toBeUndefined()
  expect(of('*HQ1')).toBe(false)
  expect(of('#')).toBeUndefined()
  expect(of('#7')).toBe(true)
  expect(of('#a')).toBe(false)
  expect(of('$Z')).toBe(true)
  expect(of('$z')).toBe(false)
  expect(of('xx\xff')).toBe(true)
  expect(of('y')).toBe(false)
})
