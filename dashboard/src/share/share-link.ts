/** Links that show some vehicles to whoever has them: the shapes of the API, and what they say in words. */

import type { ShareLink } from '../../../schemas/share-link.ts'
import { formatWait } from '../ui/format.ts'
import type { Session } from '../wire/session.ts'

/** What a link shows: one vehicle or one group. */
export type Shared =
  | { readonly kind: 'device'; readonly id: number; readonly name: string }
  | { readonly kind: 'group'; readonly id: number; readonly name: string }

/** A new link; the token is told once. */
export interface NewShareLink extends ShareLink {
  readonly token: string
}

interface Page<Item> {
  readonly items: Item[]
  readonly next: string | null
}

const LINKS = '/api/v1/share-links'
const PAGE = 100
const PAGES_MAX = 20

/** Links to a vehicle or group, the newest first. @throws RequestError */
export async function readLinks(session: Session, shared: Shared): Promise<ShareLink[]> {
  const links: ShareLink[] = []
  let cursor: string | null = null
  for (let page = 0; page < PAGES_MAX; page++) {
    const query = new URLSearchParams({ limit: String(PAGE), ...(cursor === null ? {} : { cursor }) })
    const answer: Page<ShareLink> = await session.get<Page<ShareLink>>(`${LINKS}?${query}`)
    links.push(...answer.items)
    cursor = answer.next
    if (cursor === null) break
  }
  const shows = ({ devices, group }: ShareLink) =>
    shared.kind === 'group' ? group === shared.id : (devices ?? []).includes(shared.id)
  return links.filter(shows).sort((a, b) => b.id - a.id)
}

/** Makes a link. @throws RequestError */
export function makeLink(
  session: Session,
  shared: Shared,
  {
    name,
    expiresAtMs,
    delayS,
  }: { readonly name: string; readonly expiresAtMs: number; readonly delayS: number },
): Promise<NewShareLink> {
  const what = shared.kind === 'group' ? { group: shared.id } : { devices: [shared.id] }
  const expiresAt = new Date(expiresAtMs).toISOString()
  return session.post<NewShareLink>(LINKS, { ...what, name, expiresAt, delayS })
}

/** Takes a link back; who has it open sees no more. @throws RequestError */
export function revokeLink(session: Session, id: number): Promise<void> {
  return session.delete(`${LINKS}/${id}`)
}

/** Address of the page of a link. */
export function shareUrl(token: string): string {
  return `${location.origin}/share/${token}`
}

/** `live` or `5 minutes late`. */
export function delayWords(delayS: number): string {
  return delayS === 0 ? 'live' : `${formatWait(delayS * 1000)} late`
}
