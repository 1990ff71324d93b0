/** The login form. */
import { RequestError, type Session } from '../wire/session.ts'
import { button, element, icon, setText } from './dom.ts'
import { logo } from './logo.ts'
import type { Theme } from './theme.ts'

/**
 * The login page.
 * @param reason Why the person is here again; empty at the first time.
 * @param onSignedIn Called when the session is there.
 */
export function loginPage(
  session: Session,
  theme: Theme,
  reason: string,
  onSignedIn: () => void,
): HTMLElement {
  const email = element('input', {
    id: 'email',
    type: 'email',
    name: 'email',
    autocomplete: 'username',
    required: true,
    autofocus: true,
    maxlength: 254,
  })
  const password = element('input', {
    id: 'password',
    type: 'password',
    name: 'password',
    autocomplete: 'current-password',
    required: true,
    maxlength: 72,
  })
  const fault = element('p', { class: 'fault', role: 'alert' }, reason)
  const submit = element('button', { type: 'submit', class: 'primary' }, 'Sign in')
  const form = element(
    'form',
    { class: 'login-card', 'aria-labelledby': 'login-title' },
    element('div', { class: 'brand' }, logo(), element('h1', { id: 'login-title' }, 'FleetFlow')),
    element('p', { class: 'quiet' }, 'Sign in to see your fleet.'),
    element('label', { for: 'email' }, 'Email'),
    email,
    element('label', { for: 'password' }, 'Password'),
    password,
    fault,
    submit,
    element(
      'p',
      { class: 'quiet small' },
      'First start? The server has printed the administrator’s email and password once, where it was started.',
    ),
  )
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    setText(fault, '')
    submit.disabled = true
    setText(submit, 'Signing in…')
    session.signIn(email.value.trim(), password.value).then(onSignedIn, (error: unknown) => {
      setText(fault, wordsOf(error))
      submit.disabled = false
      setText(submit, 'Sign in')
      if (error instanceof RequestError && error.status === 401) password.select()
    })
  })
  const toggle = button(
    { class: 'quiet-button', title: 'Light or dark', 'aria-label': 'Change between light and dark' },
    () => theme.toggle(),
    icon('sun'),
    icon('moon'),
  )
  return element('main', { class: 'login' }, form, element('div', { class: 'corner' }, toggle))
}

function wordsOf(error: unknown): string {
  if (!(error instanceof RequestError)) return 'The page failed. Load it again.'
  if (error.status === 401) return 'Email or password is wrong. Check both and try again.'
  if (error.status === 429) {
    const wait = error.retryAfterS === null ? 'a little' : waitWords(error.retryAfterS)
    return `Too many attempts. Wait ${wait}, then try again.`
  }
  return error.message
}

function waitWords(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} seconds` : `${Math.ceil(seconds / 60)} minutes`
}
