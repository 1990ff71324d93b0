import { kmlGen } from '@tmcw/togeojson'
import { DOMParser, type Element } from '@xmldom/xmldom'
import { ImportError } from './import-error.ts'
import type { ReadFeature } from './import-wkt.ts'
import { scanXml } from './import-xml-scan.ts'

/** In one way only: digits that two parts could take would cost their number squared. */
const NUMBER = '[-+]?(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:[eE][-+]?\\d+)?'
const POSITION = new RegExp(`^(${NUMBER}),(${NUMBER})(?:,(?:${NUMBER})?)?$`)

/**
 * Placemarks of a KML file; overlays and links are passed over. `featuresMax` and the limits of `scanXml` hold before
 * the file is parsed, since the parsers take whatever depth and number there is. No entity is ever expanded.
 * @throws {ImportError}
 */
export function readKml(text: string, featuresMax: number): ReadFeature[] {
  const placemarksFound = scanXml(text, 'Placemark')
  if (placemarksFound > featuresMax) {
    throw new ImportError(
      'import-too-many-features',
      `the file has ${placemarksFound} placemarks, at most ${featuresMax} are allowed: split it`,
    )
  }
  const document = parse(text)
  const placemarks = [...document.getElementsByTagName('Placemark')]
  const features: ReadFeature[] = []
  for (const feature of kmlGen(document)) {
    // Placemarks come first, in their order.
    const placemark = placemarks[features.length]
    if (placemark === undefined) break
    features.push(faultOf(placemark) ?? { properties: feature.properties ?? {}, geometry: feature.geometry })
  }
  return features
}

function parse(text: string) {
  try {
    return new DOMParser({
      locator: false,
      onError: (level, message) => {
        if (level !== 'warning') throw new Error(message)
      },
    }).parseFromString(text, 'text/xml')
  } catch (error) {
    const reason =
      ((error as { cause?: unknown }).cause as Error | undefined)?.message ?? (error as Error).message
    throw new ImportError('import-not-kml', `the file is not XML: ${reason.slice(0, 200)}`)
  }
}

/** Numbers that are none and rings that are short or open would be dropped or mended without a word. */
function faultOf(placemark: Element): ImportError | undefined {
  for (const element of placemark.getElementsByTagName('coordinates')) {
    const positions = (element.textContent ?? '')
      .trim()
      .replace(/\s*,\s*/g, ',')
      .split(/\s+/)
    const wrong = positions.find((position) => !POSITION.test(position))
    if (wrong !== undefined) {
      return new ImportError(
        'import-shape-invalid',
        `"${wrong.slice(0, 40)}" is not a position: give longitude,latitude`,
      )
    }
    if (element.parentNode?.nodeName !== 'LinearRing') continue
    if (positions.length < 4 || place(positions[0]!) !== place(positions[positions.length - 1]!)) {
      return new ImportError(
        'import-shape-invalid',
        `a ring of ${positions.length} positions is not closed: give at least 4, the last the same as the first`,
      )
    }
  }
  return undefined
}

function place(position: string): string {
  const [, longitude, latitude] = POSITION.exec(position)!
  return `${Number(longitude)},${Number(latitude)}`
}
