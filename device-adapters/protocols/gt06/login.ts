/** Message 0x01: who the device is. */
import { DecodeError } from '../../adapter.ts'
import { luhnDigit } from '../../checksums.ts'
import { hasValidChecksum, isMeasured } from './frame.ts'
import type { Block } from './message.ts'

/**
 * IMEI as BCD, u8[8], with a leading 0; then type of the device and time zone, in some. A damaged one would give all
 * that follows to another device: with a wrong checksum its own check digit has to fit.
 */
export const login: Block = (message) => {
  const imei = message.hex(8).slice(1)
  const isSure = !isMeasured(message.frame) || hasValidChecksum(message.frame)
  if (!isSure && !(/^\d+$/.test(imei) && luhnDigit(imei.slice(0, -1)) === Number(imei.at(-1)))) {
    throw new DecodeError('checksum', 'the login is damaged')
  }
  message.session.identify(imei)
}
