/** What to do when there is no vehicle yet. */
import { element } from './dom.ts'

/**
 * How to bring the first device here.
 * @param host Name of this server as the browser knows it.
 */
export function emptyHint(host: string): HTMLElement {
  const code = (text: string) => element('code', {}, text)
  const example = `curl "http://${host}:5055/?id=864454071234567&lat=52.52&lon=13.405&speed=12"`
  return element(
    'div',
    { class: 'hint' },
    element('h2', {}, 'No vehicles yet'),
    element(
      'ol',
      {},
      element(
        'li',
        {},
        'Register the tracker by its unique id, mostly its IMEI: ',
        code('POST /api/v1/devices'),
        ', described at ',
        element('a', { href: '/docs' }, '/docs'),
        '.',
      ),
      element(
        'li',
        {},
        'Set server and port in the tracker: this machine, and the port of its protocol, such as ',
        code('5027'),
        ' for Teltonika, ',
        code('5023'),
        ' for GT06, ',
        code('5055'),
        ' for OsmAnd. The server prints its ports when it starts; ',
        code('DEVICE_HOST=0.0.0.0'),
        ' opens them to the network.',
      ),
      element(
        'li',
        {},
        'Or try it without a tracker, once this unique id is registered:',
        element('pre', { tabindex: 0 }, example),
      ),
    ),
    element('p', { class: 'quiet' }, 'A vehicle shows up here with its first position.'),
  )
}
