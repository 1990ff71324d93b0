/** The dialog that makes, copies and takes back links to a vehicle or group. */
import type { ShareLink } from '../../../schemas/share-link.ts'
import { button, element, icon, setText } from '../ui/dom.ts'
import { formatTime } from '../ui/format.ts'
import { serverNowMs } from '../wire/clock.ts'
import { type Session, wordsOf } from '../wire/session.ts'
import { delayWords, makeLink, readLinks, revokeLink, type Shared, shareUrl } from './share-link.ts'

/** Roles that share what is theirs; a super admin belongs to no organisation. */
export const SHARERS = ['admin', 'manager', 'dispatcher'] as const

const HOUR_S = 3_600
const LIVES: readonly (readonly [seconds: number, label: string])[] = [
  [HOUR_S, '1 hour'],
  [4 * HOUR_S, '4 hours'],
  [24 * HOUR_S, '1 day'],
  [7 * 24 * HOUR_S, '7 days'],
  [30 * 24 * HOUR_S, '30 days'],
]
const LIFE_FIRST_S = 4 * HOUR_S
const DELAYS: readonly (readonly [seconds: number, label: string])[] = [
  [0, 'none: live'],
  [60, '1 minute'],
  [300, '5 minutes'],
  [900, '15 minutes'],
  [3600, '1 hour'],
]
const NAME_MAX = 200
const COPIED_MS = 2_000

