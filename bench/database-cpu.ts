/** Processor time of PostgreSQL, from what Linux tells of its processes. */
import { readdir, readFile } from 'node:fs/promises'
import type pg from 'pg'

/** Of /proc: fixed in the interface of Linux. */
const TICKS_PER_SECOND = 100

/** Numbers of /proc/PID/stat after the name of the program, which may hold anything: the first is the third field. */
const STAT = { parent: 1, user: 11, system: 12, childrenUser: 13, childrenSystem: 14 } as const

/**
 * What the server and all its processes have used since it started, s, also those that have ended.
 * @returns NaN where its processes are not on this machine, or it is not Linux.
 */
export async function databaseCpuSeconds(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number; local: boolean }>(
    "SELECT pg_backend_pid() AS pid, coalesce(inet_server_addr() <<= '127.0.0.0/8', true) AS local",
  )
  const { pid, local } = rows[0]!
  const backend = await statOf(pid)
  if (!local || backend === undefined) return Number.NaN
  const server = backend[STAT.parent]!
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const stats = await Promise.all(pids.map(async (name) => ({ pid: Number(name), stat: await statOf(name) })))
  let ticks = 0
  for (const { pid, stat } of stats) {
    if (stat === undefined) continue
    if (pid === server) ticks += stat[STAT.childrenUser]! + stat[STAT.childrenSystem]!
    if (pid === server || stat[STAT.parent] === server) ticks += stat[STAT.user]! + stat[STAT.system]!
  }
  return ticks / TICKS_PER_SECOND
}

/** Undefined where there is no such process. */
async function statOf(pid: number | string): Promise<number[] | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined)
  return text
    ?.slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
}
