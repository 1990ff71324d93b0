/** Shows a shared map, the login, or the pages of who is signed in. */
import '@fontsource-variable/inter/wght.css'
import 'maplibre-gl/dist/maplibre-gl.css'
import './style/base.css'
import './style/layout.css'
import './style/controls.css'
import './style/list.css'
import './style/geofences.css'
import './style/details.css'
import './style/map.css'
import './replay/replay.css'
import './share/share.css'
import { Frame } from './pages/frame.ts'
import { PAGES } from './pages/pages.ts'
import { shareTokenOf } from './pages/route.ts'
import { SharePage } from './share/share-page.ts'
import { loginPage } from './ui/login.ts'
import { Theme } from './ui/theme.ts'
import { Session } from './wire/session.ts'

const root = document.getElementById('app')!
const theme = new Theme()
const session = new Session()
let frame: Frame | null = null

function showLogin(reason: string): void {
  frame?.stop()
  frame = null
  document.title = 'FleetFlow'
  root.replaceChildren(loginPage(session, theme, reason, showFrame))
  root.querySelector('input')?.focus()
}

function showFrame(): void {
  frame = new Frame(session, theme, PAGES, () => {
    session.signOut().catch(() => undefined)
    showLogin('')
  })
  root.replaceChildren(frame.element)
  frame.start()
}

function showShare(token: string): void {
  const page = new SharePage(token, theme)
  root.replaceChildren(page.element)
  page.start()
}

session.onEnded = (): void => showLogin('Your session has ended. Sign in again.')
const token = shareTokenOf(location.pathname)
if (token !== null) showShare(token)
else if (session.signedIn) showFrame()
else showLogin('')