export class ShareDialog {
  readonly element: HTMLDialogElement
  readonly #session: Session
  readonly #title = element('h2', { id: 'share-title' })
  readonly #name = element('input', {
    id: 'share-name',
    required: true,
    maxlength: NAME_MAX,
    autocomplete: 'off',
  })
  readonly #life = select('share-life', LIVES, LIFE_FIRST_S)
  readonly #delay = select('share-delay', DELAYS, 0)
  readonly #submit = element('button', { type: 'submit', class: 'primary' }, 'Make a link')
  readonly #fault = element('p', { class: 'fault small', role: 'alert' })
  readonly #made = element('div', { class: 'share-made', hidden: true })
  readonly #links = element('div', { class: 'share-links' })
  #shared: Shared | null = null
  /** Counts openings, so that a late answer to a former one is passed over. */
  #generation = 0

  constructor(session: Session) {
    this.#session = session
    const form = element(
      'form',
      { class: 'share-form' },
      element('label', { for: 'share-name' }, 'Name'),
      this.#name,
      element('label', { for: 'share-life' }, 'Works for'),
      this.#life,
      element('label', { for: 'share-delay' }, 'Delay'),
      this.#delay,
      this.#submit,
    )
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      this.#make().catch((error: unknown) => setText(this.#fault, `No link was made. ${wordsOf(error)}`))
    })
    this.element = element(
      'dialog',
      { class: 'dialog share-dialog', 'aria-labelledby': 'share-title' },
      element(
        'header',
        {},
        this.#title,
        button({ class: 'quiet-button', 'aria-label': 'Close' }, () => this.element.close(), icon('close')),
      ),
      element(
        'div',
        { class: 'dialog-body' },
        element(
          'p',
          { class: 'quiet' },
          'Whoever has the link sees where it is, without a login, and nothing else. Its name is shown to them.',
        ),
        form,
        this.#fault,
        this.#made,
        element('h3', {}, 'Links that work'),
        this.#links,
      ),
    )
    // Escape means the dialog here, not the vehicle behind it.
    this.element.addEventListener('keydown', (event) => event.stopPropagation())
    this.element.addEventListener('close', () => this.element.remove())
  }

  /** Opens the dialog for a vehicle or group. */
  open(shared: Shared): void {
    this.#shared = shared
    setText(this.#title, `Share ${shared.name}`)
    this.#name.value = shared.name.slice(0, NAME_MAX)
    setText(this.#fault, '')
    this.#hideMade()
    document.body.append(this.element)
    this.element.showModal()
    this.#name.select()
    this.#links.replaceChildren(element('p', { class: 'quiet' }, 'Loading the links…'))
    this.#readLinks()
  }

  async #make(): Promise<void> {
    const shared = this.#shared!
    setText(this.#fault, '')
    this.#hideMade()
    this.#submit.disabled = true
    try {
      const { token } = await makeLink(this.#session, shared, {
        name: this.#name.value.trim(),
        expiresAtMs: serverNowMs() + Number(this.#life.value) * 1000,
        delayS: Number(this.#delay.value),
      })
      if (shared === this.#shared) this.#showMade(shareUrl(token))
      this.#readLinks()
    } finally {
      this.#submit.disabled = false
    }
  }

  /** Takes the former link away, so that nobody copies it for the one that is asked for now. */
  #hideMade(): void {
    this.#made.hidden = true
    this.#made.replaceChildren()
  }

  #showMade(url: string): void {
    const field = element('input', { readonly: true, value: url, 'aria-label': 'The new link' })
    field.addEventListener('focus', () => field.select())
    const copy = button(
      { class: 'secondary' },
      () => {
        field.select()
        copyText(field).then(
          () => {
            setText(copy, 'Copied')
            setTimeout(() => setText(copy, 'Copy'), COPIED_MS)
          },
          () => setText(this.#fault, 'The browser did not copy it. Copy it by hand.'),
        )
      },
      'Copy',
    )
    this.#made.replaceChildren(
      element('div', { class: 'share-url' }, field, copy),
      element('p', { class: 'quiet small', role: 'status' }, 'Copy it now: it is shown this once.'),
    )
    this.#made.hidden = false
    copy.focus()
  }

  #readLinks(): void {
    const generation = ++this.#generation
    readLinks(this.#session, this.#shared!).then(
      (links) => {
        if (generation === this.#generation) this.#showLinks(links)
      },
      (error: unknown) => {
        if (generation !== this.#generation) return
        this.#links.replaceChildren(
          element('p', { class: 'fault', role: 'alert' }, `The links did not load. ${wordsOf(error)}`),
          button({ class: 'link' }, () => this.#readLinks(), 'Try again'),
        )
      },
    )
  }

  #showLinks(links: readonly ShareLink[]): void {
    const working = links.filter(({ expiresAt }) => Date.parse(expiresAt) > serverNowMs())
    if (working.length === 0) {
      this.#links.replaceChildren(element('p', { class: 'quiet' }, 'None yet.'))
      return
    }
    this.#links.replaceChildren(...working.map((link) => this.#linkRow(link)))
  }

  #linkRow({ id, name, expiresAt, delayS }: ShareLink): HTMLElement {
    const revoke = button(
      { class: 'secondary', 'aria-label': `Take back the link ${name}` },
      () => {
        revoke.disabled = true
        revokeLink(this.#session, id).then(
          () => this.#readLinks(),
          (error: unknown) => {
            revoke.disabled = false
            setText(this.#fault, `The link was not taken back. ${wordsOf(error)}`)
          },
        )
      },
      'Take back',
    )
    return element(
      'div',
      { class: 'share-row' },
      element(
        'div',
        { class: 'row-text' },
        element('span', { class: 'row-name' }, name),
        element(
          'span',
          { class: 'row-identity' },
          `until ${formatTime(Date.parse(expiresAt))}, ${delayWords(delayS)}`,
        ),
      ),
      revoke,
    )
  }
}

/** Copies the selected text of a field; where the page is not on HTTPS, the old way. */
async function copyText(field: HTMLInputElement): Promise<void> {
  if (navigator.clipboard !== undefined) await navigator.clipboard.writeText(field.value)
  else if (!document.execCommand('copy')) throw new Error('not copied')
}

function select(
  id: string,
  options: readonly (readonly [value: number, label: string])[],
  first: number,
): HTMLSelectElement {
  return element(
    'select',
    { id },
    ...options.map(([value, label]) => element('option', { value, selected: value === first }, label)),
  )
}
