/** Which page an address means: `#replay?device=7&from=…`, so that loading again shows the same. */

/** A page and what it was asked for. */
export interface Route {
  readonly page: string
  readonly query: URLSearchParams
}

/** Path under which a shared map is shown without a login; a token follows. */
const SHARE_PATH = '/share/'

/** Route of a hash, with or without its `#`; an empty one names no page. */
export function routeOf(hash: string): Route {
  const text = hash.replace(/^#\/?/, '')
  const at = text.indexOf('?')
  return at === -1
    ? { page: text, query: new URLSearchParams() }
    : { page: text.slice(0, at), query: new URLSearchParams(text.slice(at + 1)) }
}

/** Hash of a route, with its `#`. */
export function hashOf({ page, query }: Route): string {
  const text = query.toString()
  return text === '' ? `#${page}` : `#${page}?${text}`
}

/** Token of a share link, or null where the path is none. */
export function shareTokenOf(path: string): string | null {
  const token = path.startsWith(SHARE_PATH) ? path.slice(SHARE_PATH.length).replace(/\/$/, '') : ''
  return token === '' ? null : token
}
