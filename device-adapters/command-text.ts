/** Texts that protocols' commands share. */
import { CommandError, type Session } from './adapter.ts'

/**
 * `text` itself, which ends no frame.
 * @throws CommandError if it holds a control character, such as the end of a line.
 */
export function oneLine(text: string): string {
  if (/\p{Cc}/u.test(text)) throw new CommandError('the text of a command holds a control character')
  return text
}

/**
 * `text` itself, for devices that take printable ASCII only.
 * @throws CommandError if it holds anything else, or nothing.
 */
export function printableAscii(text: string): string {
  if (!/^[\x20-\x7e]+$/.test(text)) throw new CommandError('a command must be printable ASCII')
  return text
}

/**
 * `text` itself, for protocols that send a byte for each character.
 * @throws CommandError if a character has none: it would be sent as another, such as the end of a line.
 */
export function latin1(text: string): string {
  if (/[^\0-\xff]/.test(text))
    throw new CommandError('the text of a command holds a character beyond Latin-1')
  return text
}

/**
 * Option `devicePassword` of the session's device.
 * @param usual What devices come with.
 * @throws CommandError if it is more than letters and digits.
 */
export function passwordOf(session: Session, usual: string): string {
  const password = String(session.device?.options.devicePassword ?? usual)
  if (!/^[A-Za-z0-9]{1,32}$/.test(password)) {
    throw new CommandError('the option devicePassword must be letters and digits')
  }
  return password
}
