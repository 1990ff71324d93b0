/** The protocols that devices can be simulated in, by their name on the command line. */
import { gt06 } from './gt06.ts'
import { h02 } from './h02.ts'
import { mqttJson } from './mqtt-json.ts'
import { osmand } from './osmand.ts'
import { teltonika } from './teltonika.ts'

export const ENCODERS = { teltonika, gt06, h02, osmand, mqtt: mqttJson } as const

export type SimulatedProtocol = keyof typeof ENCODERS
