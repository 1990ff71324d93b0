/** Short notices over the map: what went wrong, and what to do. */
import { button, element, icon } from './dom.ts'

const NOTICES_MAX = 3

export class Notices {
  readonly element = element('div', { class: 'notices', role: 'status' })

  /**
   * Shows a notice.
   * @param key One notice of a key is shown at a time; a new one takes its place.
   * @param action What the person can do about it, if the page can do it for them.
   */
  show(key: string, text: string, action?: { readonly label: string; readonly run: () => void }): void {
    this.clear(key)
    const notice = element('div', { class: 'notice', 'data-key': key }, element('p', {}, text))
    if (action !== undefined) {
      const run = () => {
        notice.remove()
        action.run()
      }
      notice.append(button({ class: 'link' }, run, action.label))
    }
    const close = () => notice.remove()
    notice.append(button({ class: 'quiet-button', 'aria-label': 'Close this notice' }, close, icon('close')))
    this.element.append(notice)
    while (this.element.childElementCount > NOTICES_MAX) this.element.firstElementChild!.remove()
  }

  /** Takes the notice of a key away. */
  clear(key: string): void {
    for (const notice of [...this.element.children]) {
      if ((notice as HTMLElement).dataset.key === key) notice.remove()
    }
  }
}
