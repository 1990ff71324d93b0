import { expect, test } from 'vitest'
import { ALL_BUT_LAST, either, field, match, optional, repeated, sequence } from './pattern.ts'

const DIGITS = /^\d+$/
const WORD = /^[a-z]+$/

test('an optional field gives back what the rest needs', () => {
  const rule = sequence(optional(field(DIGITS, 'maybe')), field(DIGITS, 'sure'))
  const one = match(rule, ['1'], 0)!
  expect([one.get('maybe'), one.get('sure')]).toEqual(['', '1'])
  const two = match(rule, ['1', '2'], 0)!
  expect([two.get('maybe'), two.get('sure')]).toEqual(['1', '2'])
  expect(match(rule, ['1', '2', '3'], 0)).toBeUndefined()
})

test('the first alternative that lets the rest fit is taken, and leaves nothing of those before', () => {
  const rule = sequence(
    either(sequence(field(DIGITS, 'a'), field(DIGITS, 'b')), field(DIGITS, 'c')),
    field(WORD),
  )
  const taken = match(rule, ['7', 'x'], 0)!
  expect([taken.get('a'), taken.get('b'), taken.get('c')]).toEqual(['', '', '7'])
})

test('groups are repeated as often as the rest allows, and know their place', () => {
  const rule = sequence(
    repeated('pairs', 1, 3, field(WORD, 'key'), field(DIGITS, 'value')),
    ALL_BUT_LAST,
    field(WORD),
  )
  const taken = match(rule, ['-', 'a', '1', 'b', '2', 'c', '3', 'end'], 1)!
  const pairs = taken.all('pairs')
  expect(pairs.map((pair) => pair.get('key') + pair.get('value'))).toEqual(['a1', 'b2'])
  expect(pairs.map(({ start, end }) => [start, end])).toEqual([
    [1, 3],
    [3, 5],
  ])
  expect(match(rule, ['a', 'b', 'c', 'end'], 0)).toBeUndefined()
})

test('no more groups than allowed are taken', () => {
  const rule = sequence(repeated('numbers', 0, 2, field(DIGITS, 'n')), field(WORD))
  expect(match(rule, ['x'], 0)!.all('numbers')).toEqual([])
  expect(match(rule, ['1', '2', 'x'], 0)!.all('numbers')).toHaveLength(2)
  expect(match(rule, ['1', '2', '3', 'x'], 0)).toBeUndefined()
})
