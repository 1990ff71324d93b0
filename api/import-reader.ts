/** Has files of geofences read in a thread, one after the other, within bounds of time and memory. */
import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import { threadUrl } from '../storage/project-root.ts'
import type { ImportTask, ReadFile } from './geofence-import-thread.ts'
import { ApiError } from './problem.ts'

/** Files that are read or wait for it; each takes up to 10 MB. */
const FILES_MAX = 4
/** How long a file may take, ms. */
const READ_TIMEOUT_MS = 30_000
const MEMORY_MB_MAX = 768
const RETRY_AFTER_S = 5

export class ImportReader {
  private waiting = 0
  private last: Promise<unknown> = Promise.resolve()

  /**
   * @param task Makes the task, from the body of the request for example.
   * @throws ApiError 503 if too many are being read, 422 if the file takes too long or too much memory.
   */
  async read(task: () => Promise<ImportTask>): Promise<ReadFile> {
    if (this.waiting === FILES_MAX) {
      throw new ApiError(503, 'busy', 'Other files are being imported; try again in a moment.', {
        headers: { 'Retry-After': String(RETRY_AFTER_S) },
      })
    }
    this.waiting++
    try {
      const given = await task()
      const read = this.last.then(() => readInThread(given))
      this.last = read.catch(() => undefined)
      return await read
    } finally {
      this.waiting--
    }
  }
}

/** In a thread of its own, since files are rare, and a thread that ran out of memory is none. */
async function readInThread(task: ImportTask): Promise<ReadFile> {
  const threads = new Piscina<ImportTask, ReadFile>({
    filename: fileURLToPath(threadUrl('api/geofence-import-thread')),
    name: 'readFile',
    minThreads: 0,
    maxThreads: 1,
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB_MAX },
  })
  const timeout = AbortSignal.timeout(READ_TIMEOUT_MS)
  try {
    return await threads.run(task, { signal: timeout })
  } catch (error) {
    const outOfMemory = (error as { code?: unknown }).code === 'ERR_WORKER_OUT_OF_MEMORY'
    if (!timeout.aborted && !outOfMemory) throw error
    const why = outOfMemory ? 'takes too much memory' : `takes longer than ${READ_TIMEOUT_MS / 1000} s`
    return { error: { code: 'import-too-large', detail: `reading the file ${why}: split it` } }
  } finally {
    await threads.destroy()
  }
}
