/** The thread of threads.ts, as a bare worker or as piscina's: it counts rows and gives the buffers back. */
import { parentPort, workerData } from 'node:worker_threads'
import pg from 'pg'
import { move, transferableSymbol, valueSymbol } from 'piscina'
import type { PositionBatchMessage } from '../schemas/position-batch.ts'

export type ThreadTask =
  | { readonly type: 'batch'; readonly batch: PositionBatchMessage }
  | { readonly type: 'objects'; readonly rows: readonly object[] }
  /** Opens a timer and a connection to the database which listens. */
  | {
      readonly type: 'open'
      readonly databaseUrl: string
      readonly channel: string
      readonly timerMs: number
    }
  | { readonly type: 'report' }
  | { readonly type: 'close' }

export interface ThreadAnswer {
  readonly rows: number
  readonly buffers: ArrayBuffer[]
  readonly idle?: IdleReport
}

export interface IdleReport {
  readonly timerTicks: number
  /** When the notification was heard, `Date.now()`; null = not yet. */
  readonly heardAt: number | null
}

let client: pg.Client | undefined
let timer: NodeJS.Timeout | undefined
let timerTicks = 0
let heardAt: number | null = null

async function answer(task: ThreadTask): Promise<ThreadAnswer> {
  switch (task.type) {
    case 'batch':
      return { rows: task.batch.length, buffers: [task.batch.rows, task.batch.attributes] }
    case 'objects':
      return { rows: task.rows.length, buffers: [] }
    case 'open':
      client = new pg.Client({ connectionString: task.databaseUrl })
      client.on('notification', () => {
        heardAt ??= Date.now()
      })
      await client.connect()
      await client.query(`LISTEN ${task.channel}`)
      timer = setInterval(() => timerTicks++, task.timerMs)
      return { rows: 0, buffers: [] }
    case 'report':
      return { rows: 0, buffers: [], idle: { timerTicks, heardAt } }
    case 'close':
      clearInterval(timer)
      await client?.end()
      return { rows: 0, buffers: [] }
  }
}

/** What piscina calls. */
export async function run(task: ThreadTask): Promise<unknown> {
  const result = await answer(task)
  if (result.buffers.length === 0) return result
  return move({ [transferableSymbol]: result.buffers, [valueSymbol]: result } as never)
}

if ((workerData as { bare?: boolean } | null)?.bare === true) {
  parentPort!.on('message', async (task: ThreadTask) => {
    const result = await answer(task)
    parentPort!.postMessage(result, result.buffers)
  })
}
