/** `npm run test:crash -- --kills 200 --seed 1`: the long form of the crash suite, as long as one likes. */
import { Command } from 'commander'
import { complaintsOf, type KillResult, runKills } from './kills.ts'

const EXIT_BROKEN = 1

const number = (text: string) => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0)
    throw new RangeError(`${JSON.stringify(text)} is no whole number`)
  return value
}

const startMs = performance.now()

function say(line: string): void {
  const seconds = Math.round((performance.now() - startMs) / 1000)
  process.stderr.write(`${String(seconds).padStart(5)} s  ${line}\n`)
}

function summaryOf(seed: number, result: KillResult): string {
  const { verdict, kills, recoveryMs, quarantined } = result
  const lines = {
    seed,
    kills: `${Object.values(kills).reduce((sum, count) => sum + count, 0)}: ${Object.entries(kills)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(', ')}; ${result.whileStarting} met an engine that was starting`,
    records: `${verdict.made} made, ${result.sent} sent (${result.sent - verdict.made} again), ${verdict.acknowledged} acknowledged, ${verdict.stored} stored, ${verdict.heartbeats} heartbeats beside them`,
    recovery: `p50 ${recoveryMs.p50} ms, p99 ${recoveryMs.p99} ms, max ${recoveryMs.max} ms`,
    engine: `${result.failedStarts} starts failed for want of the database, ${result.deaths.length} ends by itself, stopped with ${result.stop}`,
    quarantine: JSON.stringify(quarantined),
    result: `lost ${verdict.lost.length}, doubled ${verdict.doubled.length}, never sent ${verdict.foreign.length}, altered ${verdict.altered.length}`,
  }
  return Object.entries(lines)
    .map(([name, text]) => `${name.padEnd(11)} ${text}\n`)
    .join('')
}

const command = new Command('test:crash')
  .option('--kills <count>', 'kills', number, 200)
  .option('--seed <number>', 'seed of all that is random', number, Date.now() % 1_000_000)
  .action(async ({ kills, seed }: { kills: number; seed: number }) => {
    say(`${kills} kills, seed ${seed}`)
    const result = await runKills({ kills, seed, environment: given(), onProgress: say })
    process.stdout.write(summaryOf(seed, result))
    for (const complaint of complaintsOf(result)) {
      process.stdout.write(`BROKEN: ${complaint}\n`)
      process.exitCode = EXIT_BROKEN
    }
  })

/** Of the engine's own settings those that change what a reply promises. */
function given(): Record<string, string> {
  const { ACK_AFTER } = process.env
  return ACK_AFTER === undefined ? {} : { ACK_AFTER }
}

await command.parseAsync()
