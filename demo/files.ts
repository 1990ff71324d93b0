/** Files of the demo, which stay beside the sources when the program runs from dist/. */
import { fileURLToPath } from 'node:url'

const here = import.meta.url
const folder = new URL(here.endsWith('.ts') ? './' : '../../demo/', here)

/** Path of a file in demo/. */
export function demoFile(name: 'tracks.csv.gz' | 'overlay.geojson.gz'): string {
  return fileURLToPath(new URL(name, folder))
}
