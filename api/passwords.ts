/** Passwords: bcrypt of cost 12, a bounded number at a time. */
import bcrypt from 'bcrypt'
import { PASSWORD_BYTES_MAX } from '../schemas/user.ts'
import { ApiError } from './problem.ts'

/** A hash takes 2^12 rounds, about 0.2 s of one core. */
const BCRYPT_COST = 12

/**
 * Hashes at a time. They run on libuv's four threads, which the journal's disk writes of the same process need too:
 * a flood of logins must leave it some.
 */
export const HASHES_AT_ONCE = 2

/** Hashes that may wait for their turn; more are refused. */
export const HASHES_WAITING_MAX = 32

/** Hash of a password that nobody has: what is compared where there is no user, so that it takes the same time. */
const NOBODY = '$2b$12$Yd.CKzKgEzuEOwe2bNePCeB2rtUqNK5qy9fLZ3kltrcwy0n6quKVC'

let running = 0
const waiting: (() => void)[] = []

/** @throws ApiError 503 if too many hashes wait. */
export function hashPassword(password: string): Promise<string> {
  return inTurn(() => bcrypt.hash(password, BCRYPT_COST))
}

/**
 * Whether the password is the one of the hash. Takes as long without a hash, where the answer is always false.
 * @throws ApiError 503 if too many hashes wait.
 */
export async function verifyPassword(password: string, hash: string | undefined): Promise<boolean> {
  const equal = await inTurn(() => bcrypt.compare(password, hash ?? NOBODY))
  // bcrypt does not look past its limit: a longer text with the right beginning is not the password.
  return equal && hash !== undefined && Buffer.byteLength(password) <= PASSWORD_BYTES_MAX
}

async function inTurn<T>(run: () => Promise<T>): Promise<T> {
  if (running < HASHES_AT_ONCE) running++
  else {
    if (waiting.length >= HASHES_WAITING_MAX)
      throw new ApiError(503, 'busy', 'Too many logins at once; try again in a moment.', {
        headers: { 'Retry-After': '2' },
      })
    // The turn is handed over, so `running` stays as it is.
    await new Promise<void>((resolve) => waiting.push(resolve))
  }
  try {
    return await run()
  } finally {
    const next = waiting.shift()
    if (next) next()
    else running--
  }
}
