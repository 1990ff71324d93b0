/** Gives the person a file to keep. */
import { element } from './dom.ts'

/** Browsers take the file up to this late, ms. */
const TAKEN_AFTER_MS = 60_000

export function saveFile(file: Blob, name: string): void {
  const url = URL.createObjectURL(file)
  element('a', { href: url, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(url), TAKEN_AFTER_MS)
}
