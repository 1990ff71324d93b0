/**
 * The long forms of the crash suite, one or several of
 *
 *     npm run test:crash -- --kills 200 --seed 1
 *     npm run test:crash -- --outage 300
 *     npm run test:crash -- --behind 10
 *     npm run test:crash -- --disk-full
 *     npm run test:crash -- --clients 1000 --kills 40
 *
 * 200 kills if nothing is asked for. Ends with 1 where something was lost, doubled or else not as promised.
 */
import { Command } from 'commander'
import { complaintsOfBehind, runBehind } from './behind.ts'
import { complaintsOfDiskFull, runDiskFull } from './disk-full.ts'
import { complaintsOf, runKills } from './kills.ts'
import { complaintsOfOutage, runOutage } from './outage.ts'
import type { Verdict } from './verify.ts'

const EXIT_BROKEN = 1
const KILLS = 200
/** Longest time that a client of the stream stays, and that it stays away, ms. */
const STAY_MS_MAX = 20_000
const AWAY_MS_MAX = 60_000
const OUTAGE_RECORDS_PER_SECOND = 2000

interface Asked {
  readonly kills?: number
  readonly outage?: number
  readonly behind?: number
  readonly diskFull?: true
  readonly clients?: number
  readonly seed: number
}

const startMs = performance.now()

function say(line: string): void {
  const seconds = Math.round((performance.now() - startMs) / 1000)
  process.stderr.write(`${String(seconds).padStart(5)} s  ${line}\n`)
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new RangeError(`${JSON.stringify(text)} is no whole number above 0`)
  }
  return value
}

/** Writes what was found, a line each, and what is wrong with it. */
function tell(
  lines: Readonly<Record<string, string>>,
  verdict: Verdict,
  complaints: readonly string[],
): void {
  const all = {
    ...lines,
    records: `${verdict.made} made, ${verdict.acknowledged} acknowledged, ${verdict.stored} stored, ${verdict.heartbeats} heartbeats beside them`,
    result: `lost ${verdict.lost.length}, doubled ${verdict.doubled.length}, never sent ${verdict.foreign.length}, altered ${verdict.altered.length}`,
  }
  for (const [name, text] of Object.entries(all)) process.stdout.write(`${name.padEnd(12)} ${text}\n`)
  for (const complaint of complaints) process.stdout.write(`BROKEN: ${complaint}\n`)
  if (complaints.length > 0) process.exitCode = EXIT_BROKEN
}

async function kill(kills: number, seed: number, clients: number | undefined): Promise<void> {
  const { ACK_AFTER } = process.env
  say(`${kills} kills, seed ${seed}`)
  const environment = ACK_AFTER === undefined ? {} : { ACK_AFTER }
  const result = await runKills({
    kills,
    seed,
    environment,
    onProgress: say,
    ...(clients === undefined
      ? {}
      : { clients: { count: clients, stayMsMax: STAY_MS_MAX, awayMsMax: AWAY_MS_MAX } }),
  })
  const { verdict, recoveryMs, stream } = result
  const byKind = Object.entries(result.kills).map(([kind, count]) => `${count} ${kind}`)
  tell(
    {
      seed: String(seed),
      kills: `${kills}: ${byKind.join(', ')}; ${result.whileStarting} met an engine that was starting`,
      sent: `${result.sent}, ${result.sent - verdict.made} of them again`,
      recovery: `p50 ${recoveryMs.p50} ms, p99 ${recoveryMs.p99} ms, max ${recoveryMs.max} ms`,
      engine: `${result.failedStarts} starts failed for want of the database, ${result.deaths.length} ends by itself, stopped with ${result.stop}`,
      ...(stream === null
        ? {}
        : {
            stream: `${stream.clients} clients, ${stream.rows} rows and ${stream.events} events, ${stream.drops} dropped, ${stream.losses} lost with the engine, ${stream.lagging} told to be lagging`,
          }),
      quarantine: JSON.stringify(result.quarantined),
    },
    verdict,
    complaintsOf(result),
  )
}

