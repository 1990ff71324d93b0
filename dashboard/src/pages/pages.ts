/** All pages of the navigation, in its order. */
import { GeofencesPage } from '../geofences/geofences-page.ts'
import { LivePage } from '../live/live-page.ts'
import { ReplayPage } from '../replay/replay-page.ts'
import type { PageKind } from './page.ts'

export const PAGES: readonly PageKind[] = [
  { name: 'live', label: 'Live', open: (context) => new LivePage(context) },
  { name: 'replay', label: 'Replay', open: (context) => new ReplayPage(context) },
  { name: 'geofences', label: 'Geofences', open: (context) => new GeofencesPage(context) },
]
