/** Shows the login, or the pages of who is signed in. */
import '@fontsource-variable/inter/wght.css'
import 'maplibre-gl/dist/maplibre-gl.css'
import './style/base.css'
import './style/layout.css'
import './style/controls.css'
import './style/list.css'
import './style/details.css'
import './style/map.css'
import './replay/replay.css'
import { Frame } from './pages/frame.ts'
import { PAGES } from './pages/pages.ts'
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

session.onEnded = (): void => showLogin('Your session has ended. Sign in again.')
if (session.signedIn) showFrame()
else showLogin('')
