/** The protocols that devices can be simulated in, by the ids of the adapters that read them. */

import { atrack } from './atrack.ts'
import { eelink } from './eelink.ts'
import type { Encoder } from './encoder.ts'
import { galileo } from './galileo.ts'
import { gl200 } from './gl200.ts'
import { gps103 } from './gps103.ts'
import { gt06 } from './gt06.ts'
import { h02 } from './h02.ts'
import { jt808 } from './jt808.ts'
import { meitrack } from './meitrack.ts'
import { mqttJson } from './mqtt-json.ts'
import { osmand } from './osmand.ts'
import { ruptela } from './ruptela.ts'
import { suntech } from './suntech.ts'
import { teltonika } from './teltonika.ts'
import { tk103 } from './tk103.ts'
import { watch } from './watch.ts'
import { wialon } from './wialon.ts'

export const ENCODERS = {
  teltonika,
  gt06,
  h02,
  meitrack,
  atrack,
  osmand,
  'mqtt-json': mqttJson,
  suntech,
  ruptela,
  gps103,
  tk103,
  watch,
  wialon,
  eelink,
  gl200,
  jt808,
  galileo,
} as const

export type SimulatedProtocol = keyof typeof ENCODERS

/**
 * Protocols by their names, set apart by commas, each once; `all` is every one.
 * @throws RangeError if devices cannot be simulated in one of them.
 */
export function simulatedProtocols(names: string): SimulatedProtocol[] {
  if (names === 'all') return Object.keys(ENCODERS) as SimulatedProtocol[]
  return [...new Set(names.split(',').map((name) => simulatedProtocol(name.trim())))]
}

/** @throws RangeError if devices cannot be simulated in `protocol`. */
export function simulatedProtocol(protocol: string): SimulatedProtocol {
  if (Object.hasOwn(ENCODERS, protocol)) return protocol as SimulatedProtocol
  const known = Object.keys(ENCODERS).join(', ')
  throw Object.assign(new RangeError(`no device speaks ${JSON.stringify(protocol)}; give one of ${known}`), {
    code: 'unknown-protocol',
  })
}

/** Whether the server answers no report of the protocol: one counts as acknowledged once it is written. */
export function isUnanswered(protocol: SimulatedProtocol): boolean {
  const encoder: Encoder = ENCODERS[protocol]
  return 'unanswered' in encoder && encoder.unanswered === true
}
