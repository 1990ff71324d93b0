/**
 * A track from the database to a client, page by page: the next page is read when the client has taken the one before, a
 * client that stops reading stops the reading, and one that goes away ends it. Between two pages no connection to the
 * database is held.
 */
import type { TrackFix, TrackKey } from '../storage/positions/tracks.ts'
import type { TrackWriter } from './track-formats.ts'
import { TrackSimplifier } from './track-simplifier.ts'

/** Fixes of one piece of a file at most. */
const PIECE_FIXES = 1_000

export type ReadPage = (after: TrackKey | null) => Promise<{ fixes: TrackFix[]; next: TrackKey | null }>

/** @param first The first page, which is read already. */
export async function* writeTrack(
  first: Awaited<ReturnType<ReadPage>>,
  read: ReadPage,
  toleranceM: number,
  writer: TrackWriter,
): AsyncGenerator<string> {
  let text = writer.head()
  let waiting: TrackFix[] = []
  const simplifier = toleranceM > 0 ? new TrackSimplifier<TrackFix>(toleranceM) : undefined
  for (let page: typeof first | undefined = first; page !== undefined; ) {
    for (const fix of page.fixes) {
      const kept = simplifier === undefined ? fix : simplifier.push(fix)
      if (kept === undefined) continue
      waiting.push(kept)
      if (waiting.length < PIECE_FIXES) continue
      text += writer.piece(waiting)
      waiting = []
    }
    if (text !== '') yield text
    text = ''
    page = page.next === null ? undefined : await read(page.next)
  }
  const last = simplifier?.end()
  if (last !== undefined) waiting.push(last)
  if (waiting.length > 0) text = writer.piece(waiting)
  yield text + writer.end()
}

/**
 * What is written as the body of an answer.
 * @param onEnd Called once, when all is taken, the client is gone or a page could not be read: with the error then.
 * @param breakOff Breaks the connection, so that what was sent is not taken for whole; without it the stream fails.
 */
export function bodyOf(
  pieces: AsyncGenerator<string>,
  onEnd: (error?: unknown) => void,
  breakOff?: () => void,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  let ended = false
  const end = (error?: unknown) => {
    if (ended) return
    ended = true
    onEnd(error)
  }
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await pieces.next()
        if (!done) return controller.enqueue(encoder.encode(value))
        controller.close()
        end()
      } catch (error) {
        end(error)
        if (breakOff === undefined) throw error
        breakOff()
      }
    },
    async cancel() {
      end()
      await pieces.return(undefined)
    },
  })
}
