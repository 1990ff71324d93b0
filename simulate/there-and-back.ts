/**
 * Plays a span of a track there and back without end. A track that began anew at its end would throw its vehicle
 * across the town; one that turns back has no such jump, and every street is driven on as before.
 */
import { odometerAt, stateAt, type Track, type TrackState } from './track-player.ts'

/** From and to, ms UTC of the recording. */
export type Span = readonly [number, number]

/**
 * State of the vehicle `elapsedMs` after it started at the beginning of `span`; undefined while it is absent. The odometer counts
 * on over all turns.
 */
export function thereAndBack(track: Track, span: Span, elapsedMs: number): TrackState | undefined {
  const [fromMs, toMs] = span
  const lengthMs = toMs - fromMs
  const legs = Math.floor(elapsedMs / lengthMs)
  const intoMs = elapsedMs - legs * lengthMs
  const back = legs % 2 !== 0
  const timeMs = back ? toMs - intoMs : fromMs + intoMs
  const state = stateAt(track, timeMs)
  if (state === undefined) return undefined
  const [startM, endM] = [odometerAt(track, fromMs), odometerAt(track, toMs)]
  const legM = back ? endM - state.odometerM : state.odometerM - startM
  return {
    ...state,
    courseDeg: back ? (state.courseDeg + 180) % 360 : state.courseDeg,
    odometerM: legs * (endM - startM) + legM,
  }
}
