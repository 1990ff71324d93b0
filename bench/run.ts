/** `npm run bench [-- NAME…]`: asks the questions, prints a table each, and writes docs/benchmarks.md when all were asked. */
import { writeFile } from 'node:fs/promises'
import { projectRoot } from '../storage/project-root.ts'
import { areas } from './areas.ts'
import { attributesColumn } from './attributes-column.ts'
import { Bench } from './bench.ts'
import { copyEncode } from './copy-encode.ts'
import { decode } from './decode.ts'
import { endToEnd } from './end-to-end.ts'
import { fanOut } from './fan-out.ts'
import { geofenceIngest } from './geofence-ingest.ts'
import { geofences } from './geofences.ts'
import { journal } from './journal.ts'
import { latency } from './latency.ts'
import { describeMachine } from './machine.ts'
import { parsers } from './parsers.ts'
import { publish } from './publish.ts'
import type { Question } from './question.ts'
import { replay } from './replay.ts'
import { streamReplay } from './stream-replay.ts'
import { type Answer, markdownPage, plainTable } from './tables.ts'
import { threads } from './threads.ts'

const QUESTIONS = [
  decode,
  parsers,
  copyEncode,
  geofences,
  threads,
  journal,
  endToEnd,
  geofenceIngest,
  latency,
  fanOut,
  areas,
  publish,
  attributesColumn,
  replay,
  streamReplay,
]
const EXIT_FAILURE = 1
const EXIT_USAGE = 64
const EXIT_INTERRUPTED = 130

const startMs = performance.now()
/** What is to be cleaned up now. */
let open: Bench | undefined
let ending = false

/** Cleans up and ends; what fails after that is of no interest. */
async function endWith(code: number): Promise<void> {
  if (ending) return
  ending = true
  await open
    ?.close()
    .catch((error: Error) => process.stderr.write(`bench: could not clean up: ${error.message}\n`))
  process.exit(code)
}

async function withBench<Result>(use: (bench: Bench) => Promise<Result>): Promise<Result> {
  open = await Bench.open(startMs)
  const result = await use(open)
  await open.close()
  open = undefined
  return result
}

async function ask(question: Question): Promise<Answer> {
  const questionMs = performance.now()
  const rows = await withBench((bench) => question.measure(bench))
  const answer = { question, rows, seconds: (performance.now() - questionMs) / 1000 }
  process.stdout.write(`\n${question.name}: ${question.title}\n\n${plainTable(rows)}\n\n`)
  for (const { name, meaning } of rows) process.stdout.write(`  ${name}: ${meaning}\n`)
  return answer
}

async function main(): Promise<void> {
  const names = process.argv.slice(2)
  const unknown = names.find((name) => !QUESTIONS.some((question) => question.name === name))
  if (unknown !== undefined) {
    const known = QUESTIONS.map(({ name }) => name).join(', ')
    process.stderr.write(`bench: no question "${unknown}"; there are ${known}\n`)
    process.exitCode = EXIT_USAGE
    return
  }
  const startedAt = new Date()
  const machine = await withBench(describeMachine)
  process.stdout.write(`${machine.join('\n')}\n`)
  const answers: Answer[] = []
  for (const question of QUESTIONS) {
    if (names.length === 0 || names.includes(question.name)) answers.push(await ask(question))
  }
  if (names.length > 0) return
  await writeFile(new URL('docs/benchmarks.md', projectRoot), markdownPage(answers, machine, startedAt))
  process.stdout.write('\ndocs/benchmarks.md is written\n')
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void endWith(EXIT_INTERRUPTED))
const failed = (error: unknown) => {
  if (!ending) process.stderr.write(`bench: ${error instanceof Error ? error.stack : error}\n`)
  void endWith(EXIT_FAILURE)
}
process.on('uncaughtException', failed)
process.on('unhandledRejection', failed)
await main().catch(failed)
