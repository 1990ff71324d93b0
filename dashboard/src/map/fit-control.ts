/** The map's button that shows all there is. */
import type { IControl } from 'maplibre-gl'
import { button, element, icon } from '../ui/dom.ts'

export class FitControl implements IControl {
  readonly #action: { readonly label: string; readonly run: () => void }
  #element: HTMLElement | null = null

  constructor(action: { readonly label: string; readonly run: () => void }) {
    this.#action = action
  }

  onAdd(): HTMLElement {
    const { label, run } = this.#action
    this.#element = element(
      'div',
      { class: 'maplibregl-ctrl maplibregl-ctrl-group' },
      button({ class: 'fit', title: label, 'aria-label': label }, run, icon('fit')),
    )
    return this.#element
  }

  onRemove(): void {
    this.#element?.remove()
  }
}
