/** Panels of which one is shown; arrows move between their tabs. */
import { button, element } from './dom.ts'

export interface Tab {
  readonly name: string
  readonly label: string
  readonly panel: HTMLElement
}

/**
 * @param label What the tabs are of, for those who do not see them.
 * @param onShow Called with the name of a tab that is opened.
 */
export function tabs(label: string, all: readonly Tab[], onShow: (name: string) => void): HTMLElement {
  const buttons: HTMLButtonElement[] = []
  const show = (index: number) => {
    for (const [at, { panel }] of all.entries()) {
      panel.hidden = at !== index
      buttons[at]!.setAttribute('aria-selected', String(at === index))
      buttons[at]!.tabIndex = at === index ? 0 : -1
    }
    onShow(all[index]!.name)
  }
  for (const [index, { name, label: words, panel }] of all.entries()) {
    panel.setAttribute('role', 'tabpanel')
    panel.setAttribute('aria-label', words)
    panel.classList.add('tab-panel')
    panel.hidden = index !== 0
    const tab = button(
      { class: 'tab', role: 'tab', 'data-tab': name, 'aria-selected': String(index === 0) },
      () => show(index),
      words,
    )
    tab.tabIndex = index === 0 ? 0 : -1
    tab.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
      if (step === undefined) return
      const to = (index + step + all.length) % all.length
      show(to)
      buttons[to]!.focus()
      event.preventDefault()
    })
    buttons.push(tab)
  }
  return element(
    'div',
    { class: 'tabs' },
    element('div', { class: 'tab-row', role: 'tablist', 'aria-label': label }, ...buttons),
    ...all.map(({ panel }) => panel),
  )
}
