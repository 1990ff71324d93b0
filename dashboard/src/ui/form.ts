/** Parts of forms. */
import { element } from './dom.ts'

type Attributes = Record<string, string | number | boolean | null>

/** A label above its control, with a unit behind it if there is one. */
export function field(label: string, control: HTMLElement, unit = ''): HTMLElement {
  const parts = unit === '' ? [control] : [control, element('span', { class: 'unit' }, unit)]
  return element(
    'label',
    { class: 'field' },
    element('span', { class: 'field-label' }, label),
    element('span', { class: 'field-control' }, ...parts),
  )
}

/** A check box with its words behind it. */
export function checkbox(label: string, checked: boolean, onChange: (checked: boolean) => void): HTMLElement {
  const box = element('input', { type: 'checkbox', checked })
  box.addEventListener('change', () => onChange(box.checked))
  return element('label', { class: 'check' }, box, element('span', {}, label))
}

/**
 * An input for a number that may be left out.
 * @param onChange Called with the number, or null where there is none.
 */
export function numberInput(
  value: number | null,
  attributes: Attributes,
  onChange: (value: number | null) => void,
): HTMLInputElement {
  const input = element('input', { type: 'number', inputmode: 'decimal', value, step: 'any', ...attributes })
  input.addEventListener('input', () => {
    if (input.value === '') onChange(null)
    else if (!Number.isNaN(input.valueAsNumber)) onChange(input.valueAsNumber)
  })
  return input
}

/** A text input. */
export function textInput(
  value: string,
  attributes: Attributes,
  onChange: (value: string) => void,
): HTMLInputElement {
  const input = element('input', { type: 'text', value, autocomplete: 'off', ...attributes })
  input.addEventListener('input', () => onChange(input.value))
  return input
}

/** A choice of several. @param options Value and words of each. */
export function select(
  options: readonly (readonly [value: string, words: string])[],
  value: string,
  onChange: (value: string) => void,
): HTMLSelectElement {
  const made = element(
    'select',
    {},
    ...options.map(([of, words]) => element('option', { value: of, selected: of === value }, words)),
  )
  made.addEventListener('change', () => onChange(made.value))
  return made
}
