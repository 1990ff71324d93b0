/** The map's button that shows the whole fleet. */
import type { IControl } from 'maplibre-gl'
import { button, element, icon } from '../ui/dom.ts'

export class FitControl implements IControl {
  readonly #onPress: () => void
  #element: HTMLElement | null = null

  constructor(onPress: () => void) {
    this.#onPress = onPress
  }

  onAdd(): HTMLElement {
    const label = 'Show the whole fleet'
    this.#element = element(
      'div',
      { class: 'maplibregl-ctrl maplibregl-ctrl-group' },
      button({ class: 'fit', title: label, 'aria-label': label }, this.#onPress, icon('fit')),
    )
    return this.#element
  }

  onRemove(): void {
    this.#element?.remove()
  }
}
