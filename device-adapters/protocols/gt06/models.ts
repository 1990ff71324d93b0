/** Devices that share message numbers with others but not their meaning, by the model they are registered with. */

import type { Session } from '../../adapter.ts'
import type { Family, Gt06State } from './state.ts'

/** Location messages with source, IMEI and two times; vehicle voltage and engine hours. */
const NT = /^(NT(11|20|26|40|46)|VL100|XT40)$/

/** Jimi 4G trackers: alarm 0x30 is harsh braking (JM-VL03 protocol document, alert types). */
const VL = /^(JM-?)?(VL|LL)\d|^G18$/

/** Family of the session's device, kept in the state until the device changes. */
export function familyOf(session: Session<Gt06State>): Family {
  const { state, device } = session
  if (state.family === undefined || state.familyOf !== device) {
    state.familyOf = device
    state.family = familyOfModel(device?.model ?? '')
  }
  return state.family
}

/** @param model As registered, '' if unknown; case does not matter. */
function familyOfModel(model: string): Family {
  if (model === '') return 'standard'
  const name = model.toUpperCase()
  if (NT.test(name)) return 'nt'
  if (VL.test(name)) return 'vl'
  if (name.startsWith('LW')) return 'lw'
  if (name === 'SEEWORLD') return 'seeworld'
  if (name === 'R11') return 'r11'
  if (name === 'QH302R') return 'qh302r'
  return 'standard'
}
