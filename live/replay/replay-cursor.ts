/**
 * Cursors of replays: how far one has come in the order of fix time, where rows stand before events of the same moment.
 * To clients they are opaque, and other than those of the log.
 */
import type { PositionBatch } from '../../schemas/position-batch.ts'
import type { ReplayEventKey, ReplayRowKey } from '../../storage/positions/replay.ts'

/** Everything was sent up to the row, or up to the event; or everything before a time, µs since 1970. */
export type ReplayPlace =
  | { readonly row: ReplayRowKey }
  | { readonly event: ReplayEventKey }
  | { readonly beforeUs: number }

/** First letter of what a cursor of a replay holds. */
const KIND = 'r'
const PATTERN = /^r(\d{1,16})(?:r(\d{1,10}),([0-9a-f]{1,8}),([0-9a-f]{1,8})|e(\d{1,16}))?$/

/** Of a row of a batch. */
export function rowKeyOf(batch: PositionBatch, row: number): ReplayRowKey {
  return {
    fixTimeUs: fixTimeUs(batch, row),
    device: batch.device[row]!,
    digestHigh: batch.digestHigh[row]!,
    digestLow: batch.digestLow[row]!,
  }
}

/** As it is stored: a fix time in ms may have a fraction. */
export function fixTimeUs(batch: PositionBatch, row: number): number {
  return Math.round(batch.fixTimeMs[row]! * 1_000)
}

/** Time of the place, µs since 1970. */
export function placeUs(place: ReplayPlace): number {
  if ('row' in place) return place.row.fixTimeUs
  return 'event' in place ? place.event.timeUs : place.beforeUs
}

export function writeReplayCursor(place: ReplayPlace): string {
  let text = KIND + placeUs(place)
  if ('row' in place) {
    const { device, digestHigh, digestLow } = place.row
    text += `r${device},${digestHigh.toString(16)},${digestLow.toString(16)}`
  } else if ('event' in place) text += `e${place.event.id}`
  return Buffer.from(text, 'latin1').toString('base64url')
}

/** @returns undefined if the text is no cursor of a replay. */
export function readReplayCursor(text: string): ReplayPlace | undefined {
  const parts = PATTERN.exec(Buffer.from(text, 'base64url').toString('latin1'))
  if (parts === null) return undefined
  const [, us, device, digestHigh, digestLow, event] = parts
  const timeUs = Number(us)
  // Beyond it there is no Date.
  if (timeUs > 8.64e18) return undefined
  if (event !== undefined) return { event: { timeUs, id: Number(event) } }
  if (device === undefined) return { beforeUs: timeUs }
  return {
    row: {
      fixTimeUs: timeUs,
      device: Number(device),
      digestHigh: Number.parseInt(digestHigh!, 16),
      digestLow: Number.parseInt(digestLow!, 16),
    },
  }
}
