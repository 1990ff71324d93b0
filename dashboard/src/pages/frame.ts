/** The frame of all pages of someone who is signed in: header, navigation, and the page that the address names. */
import { button, element, icon } from '../ui/dom.ts'
import { logo } from '../ui/logo.ts'
import type { Theme } from '../ui/theme.ts'
import type { Session } from '../wire/session.ts'
import type { Page, PageKind } from './page.ts'
import { hashOf, type Route, routeOf } from './route.ts'

export class Frame {
  readonly element: HTMLElement
  readonly #session: Session
  readonly #theme: Theme
  readonly #kinds: readonly PageKind[]
  readonly #links = new Map<string, HTMLAnchorElement>()
  readonly #status = element('div', { class: 'top-status' })
  readonly #room = element('div', { class: 'page-room' })
  #kind: PageKind | null = null
  #page: Page | null = null

  /**
   * @param kinds All pages; the first is shown where the address names none.
   * @param onSignOut Called when the person wants to leave.
   */
  constructor(session: Session, theme: Theme, kinds: readonly PageKind[], onSignOut: () => void) {
    this.#session = session
    this.#theme = theme
    this.#kinds = kinds
    this.element = element('div', { class: 'frame' }, this.#header(onSignOut), this.#room)
  }

  /** Shows the page that the address names; the element must be in the document. */
  start(): void {
    window.addEventListener('hashchange', this.#onHash)
    this.#show(routeOf(location.hash))
  }

  /** Ends the open page. */
  stop(): void {
    window.removeEventListener('hashchange', this.#onHash)
    this.#page?.stop()
    this.#page = null
  }

  readonly #onHash = (): void => this.#show(routeOf(location.hash))

  #show({ page: name, query }: Route): void {
    const kind = this.#kinds.find((candidate) => candidate.name === name) ?? this.#kinds[0]!
    if (kind === this.#kind && this.#page?.setQuery !== undefined) {
      this.#page.setQuery(query)
      return
    }
    this.#page?.stop()
    this.#kind = kind
    this.#status.replaceChildren()
    for (const [other, link] of this.#links) {
      if (other === kind.name) link.setAttribute('aria-current', 'page')
      else link.removeAttribute('aria-current')
    }
    document.title = `${kind.label} · FleetFlow`
    this.#page = kind.open({
      session: this.#session,
      theme: this.#theme,
      query,
      setStatus: (status) => this.#status.replaceChildren(status),
      keepQuery: (kept) => history.replaceState(null, '', hashOf({ page: kind.name, query: kept })),
    })
    this.#room.replaceChildren(this.#page.element)
    this.#page.start()
  }

  #header(onSignOut: () => void): HTMLElement {
    const links = this.#kinds.map(({ name, label }) => {
      const link = element('a', { href: `#${name}`, class: 'top-link' }, label)
      this.#links.set(name, link)
      return link
    })
    return element(
      'header',
      { class: 'top' },
      element('div', { class: 'brand' }, logo(), element('h1', {}, 'FleetFlow')),
      element('nav', { class: 'top-nav', 'aria-label': 'Pages' }, ...links),
      this.#status,
      element('div', { class: 'spacer' }),
      element('span', { class: 'who quiet' }, this.#session.email),
      button(
        {
          class: 'quiet-button',
          title: 'Light or dark',
          'aria-label': 'Change between light and dark',
          'data-action': 'theme',
        },
        () => this.#theme.toggle(),
        icon('sun'),
        icon('moon'),
      ),
      button(
        { class: 'quiet-button', title: 'Sign out', 'aria-label': 'Sign out', 'data-action': 'sign-out' },
        onSignOut,
        icon('exit'),
      ),
    )
  }
}
