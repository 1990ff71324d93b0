import { describe, expect, it } from 'vitest'
import type { TrackFix, TrackKey } from '../storage/positions/tracks.ts'
import { NDJSON_TRACK } from './track-formats.ts'
import { bodyOf, type ReadPage, writeTrack } from './track-stream.ts'

/** As many as a piece has. */
const PAGE = 1_000
const PAGES = 50

function fixOf(n: number): TrackFix {
  return {
    fixTimeMs: n,
    receivedMs: n,
    latitudeDeg: n * 1e-3,
    longitudeDeg: 0,
    altitudeM: null,
    speedKmh: null,
    courseDeg: null,
    accuracyM: null,
    hdop: null,
    satellites: null,
  }
}

/** A track of pages that are counted as they are read. */
function track(toleranceM = 0, failingPage = PAGES) {
  const state = { pages: 0, ended: 0, error: undefined as unknown }
  const read: ReadPage = async (after: TrackKey | null) => {
    state.pages++
    if (state.pages > failingPage) throw new Error('the database went away')
    const from = after === null ? 0 : after.fixUs
    const fixes = Array.from({ length: PAGE }, (_, i) => fixOf(from + i))
    const to = from + PAGE
    return { fixes, next: to === PAGE * PAGES ? null : { fixUs: to, digest: '0' } }
  }
  const body = async () =>
    bodyOf(
      writeTrack(await read(null), read, toleranceM, NDJSON_TRACK.writer({ id: 1, name: '' })),
      (error) => {
        state.ended++
        state.error = error
      },
    )
  return { state, body }
}

describe('a streamed track', () => {
  it('reads no page before the one before is taken, and none after its reader is gone', async () => {
    const { state, body } = track()
    const reader = (await body()).getReader()
    for (let taken = 1; taken <= 5; taken++) {
      await reader.read()
      // Until whatever would go on by itself has gone on.
      await new Promise(setImmediate)
      // The stream has one piece ready.
      expect(state.pages).toBeLessThanOrEqual(taken + 2)
    }
    const { pages } = state
    await reader.cancel()
    await new Promise(setImmediate)
    expect(state).toEqual({ pages, ended: 1, error: undefined })
  })

  it('has every fix once, and ends once', async () => {
    const { state, body } = track()
    const text = await new Response(await body()).text()
    expect(text.trimEnd().split('\n')).toHaveLength(PAGE * PAGES)
    expect(state).toEqual({ pages: PAGES, ended: 1, error: undefined })
  })

  it('has the last fix also where that ends no segment yet', async () => {
    const { body } = track(10)
    const text = await new Response(await body()).text()
    const latitudes = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).latitude)
    expect(latitudes).toEqual([0, (PAGE * PAGES - 1) * 1e-3])
  })

  it('fails where a page can not be read, and tells why', async () => {
    const { state, body } = track(0, 3)
    await expect(new Response(await body()).text()).rejects.toThrow()
    expect(state.ended).toBe(1)
    expect(state.error).toMatchObject({ message: 'the database went away' })
  })
})
