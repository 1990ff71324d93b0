/** Names of simulated devices: the same ones in every run, so that they can be registered before. */
import { ENCODERS, type SimulatedProtocol } from './encoders/index.ts'

/** Digits of an IMEI without its check digit. */
const IMEI_DIGITS = 14

/** Digits of the names of devices that have no IMEI, where the prefix leaves room for them. */
const NAME_DIGITS = 10
const NUMBER_DIGITS_MIN = 4

/** What names begin with unless told otherwise. */
const PREFIX = { imei: '35000000', name: '90' } as const

/**
 * Unique id of device `number` (0, 1, …) of a protocol: an IMEI with a valid check digit where devices of the protocol
 * have one, else the prefix and the number.
 *
 * @throws RangeError if the prefix cannot stand in such a name, or leaves no room for the number.
 */
export function uniqueIdOf(protocol: SimulatedProtocol, number: number, prefix?: string): string {
  if (!ENCODERS[protocol].namedByImei) {
    const start = prefix ?? PREFIX.name
    if (!/^[A-Za-z0-9_-]{0,40}$/.test(start)) {
      throw new RangeError(
        `the prefix ${JSON.stringify(start)} may have letters, digits, - and _, 40 at most`,
      )
    }
    return start + String(number).padStart(Math.max(NUMBER_DIGITS_MIN, NAME_DIGITS - start.length), '0')
  }
  const start = prefix ?? PREFIX.imei
  const digits = start + String(number).padStart(IMEI_DIGITS - start.length, '0')
  if (!/^\d*$/.test(start) || digits.length !== IMEI_DIGITS) {
    throw new RangeError(
      `an IMEI has no room for the prefix ${JSON.stringify(start)} and the number ${number}`,
    )
  }
  return digits + luhnDigit(digits)
}

/** Check digit of an IMEI (3GPP TS 23.003, annex B): every second digit counts twice. */
function luhnDigit(digits: string): string {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const value = Number(digits[i]) * (i % 2 === 1 ? 2 : 1)
    sum += value > 9 ? value - 9 : value
  }
  return String((10 - (sum % 10)) % 10)
}
