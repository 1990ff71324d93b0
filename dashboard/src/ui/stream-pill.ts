/** Whether what is shown is live, in the header. */
import type { StreamStatus } from '../wire/stream.ts'
import { button, element, setText } from './dom.ts'

export class StreamPill {
  readonly element: HTMLElement
  readonly #text = element('span', {}, 'Connecting…')
  /** The countdown would make a screen reader talk every second: it stands outside the live region. */
  readonly #countdown = element('span', { class: 'countdown', 'aria-hidden': 'true' })
  readonly #retry: HTMLButtonElement
  readonly #goodWord: string
  #status: StreamStatus = { kind: 'connecting' }

  /**
   * @param onRetry The person does not want to wait for the next attempt.
   * @param goodWord What it says while nothing is wrong.
   */
  constructor(onRetry: () => void, goodWord = 'Live') {
    this.#goodWord = goodWord
    this.#retry = button({ class: 'link', hidden: true }, onRetry, 'Try now')
    this.element = element(
      'div',
      { class: 'stream-pill', 'data-status': 'connecting' },
      element('span', { class: 'lamp', 'aria-hidden': 'true' }),
      element('span', { role: 'status' }, this.#text),
      this.#countdown,
      this.#retry,
    )
  }

  show(status: StreamStatus): void {
    this.#status = status
    this.element.dataset.status = status.kind
    this.#retry.hidden = status.kind !== 'lost'
    const delayed = status.kind === 'live' && status.delay !== null
    this.element.dataset.delayed = String(delayed)
    this.element.title = delayed ? (status.delay ?? '') : ''
    const words = {
      connecting: 'Connecting…',
      live: delayed ? `${this.#goodWord}, delayed` : this.#goodWord,
      lost: 'Connection lost',
    }
    setText(this.#text, words[status.kind])
    this.tick()
  }

  /** Counts down to the next attempt. */
  tick(): void {
    const status = this.#status
    if (status.kind !== 'lost') setText(this.#countdown, '')
    else {
      const seconds = Math.max(1, Math.ceil((status.retryAtMs - Date.now()) / 1000))
      setText(this.#countdown, `again in ${seconds} s`)
    }
  }
}
