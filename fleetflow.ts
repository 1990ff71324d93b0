/** Command line: `fleetflow COMMAND`. Wiring only. */
import { Command, CommanderError, Option } from 'commander'
import { decode } from './commands/decode.ts'
import { demo } from './commands/demo.ts'
import { migrateDatabase } from './commands/migrate.ts'
import { reprocessDevice } from './commands/reprocess.ts'
import { simulateDevices } from './commands/simulate.ts'
import { start } from './commands/start.ts'
import { ConfigError } from './config.ts'

/** sysexits.h: the command was used wrongly, something inside failed, the configuration is wrong. */
const EXIT_USAGE = 64
const EXIT_FAILURE = 1
const EXIT_CONFIG = 78

const program = new Command('fleetflow')
  .description('A tracking engine for fleets: devices push, dashboards subscribe, operators replay.')
  .exitOverride()

program
  .command('start')
  .description('run the engine; configuration comes from the environment')
  .option(
    '--role <role>',
    'ingest, live or api, several set apart by commas or given one by one; default: all',
    (role: string, before: string[] = []) => [...before, role],
  )
  .action(start)
program
  .command('migrate')
  .description('bring the database to the schema of this version')
  .action(migrateDatabase)
program.command('demo').description("run the engine with a day of a real city's buses").action(demo)
program
  .command('decode')
  .description('decode recorded device messages: JSON lines in, JSON lines out')
  .option('--protocol <name>', 'for lines that name none')
  .action(decode)
program
  .command('reprocess')
  .description('decode once more what a device sent, out of the journal, and correct what is stored')
  .requiredOption('--device <id>', 'unique id of the device')
  .requiredOption('--from <time>', 'frames received from then on, such as 2026-03-01T00:00:00Z')
  .requiredOption('--to <time>', 'and before then')
  .option('--dry-run', 'only print what would be added, changed and removed')
  .action(reprocessDevice)
program
  .command('simulate')
  .description('drive simulated devices along real tracks at a server')
  .requiredOption(
    '--protocol <name>',
    'such as teltonika; several set apart by commas, whose devices take turns; or all',
  )
  .addOption(new Option('--devices <count>', 'number of devices').default(10).argParser(positive))
  .addOption(
    new Option('--rate <positions>', 'positions a second, all devices together')
      .default(10)
      .argParser(positive),
  )
  .option('--tracks <file>', 'CSV of tracks, may be gzipped; default: the buses of the demo')
  .option('--host <host>', 'server', '127.0.0.1')
  .addOption(new Option('--port <port>', "default: the protocol's customary port").argParser(positive))
  .addOption(new Option('--seconds <seconds>', 'stop after so long; default: at Ctrl-C').argParser(positive))
  .option('--id-prefix <digits>', 'first digits of the ids of the devices')
  .option('--device-password <password>', 'password of the devices, where the protocol has one')
  .action(simulateDevices)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE
  else {
    const { code, message } = error as Error & { code?: string }
    process.stderr.write(`fleetflow: ${code === undefined ? '' : `${code}: `}${message}\n`)
    process.exitCode = error instanceof ConfigError ? EXIT_CONFIG : EXIT_FAILURE
  }
}

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0))
    throw new CommanderError(EXIT_USAGE, 'fleetflow.not-positive', `"${text}" is not a number above 0`)
  return value
}
