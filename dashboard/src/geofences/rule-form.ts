/** The form of one rule: which events it makes, for whom, and when. */
import type { GeofenceRule } from '../../../schemas/geofence.ts'
import { button, element, icon } from '../ui/dom.ts'
import { checkbox, field, numberInput, select } from '../ui/form.ts'

/** What a rule is that nothing was said about: entering and leaving, of every vehicle. */
export const FIRST_RULE: GeofenceRule = {
  group: null,
  enter: true,
  exit: true,
  dwellS: null,
  absenceS: null,
  insideBy: null,
  debounceFixes: 1,
  debounceS: 0,
  crossingGapS: 0,
  speedLimitKmh: null,
  windows: [],
}

/** A device group to choose from. */
export interface GroupChoice {
  readonly id: number
  readonly name: string
}

const MINUTE_S = 60
const DAY_NAMES = ['Mo', 'Tu', 'We', 'Th', 'Fr', 'Sa', 'Su']
const WORK_DAYS = [1, 2, 3, 4, 5]
const MINUTES_MAX = 30 * 24 * 60

type Change = (values: Partial<GeofenceRule>) => void

/**
 * The form of a rule.
 * @param groups Device groups that it may be for.
 * @param onChange Called with the rule as it is then.
 * @param onRemove Called when the person takes it away; null where it is the only one.
 */
export function ruleForm(
  rule: GeofenceRule,
  groups: readonly GroupChoice[],
  onChange: (rule: GeofenceRule) => void,
  onRemove: (() => void) | null,
): HTMLElement {
  let current = rule
  const change: Change = (values) => {
    current = { ...current, ...values }
    onChange(current)
  }
  const minutes = (key: 'dwellS' | 'absenceS') => {
    const seconds = rule[key]
    const attributes = { min: 0.1, max: MINUTES_MAX, placeholder: 'never' }
    return numberInput(seconds === null ? null : seconds / MINUTE_S, attributes, (value) =>
      change({ [key]: value === null ? null : Math.max(1, Math.round(value * MINUTE_S)) }),
    )
  }
  const known = groups.some(({ id }) => id === rule.group)
  const choices: [string, string][] = [
    ['', 'Every vehicle'],
    ...groups.map(({ id, name }): [string, string] => [String(id), name]),
    ...(rule.group === null || known
      ? []
      : [[String(rule.group), `Group ${rule.group}`] as [string, string]]),
  ]
  const remove =
    onRemove === null
      ? []
      : [
          button(
            { class: 'quiet-button', 'aria-label': 'Remove this rule', title: 'Remove this rule' },
            onRemove,
            icon('close'),
          ),
        ]
  return element(
    'fieldset',
    { class: 'rule' },
    element('legend', { class: 'hidden-label' }, 'Rule'),
    element(
      'div',
      { class: 'rule-head' },
      field(
        'For',
        select(choices, rule.group === null ? '' : String(rule.group), (value) =>
          change({ group: value === '' ? null : Number(value) }),
        ),
      ),
      ...remove,
    ),
    element(
      'div',
      { class: 'checks', role: 'group', 'aria-label': 'Events' },
      checkbox('Entering', rule.enter, (enter) => change({ enter })),
      checkbox('Leaving', rule.exit, (exit) => change({ exit })),
    ),
    element(
      'div',
      { class: 'field-grid' },
      field('Staying for', minutes('dwellS'), 'min'),
      field('Away for', minutes('absenceS'), 'min'),
      field(
        'Faster than',
        numberInput(rule.speedLimitKmh, { min: 1, max: 1000, placeholder: 'never' }, (speedLimitKmh) =>
          change({ speedLimitKmh }),
        ),
        'km/h',
      ),
    ),
    timesForm(rule, change),
    jitterForm(rule, change),
  )
}

