/** How the parts of the replay page lie: what is replayed at the side, the map, and the clock below it. */
import { element } from '../ui/dom.ts'

export function replayLayout(
  side: readonly HTMLElement[],
  stage: readonly HTMLElement[],
  card: HTMLElement,
  clock: readonly HTMLElement[],
): HTMLElement {
  return element(
    'div',
    { class: 'app replay', 'data-details': 'closed' },
    element(
      'aside',
      { class: 'side', 'aria-label': 'What is replayed' },
      element('div', { class: 'replay-side' }, ...side),
    ),
    element('main', { class: 'stage' }, ...stage),
    card,
    element('section', { class: 'replay-bar', 'aria-label': 'Clock' }, ...clock),
  )
}
