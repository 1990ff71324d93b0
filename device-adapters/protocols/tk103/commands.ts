/**
 * Commands of TK103 in their two forms: `(ID COMMAND)`, and `[begin]sms2,TEXT,[end]` for devices with the option
 * `alternative`, which takes the texts that such a device knows from short messages.
 */
import type { CommandAttributes, CommandType } from '../../../schemas/command.ts'
import { type Adapter, type CommandEncoder, CommandError, type Session } from '../../adapter.ts'
import { latin1, passwordOf } from '../../command-text.ts'

const DEFAULT_PASSWORD = '123456'
const INTERVAL_MAX_SECONDS = 0xffff

/** What a command says: a text, or how to make it; undefined in a form that cannot say it. */
type Text<Type extends CommandType> =
  | string
  | ((attributes: CommandAttributes<Type>, session: Session) => string)
  | undefined

export const COMMANDS: NonNullable<Adapter['commands']> = {
  custom: command(
    ({ data }) => printable(data, '()'),
    ({ data }) => printable(data, '[]'),
  ),
  positionSingle: command('AP00', '*getposl*'),
  positionPeriodic: command(({ frequency }) => `AR00${intervalOf(frequency)}0000`, '*routetrack*99*'),
  positionStop: command('AR0000000000', '*routetrackoff*'),
  engineStop: command('AV010', undefined),
  engineResume: command('AV011', undefined),
  outputControl: command(({ index, data }) => `AV00${stateOf(index, data)}`, undefined),
  setOdometer: command(({ data }) => `AX01${nothingBut(data)}`, undefined),
  rebootDevice: command('AT00', '88888888'),
  getVersion: command('AP07', '*about*'),
  powerOff: command(undefined, '*turnoff*'),
  getDeviceStatus: command(undefined, '*status*'),
  deviceIdentification: command(undefined, '999999'),
  modeDeepSleep: command(undefined, ({ enable }) => (enable ? '*sleep*2*' : '*sleepoff*')),
  modePowerSaving: command(undefined, ({ enable }) => (enable ? '*sleepv*' : '*sleepoff*')),
  alarmSos: command(undefined, ({ enable }) => (enable ? '*soson*' : '*sosoff*')),
  setConnection: command(
    undefined,
    ({ server, port }) => `*setip*${addressOf(server).replaceAll('.', '*')}*${port}*`,
  ),
  sosNumber: command(
    undefined,
    ({ phone }, session) => `*master*${passwordOf(session, DEFAULT_PASSWORD)}*${phone}*`,
  ),
}

function command<Type extends CommandType>(
  compact: Text<Type>,
  alternative: Text<Type>,
): CommandEncoder<Type, unknown> {
  return (attributes, session) => {
    const isAlternative = session.device?.options.alternative === true
    const text = isAlternative ? alternative : compact
    if (text === undefined) {
      throw new CommandError(
        isAlternative
          ? 'devices with the option "alternative" do not know this command'
          : 'only devices with the option "alternative" know this command',
      )
    }
    const said = typeof text === 'string' ? text : text(attributes, session)
    // A device of 11 digits may be registered with the parenthesis before them.
    return isAlternative ? `[begin]sms2,${said},[end]` : `(${session.uniqueId.replace('(', '')}${said})`
  }
}

function intervalOf(seconds: number): string {
  if (seconds > INTERVAL_MAX_SECONDS) {
    throw new CommandError(`an interval is ${INTERVAL_MAX_SECONDS} seconds at most`)
  }
  return seconds.toString(16).toUpperCase().padStart(4, '0')
}

function stateOf(index: number | undefined, data: string): string {
  if ((index ?? 1) !== 1) throw new CommandError('there is one output')
  if (!/^[01]$/.test(data)) throw new CommandError('an output is 0 or 1')
  return data
}

function nothingBut(metres: string | undefined): string {
  if (Number(metres ?? 0) !== 0) throw new CommandError('the mileage can only be set to 0')
  return ''
}

function addressOf(server: string): string {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(server)) throw new CommandError('the server must be an IPv4 address')
  return server
}

/** @param brackets Characters that the text may not hold, since they are around it. */
function printable(text: string, brackets: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it must not hold.
  if (/[\x00-\x1f\x7f]/.test(text) || [...brackets].some((bracket) => text.includes(bracket))) {
    throw new CommandError(`the text may hold no control characters and none of ${brackets}`)
  }
  return latin1(text)
}
