/** The button on the map that shows and hides the panel beside it. */
import { button, icon } from './dom.ts'

/**
 * @param page The element whose `data-panel` says whether the panel is open.
 * @param label What is in the panel.
 * @param onToggled Called when the room of the map has changed.
 */
export function panelToggle(page: HTMLElement, label: string, onToggled: () => void): HTMLButtonElement {
  page.dataset.panel = 'open'
  const words = `Show or hide ${label}`
  const toggle = button(
    { class: 'quiet-button panel-toggle', 'aria-expanded': 'true', 'aria-label': words, title: words },
    () => {
      const open = page.dataset.panel !== 'open'
      page.dataset.panel = open ? 'open' : 'closed'
      toggle.setAttribute('aria-expanded', String(open))
      onToggled()
    },
    icon('list'),
  )
  return toggle
}
