/** Shows the login, or the fleet of who is signed in. */
import '@fontsource-variable/inter/wght.css'
import 'maplibre-gl/dist/maplibre-gl.css'
import './style/base.css'
import './style/layout.css'
import './style/list.css'
import './style/details.css'
import './style/map.css'
import { App } from './app.ts'
import { loginPage } from './ui/login.ts'
import { Theme } from './ui/theme.ts'
import { Session } from './wire/session.ts'

const root = document.getElementById('app')!
const theme = new Theme()
const session = new Session()
let app: App | null = null

function showLogin(reason: string): void {
  app?.stop()
  app = null
  root.replaceChildren(loginPage(session, theme, reason, showApp))
  root.querySelector('input')?.focus()
}

function showApp(): void {
  app = new App(session, theme, () => {
    session.signOut().catch(() => undefined)
    showLogin('')
  })
  root.replaceChildren(app.element)
  app.start()
}

session.onEnded = (): void => showLogin('Your session has ended. Sign in again.')
if (session.signedIn) showApp()
else showLogin('')
