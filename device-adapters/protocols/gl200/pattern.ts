/**
 * Patterns over the fields of a message, for reports in which fields are there or not without saying so: which they are
 * shows only in what fits the rest. A rule takes fields from `at` on and asks `next` whether the rest fits; it is greedy,
 * and gives back what it took until the rest does fit.
 */

/** What a pattern took. */
export class Taken {
  /** Fields from this one on. */
  readonly start: number
  /** And up to this one, which is left out. */
  end = 0
  private readonly fields = new Map<string, string>()
  private readonly groups = new Map<string, Taken[]>()

  constructor(start: number) {
    this.start = start
  }

  /** A field by its name; '' where it is empty or not there. */
  get(name: string): string {
    return this.fields.get(name) ?? ''
  }

  /** Sets a field, or takes it back. */
  set(name: string, value: string | undefined): void {
    if (value === undefined) this.fields.delete(name)
    else this.fields.set(name, value)
  }

  /** What the rule of this name took each time. */
  all(name: string): Taken[] {
    let groups = this.groups.get(name)
    if (groups === undefined) {
      groups = []
      this.groups.set(name, groups)
    }
    return groups
  }
}

export type Rule = (
  values: readonly string[],
  at: number,
  taken: Taken,
  next: (at: number) => boolean,
) => boolean

/** One field that fits `pattern`, by name where the report has a use for it. */
export function field(pattern: RegExp, name?: string): Rule {
  return (values, at, taken, next) => {
    const value = values[at]
    if (value === undefined || !pattern.test(value)) return false
    if (name === undefined) return next(at + 1)
    taken.set(name, value)
    if (next(at + 1)) return true
    taken.set(name, undefined)
    return false
  }
}

export function sequence(...rules: readonly Rule[]): Rule {
  return (values, at, taken, next) => {
    const from = (index: number, place: number): boolean =>
      index === rules.length
        ? next(place)
        : rules[index]!(values, place, taken, (rest) => from(index + 1, rest))
    return from(0, at)
  }
}

export function optional(...rules: readonly Rule[]): Rule {
  const rule = sequence(...rules)
  return (values, at, taken, next) => rule(values, at, taken, next) || next(at)
}

export function either(...rules: readonly Rule[]): Rule {
  return (values, at, taken, next) => rules.some((rule) => rule(values, at, taken, next))
}

/** The rule `min` to `max` times, as often as it can: {@link Taken.all} has what it took each time. */
export function repeated(name: string, min: number, max: number, ...rules: readonly Rule[]): Rule {
  const rule = sequence(...rules)
  return (values, at, taken, next) => {
    const more = (count: number, place: number): boolean => {
      const group = new Taken(place)
      const again =
        count < max &&
        rule(values, place, group, (end) => {
          group.end = end
          taken.all(name).push(group)
          if (more(count + 1, end)) return true
          taken.all(name).pop()
          return false
        })
      return again || (count >= min && next(place))
    }
    return more(0, at)
  }
}

/** Whatever is left but the last field: one field or more. */
export const ALL_BUT_LAST: Rule = (values, at, _taken, next) =>
  values.length - at >= 2 && next(values.length - 1)

/** What `rule` takes of all fields from `at` on; undefined if they do not fit it. */
export function match(rule: Rule, values: readonly string[], at: number): Taken | undefined {
  const taken = new Taken(at)
  return rule(values, at, taken, (end) => end === values.length) ? taken : undefined
}