/** When the rule holds, and by when a vehicle must be there. */
function timesForm(rule: GeofenceRule, change: Change): HTMLElement {
  let { insideBy } = rule
  let windows = [...rule.windows]
  const due = element('div', { class: 'rule-part' })
  const drawDue = () => {
    const set = (value: GeofenceRule['insideBy']) => {
      insideBy = value
      change({ insideBy })
    }
    const toggle = checkbox('Must be inside by a time of day', insideBy !== null, (on) => {
      set(on ? { time: '08:00', days: WORK_DAYS } : null)
      drawDue()
    })
    if (insideBy === null) due.replaceChildren(toggle)
    else {
      due.replaceChildren(
        toggle,
        timeInput('By', insideBy.time, (time) => set({ ...insideBy!, time })),
        daysForm(insideBy.days, (days) => set({ ...insideBy!, days })),
      )
    }
  }
  const list = element('div', { class: 'rule-part' })
  const setWindows = (value: GeofenceRule['windows']) => {
    windows = value
    change({ windows })
  }
  const drawWindows = () => {
    const rows = windows.map((window, at) =>
      element(
        'div',
        { class: 'window' },
        timeInput('From', window.from, (from) => setWindows(windows.with(at, { ...windows[at]!, from }))),
        timeInput('To', window.to, (to) => setWindows(windows.with(at, { ...windows[at]!, to }))),
        button(
          { class: 'quiet-button', 'aria-label': 'Remove this time' },
          () => {
            setWindows(windows.toSpliced(at, 1))
            drawWindows()
          },
          icon('close'),
        ),
        daysForm(window.days, (days) => setWindows(windows.with(at, { ...windows[at]!, days }))),
      ),
    )
    const add = button(
      { class: 'link' },
      () => {
        setWindows([...windows, { days: WORK_DAYS, from: '08:00', to: '18:00' }])
        drawWindows()
      },
      windows.length === 0 ? 'Only at certain times' : 'Add another time',
    )
    list.replaceChildren(...rows, add)
  }
  drawDue()
  drawWindows()
  const open = rule.insideBy !== null || rule.windows.length > 0
  return element('details', { class: 'more', open }, element('summary', {}, 'Times of day'), due, list)
}

/** What keeps a vehicle at the border from coming and going. */
function jitterForm(rule: GeofenceRule, change: Change): HTMLElement {
  const whole = { step: 1, required: true }
  const open = rule.debounceFixes !== 1 || rule.debounceS !== 0 || rule.crossingGapS !== 0
  return element(
    'details',
    { class: 'more', open },
    element('summary', {}, 'At the border'),
    element(
      'div',
      { class: 'field-grid' },
      field(
        'Fixes that agree',
        numberInput(rule.debounceFixes, { ...whole, min: 1, max: 20 }, (value) =>
          change({ debounceFixes: value ?? 1 }),
        ),
      ),
      field(
        'For at least',
        numberInput(rule.debounceS, { ...whole, min: 0, max: 3600 }, (value) =>
          change({ debounceS: value ?? 0 }),
        ),
        's',
      ),
      field(
        'Passing through',
        numberInput(rule.crossingGapS, { ...whole, min: 0, max: 3600 }, (value) =>
          change({ crossingGapS: value ?? 0 }),
        ),
        's',
      ),
    ),
    element(
      'p',
      { class: 'quiet small' },
      'So many fixes in a row, over so many seconds, must agree before a vehicle counts as inside or outside. Or: a ' +
        'straight way through between two fixes outside counts, where they are no further apart than that.',
    ),
  )
}

function timeInput(label: string, value: string, onChange: (value: string) => void): HTMLElement {
  const input = element('input', { type: 'time', value, required: true })
  input.addEventListener('input', () => input.value !== '' && onChange(input.value))
  return field(label, input)
}

function daysForm(days: readonly number[], onChange: (days: number[]) => void): HTMLElement {
  const chosen = new Set(days)
  const boxes = DAY_NAMES.map((name, index) =>
    checkbox(name, chosen.has(index + 1), (on) => {
      if (on) chosen.add(index + 1)
      else chosen.delete(index + 1)
      onChange([...chosen].sort())
    }),
  )
  return element('div', { class: 'days', role: 'group', 'aria-label': 'Days' }, ...boxes)
}
