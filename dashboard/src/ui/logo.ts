/** The mark of FleetFlow. */
import iconUrl from '../icon.svg?url'
import { element } from './dom.ts'

export function logo(): HTMLElement {
  return element('img', { src: iconUrl, alt: '', class: 'logo', width: 28, height: 28 })
}
