import { ImportError } from './import-error.ts'

const DEPTH_MAX = 50
const TAGS_MAX = 400_000
const ATTRIBUTES_MAX = 100

/**
 * Goes over the tags of an XML text once, before a parser makes objects of them, and refuses what would take it long:
 * more than so many or so deep, declarations of a document type, elements called `unnested` in each other.
 * @returns how many elements called `unnested` there are
 * @throws {ImportError}
 */
export function scanXml(text: string, unnested: string): number {
  let [depth, tags, found, foundAtDepth] = [0, 0, 0, 0]
  for (let at = text.indexOf('<'); at >= 0; at = text.indexOf('<', at)) {
    if (text.startsWith('<!--', at)) at = after(text, '-->', at)
    else if (text.startsWith('<![CDATA[', at)) at = after(text, ']]>', at)
    else if (text.startsWith('<?', at)) at = after(text, '?>', at)
    else if (text.startsWith('<!', at)) throw notKml('it declares a document type, which is not read')
    else {
      const end = endOfTag(text, at)
      if (++tags > TAGS_MAX) throw notKml(`it has more than ${TAGS_MAX} tags: split it`)
      if (text[at + 1] === '/') {
        if (depth === foundAtDepth) foundAtDepth = 0
        depth--
      } else {
        const opens = text[end - 2] !== '/'
        if (opens && ++depth > DEPTH_MAX) throw notKml(`its elements are nested deeper than ${DEPTH_MAX}`)
        if (isNamed(text, at + 1, unnested)) {
          if (foundAtDepth > 0) throw notKml(`a ${unnested} lies inside another`)
          found++
          if (opens) foundAtDepth = depth
        }
      }
      at = end
    }
  }
  return found
}

function isNamed(text: string, at: number, name: string): boolean {
  return text.startsWith(name, at) && /[\s/>]/.test(text[at + name.length]!)
}

/** Behind the `>` that is not within quotes. */
function endOfTag(text: string, start: number): number {
  let attributes = 0
  for (let at = start + 1; at < text.length; at++) {
    const sign = text[at]!
    if (sign === '>') return at + 1
    if (sign === '"' || sign === "'") {
      if (++attributes > ATTRIBUTES_MAX) throw notKml(`an element has more than ${ATTRIBUTES_MAX} attributes`)
      at = after(text, sign, at + 1) - 1
    }
  }
  throw notKml('a tag does not end')
}

function after(text: string, end: string, from: number): number {
  const at = text.indexOf(end, from)
  if (at < 0) throw notKml(`a ${end} is missing`)
  return at + end.length
}

function notKml(reason: string): ImportError {
  return new ImportError('import-not-kml', `the file is not taken as KML: ${reason}`)
}
