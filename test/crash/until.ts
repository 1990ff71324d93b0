/** Waiting for what another process does: it can only be asked. */
import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 60

/** Asks until the answer is yes. @throws Error with `complaint` when it takes longer than `timeoutMs`. */
export async function until(
  met: () => boolean | Promise<boolean>,
  timeoutMs: number,
  complaint: () => string,
): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await met())) {
    if (performance.now() > end) throw new Error(complaint())
    await delay(POLL_MS)
  }
}
