/** What a page says when it, or the stream, was too slow. */
import { formatCount } from '../ui/format.ts'

/** @param positions 0, and no events either: it is not known how many. */
export function laggingWords(positions: number, events: number): string {
  if (positions === 0 && events === 0) return 'This page was away for long: it shows where everyone is now.'
  const parts = [
    ...(positions === 0 ? [] : [`${formatCount(positions)} positions`]),
    ...(events === 0 ? [] : [`${formatCount(events)} events`]),
  ]
  return `The stream was too fast for this page: ${parts.join(' and ')} were left out. What is shown is the newest.`
}
