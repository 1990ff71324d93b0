import { describe, expect, it } from 'vitest'
import { AttemptLimiter } from './attempt-limiter.ts'

describe('attempt limiter', () => {
  it('lets so many attempts of a key through in a window, and says how long to wait', () => {
    const limiter = new AttemptLimiter({ max: 2, windowMs: 1000, keysMax: 10 })
    expect([0, 100, 200].map((nowMs) => limiter.take('a', nowMs))).toEqual([0, 0, 800])
    expect(limiter.take('b', 200)).toBe(0)
    expect(limiter.take('a', 1000)).toBe(0)
  })

  it('takes an attempt back', () => {
    const limiter = new AttemptLimiter({ max: 1, windowMs: 1000, keysMax: 10 })
    limiter.take('a', 0)
    limiter.refund('a')
    expect(limiter.take('a', 1)).toBe(0)
    expect(limiter.take('a', 2)).toBe(998)
  })

  it('forgets a key that is cleared', () => {
    const limiter = new AttemptLimiter({ max: 1, windowMs: 1000, keysMax: 10 })
    limiter.take('a', 0)
    limiter.clear('a')
    expect(limiter.take('a', 1)).toBe(0)
  })

  it('remembers no more keys than it may, and drops what is over first', () => {
    const limiter = new AttemptLimiter({ max: 1, windowMs: 1000, keysMax: 3 })
    for (const [i, key] of ['a', 'b', 'c', 'd'].entries()) limiter.take(key, i)
    expect(limiter.size).toBe(3)
    expect(limiter.take('b', 5)).toBeGreaterThan(0)
    limiter.take('e', 5000)
    expect(limiter.size).toBe(1)
  })
})
