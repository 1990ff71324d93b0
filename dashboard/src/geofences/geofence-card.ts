/** A geofence for those who may not change it. */
import type { Geofence } from '../../../schemas/geofence.ts'
import { button, element, icon } from '../ui/dom.ts'
import { ruleWords, shapeWords } from './geofence-words.ts'
import type { GroupChoice } from './rule-form.ts'

/** @param onClose Called when the person wants to close it. */
export function geofenceCard(
  { name, shape, rules, timeZone, disabled }: Geofence,
  groups: readonly GroupChoice[],
  onClose: () => void,
): HTMLElement {
  const row = (label: string, value: string) =>
    element('div', {}, element('dt', {}, label), element('dd', {}, value))
  const groupName = (id: number | null) =>
    id === null ? 'Every vehicle' : (groups.find((group) => group.id === id)?.name ?? `Group ${id}`)
  return element(
    'section',
    { class: 'details', 'aria-labelledby': 'geofence-title' },
    element(
      'header',
      {},
      element('h2', { class: 'title', id: 'geofence-title', tabindex: -1 }, name),
      button(
        { class: 'quiet-button', 'aria-label': 'Close the geofence', title: 'Close (Esc)' },
        onClose,
        icon('close'),
      ),
    ),
    element(
      'div',
      { class: 'details-body' },
      element(
        'dl',
        { class: 'values' },
        row('Shape', shapeWords(shape)),
        ...rules.map((rule) => row(groupName(rule.group), ruleWords(rule))),
        row('Time zone', timeZone),
        row('State', disabled ? 'Switched off' : 'Watching'),
      ),
    ),
  )
}
