/** Where the project's own files lie, whether this runs from the sources or from dist/. */
import { existsSync } from 'node:fs'

/** Folder of package.json, with a slash at its end. */
export const projectRoot: URL = findRoot(new URL('.', import.meta.url))

/**
 * Built file of a worker thread, such as `threadUrl('ingest/shards/shard-thread')`: threads cannot load TypeScript on
 * Node 20, so they run from dist/ also when the caller runs from the sources.
 */
export function threadUrl(path: string): URL {
  return new URL(`dist/${path}.js`, projectRoot)
}

function findRoot(folder: URL): URL {
  if (existsSync(new URL('package.json', folder))) return folder
  const parent = new URL('..', folder)
  if (parent.href === folder.href) throw new Error(`no package.json above ${import.meta.url}`)
  return findRoot(parent)
}
