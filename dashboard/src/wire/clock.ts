/** The server's clock as far as this page knows it: ages of fixes must not depend on a wrong clock here. */

let offsetMs = 0

/**
 * Learns the server's time from the `Date` header of an answer.
 * @param header RFC 9110 date, to the second; null and nonsense are passed over.
 */
export function noteServerDate(header: string | null): void {
  const serverMs = header === null ? Number.NaN : Date.parse(header)
  if (Number.isNaN(serverMs)) return
  const differenceMs = serverMs - Date.now()
  // The header has whole seconds and the answer took a while: below this, the clocks agree.
  offsetMs = Math.abs(differenceMs) > 2_000 ? differenceMs : 0
}

/** Now by the server's clock, ms UTC. */
export function serverNowMs(): number {
  return Date.now() + offsetMs
}
