/** Commands, in the form of the generation whose report came last. */
import { type Adapter, CommandError, type Reply } from '../../adapter.ts'
import { printableAscii } from '../../command-text.ts'
import type { SuntechSession, SuntechState } from './fields.ts'

/** Version of the commands of the older generations. */
const VERSION = '02'

/** Name of a command in the older generations, group and number in the universal protocol. */
interface Names {
  readonly legacy: string
  readonly universal: string
}

const POSITION: Names = { legacy: 'StatusReq', universal: '03;01' }
const REBOOT: Names = { legacy: 'Reboot', universal: '03;03' }
/** Outputs by their number, from 1. */
const OUTPUTS: readonly { readonly on: Names; readonly off: Names }[] = [
  output(1, '04;01', '04;02'),
  output(2, '04;03', '04;04'),
  output(3, '04;09', '04;10'),
]
const [ENGINE, ALARM] = OUTPUTS as [(typeof OUTPUTS)[0], (typeof OUTPUTS)[0]]

export const commands: NonNullable<Adapter<SuntechState>['commands']> = {
  engineStop: (_, session) => encode(ENGINE.on, session),
  engineResume: (_, session) => encode(ENGINE.off, session),
  alarmArm: (_, session) => encode(ALARM.on, session),
  alarmDisarm: (_, session) => encode(ALARM.off, session),
  positionSingle: (_, session) => encode(POSITION, session),
  rebootDevice: (_, session) => encode(REBOOT, session),
  outputControl({ index = 1, data }, session) {
    const names = OUTPUTS[index - 1]
    if (names === undefined) throw new CommandError(`there are outputs 1 to ${OUTPUTS.length}, not ${index}`)
    if (data !== '0' && data !== '1') throw new CommandError('an output is set to 0 or 1')
    return encode(data === '1' ? names.on : names.off, session)
  },
  custom: ({ data }) => `${printableAscii(data)}\r`,
}

function output(index: number, on: string, off: string): { readonly on: Names; readonly off: Names } {
  return {
    on: { legacy: `Enable${index}`, universal: on },
    off: { legacy: `Disable${index}`, universal: off },
  }
}

function encode(names: Names, { state, uniqueId }: SuntechSession): Reply {
  if (state.head === '') return `CMD;${uniqueId};${names.universal}\r`
  return `${state.head}CMD;${uniqueId};${VERSION};${names.legacy}\r`
}