async function endure(seconds: number, seed: number): Promise<void> {
  const options = { seconds, seed, recordsPerSecond: OUTAGE_RECORDS_PER_SECOND, onProgress: say }
  say(`the database is away for ${seconds} s, seed ${seed}`)
  const result = await runOutage(options)
  const { drain, samples, acknowledgedPerSecond } = result
  const last = samples.at(-1)!
  const rounded = (value: number) => String(Math.round(value * 10) / 10)
  tell(
    {
      outage: `${seconds} s`,
      replies: `${rounded(acknowledgedPerSecond.before)}/s before, ${rounded(acknowledgedPerSecond.during)}/s meanwhile, longest silence ${rounded(result.silenceMs)} ms`,
      lag: `${last.lagRecords} frames, ${rounded(last.lagSeconds)} s; /ready ${last.readiness.status} ${last.readiness.body}`,
      memory: `${rounded(result.rssGrowthBytes.away / 1e6)} MB more at its highest while away, ${rounded(result.rssGrowthBytes.draining / 1e6)} MB while draining`,
      drain: `${drain.backlogRows} rows in ${rounded(drain.seconds)} s: ${rounded(drain.backlogRowsPerSecond)}/s, ${rounded(drain.backlogRowsPerSecond / acknowledgedPerSecond.before)} times the arrivals; begun after ${rounded(drain.waitSeconds)} s`,
      fresh: `${drain.freshRows} rows meanwhile, waited ${rounded(drain.freshWaitSeconds.p50)} s (p50), ${rounded(drain.freshWaitSeconds.max)} s (max)`,
    },
    result.verdict,
    complaintsOfOutage(options, result),
  )
}

async function fallBehind(outages: number, seed: number): Promise<void> {
  say(`${outages} outages with kills in the middle of the drain, seed ${seed}`)
  const result = await runBehind({ outages, seed, onProgress: say })
  const { midDrain, deaths, stop } = result
  tell(
    {
      behind: `${outages} outages, ${midDrain} of ${2 * outages} kills met a backlog`,
      engine: `${deaths.length} ends by itself, stopped with ${stop}`,
    },
    result.verdict,
    complaintsOfBehind(result),
  )
}

async function fill(seed: number): Promise<void> {
  say(`the disk is full, seed ${seed}`)
  const result = await runDiskFull({ seed, onProgress: say })
  tell(
    {
      'disk full': `${result.whileFull.acknowledged} records acknowledged, ${result.whileFull.taken} taken, ${result.whileFull.pendingBytes} bytes waiting; /ready ${result.readiness.status} ${result.readiness.body}`,
      resume: `after ${Math.round(result.resumeMs)} ms, after a kill on the full disk ${Math.round(result.resumeAfterKillMs)} ms`,
    },
    result.verdict,
    complaintsOfDiskFull(result),
  )
}

await new Command('test:crash')
  .option('--kills <count>', 'kills of engine, database, both', wholeNumber)
  .option('--clients <count>', 'with --kills: clients of the stream that are dropped meanwhile', wholeNumber)
  .option('--outage <seconds>', 'a database that is away for so long', wholeNumber)
  .option('--behind <outages>', 'so many outages, with kills in the middle of the drain', wholeNumber)
  .option('--disk-full', 'a full disk under the journal; root only')
  .option('--seed <number>', 'seed of all that is random', wholeNumber, (Date.now() % 1_000_000) + 1)
  .action(async ({ kills, clients, outage, behind, diskFull, seed }: Asked) => {
    const nothing = [kills, outage, behind, diskFull].every((form) => form === undefined)
    if (kills !== undefined || nothing) await kill(kills ?? KILLS, seed, clients)
    if (outage !== undefined) await endure(outage, seed)
    if (behind !== undefined) await fallBehind(behind, seed)
    if (diskFull) await fill(seed)
  })
  .parseAsync()
