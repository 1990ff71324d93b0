/** Which rule of a geofence holds for a device, when it makes events, and how far back the rules look. */
import { DEBOUNCE_FIXES_MAX, DEBOUNCE_S_MAX, type GeofenceRule } from '../../schemas/geofence.ts'
import type { Terms } from '../index/fence-map.ts'
import { inWindows } from './schedule.ts'

/** How far the last fixes go back: as far as both ask. */
export interface LookBack {
  /** At least so many, 1 or more. */
  readonly fixes: number
  /** And all that are not older than the last one of them by more, s. */
  readonly seconds: number
}

/** Enough for any rule. */
export const LOOK_BACK_MAX: LookBack = { fixes: 2 * DEBOUNCE_FIXES_MAX, seconds: DEBOUNCE_S_MAX }

/**
 * @param groups Ids of the device's groups.
 * @returns The first rule that is for the device; undefined = the geofence does not watch it.
 */
export function ruleFor({ rules }: Terms, groups: readonly number[]): GeofenceRule | undefined {
  for (const rule of rules) if (rule.group === null || groups.includes(rule.group)) return rule
  return undefined
}

/** Enough for all rules of `terms`. Of fixes of one time only one counts, so that more may have to be read. */
export function lookBackOf(terms: Iterable<Terms>): LookBack {
  let fixes = 1
  let seconds = 0
  for (const { rules } of terms) {
    for (const { debounceFixes, debounceS } of rules) {
      fixes = Math.max(fixes, debounceFixes)
      seconds = Math.max(seconds, debounceS)
    }
  }
  return { fixes: fixes > 1 ? 2 * fixes : 1, seconds }
}

/** When a device that entered at `enteredMs` has dwelt, ms UTC; NaN = the rule makes no event of it. */
export function dwellMs(rule: GeofenceRule, timeZone: string, enteredMs: number): number {
  return after(rule, timeZone, enteredMs, rule.dwellS)
}

/** When a device that left at `exitedMs` is absent, ms UTC; NaN = the rule makes no event of it. */
export function absenceMs(rule: GeofenceRule, timeZone: string, exitedMs: number): number {
  return after(rule, timeZone, exitedMs, rule.absenceS)
}

function after(rule: GeofenceRule, timeZone: string, startMs: number, seconds: number | null): number {
  if (seconds === null || Number.isNaN(startMs)) return Number.NaN
  const timeMs = startMs + seconds * 1000
  return inWindows(timeMs, timeZone, rule.windows) ? timeMs : Number.NaN
}
