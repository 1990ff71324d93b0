/** The page of the geofences: list and map of all, and the form of the chosen one. */
import type { Geofence } from '../../../schemas/geofence.ts'
import { Fleet } from '../fleet/fleet.ts'
import { FleetMap } from '../map/fleet-map.ts'
import type { Page, PageContext } from '../pages/page.ts'
import { element } from '../ui/dom.ts'
import { mapFault } from '../ui/map-fault.ts'
import { panelToggle } from '../ui/panel-toggle.ts'
import type { Theme } from '../ui/theme.ts'
import { readPages } from '../wire/directory.ts'
import type { Session } from '../wire/session.ts'
import { geofenceCard } from './geofence-card.ts'
import { GeofenceForm } from './geofence-form.ts'
import { GeofenceList } from './geofence-list.ts'
import { colourOf, GeofenceOverlay } from './geofence-overlay.ts'
import { GeofenceStore } from './geofence-store.ts'
import type { GroupChoice } from './rule-form.ts'
import { ShapeEditor } from './shape-editor.ts'

const PAGE_CHOICES = 100
const PAGES_MAX = 10

export class GeofencesPage implements Page {
  readonly element: HTMLElement
  readonly #session: Session
  readonly #theme: Theme
  readonly #store: GeofenceStore
  readonly #list: GeofenceList
  readonly #overlay = new GeofenceOverlay()
  readonly #editor: ShapeEditor
  readonly #mapElement = element('div', { class: 'map' })
  readonly #room = element('div', { class: 'details-room' })
  #map: FleetMap | null = null
  #form: GeofenceForm | null = null
  #open = false
  #fitted = false
  #groups: GroupChoice[] = []
  #organizations: GroupChoice[] = []

  constructor({ session, theme }: PageContext) {
    this.#session = session
    this.#theme = theme
    this.#store = new GeofenceStore(session)
    this.#store.onChange = () => this.#onChange()
    this.#editor = new ShapeEditor((draft) => this.#form?.showDraft(draft, this.#editor.drawing))
    this.#list = new GeofenceList(this.#store, {
      onChoose: (geofence) => this.#choose(geofence, true),
      onNew: () => this.#choose(null, true),
      colourOf: (id) => colourOf(id, theme.palette),
    })
    this.element = this.#layout()
  }

  start(): void {
    try {
      this.#map = new FleetMap(this.#mapElement, new Fleet(), this.#theme.palette, {
        onPick: () => undefined,
        onFollowEnd: () => undefined,
        onPlace: (x, y) => this.#onPlace(x, y),
        fit: { label: 'Show all geofences', run: () => this.#fit() },
      })
      this.#map.addOverlay(this.#overlay)
      this.#map.addOverlay(this.#editor)
    } catch {
      this.#mapElement.append(mapFault())
    }
    this.#theme.onChange = () => {
      this.#map?.setPalette(this.#theme.palette)
      this.#list.refresh()
    }
    this.#list.refresh()
    this.#store.load()
    this.#readChoices()
  }

  stop(): void {
    this.#store.stop()
    this.#theme.onChange = () => {}
    this.#map?.remove()
  }

  #layout(): HTMLElement {
    const page = element('div', { class: 'app geofences-page' })
    page.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#open) return
      if (this.#editor.drawing) this.#draw(false)
      else this.#close()
    })
    page.append(
      element('aside', { class: 'side', 'aria-label': 'Geofences' }, this.#list.element),
      element(
        'main',
        { class: 'stage' },
        this.#mapElement,
        panelToggle(page, 'the geofences', () => this.#map?.resize()),
      ),
      this.#room,
    )
    return page
  }

  /** Names of groups and organisations are for the form only: without them it still works. */
  #readChoices(): void {
    const read = (path: string, into: GroupChoice[]) =>
      readPages<GroupChoice>(this.#session, path, { limit: PAGE_CHOICES }, PAGES_MAX, (page) => {
        into.push(...page)
      }).catch(() => undefined)
    void read('/api/v1/device-groups', this.#groups)
    if (this.#session.user?.organizationId === null) void read('/api/v1/organizations', this.#organizations)
  }

  #onChange(): void {
    const { geofences } = this.#store
    this.#overlay.setGeofences(geofences)
    this.#list.refresh()
    this.element.dataset.count = String(geofences.length)
    if (!this.#fitted && geofences.length > 0) this.#fit()
  }

  #fit(): void {
    this.#fitted = true
    this.#overlay.fitAll(this.#map?.coveredRightPx ?? 0)
  }

  /** A click on the map: the geofence there, or nothing. */
  #onPlace(x: number, y: number): void {
    if (this.#form !== null && this.#open) return
    const id = this.#overlay.pick(x, y)
    const geofence = id === null ? undefined : this.#store.get(id)
    if (geofence !== undefined) this.#choose(geofence, false)
    else this.#close()
  }

  /** Opens a geofence; null = a new one. */
  #choose(geofence: Geofence | null, byList: boolean): void {
    this.#close()
    this.#open = true
    this.#list.choose(geofence)
    this.#overlay.choose(geofence?.id ?? null)
    this.element.dataset.details = 'open'
    this.#map?.resize()
    if (this.#store.editable) {
      const choices = { groups: this.#groups, organizations: this.#organizations }
      const form = new GeofenceForm(this.#store, geofence, choices, {
        onDraft: (draft) => this.#editor.show(draft, this.#editor.drawing),
        onDraw: (drawing) => this.#draw(drawing),
        middle: () => this.#editor.middle,
        onSaved: (saved) => {
          this.#close()
          this.#list.choose(saved)
          this.#overlay.choose(saved.id)
          this.#list.focus()
        },
        onDeleted: () => {
          this.#close()
          this.#list.focus()
        },
        onClose: () => this.#close(),
      })
      this.#form = form
      this.#room.replaceChildren(form.element)
      if (form.draft !== null) {
        this.#overlay.hide(geofence?.id ?? null)
        this.#editor.show(form.draft, false)
      }
      if (geofence === null) this.#draw(true)
      if (byList) form.focus()
    } else if (geofence !== null) {
      this.#room.replaceChildren(geofenceCard(geofence, this.#groups, () => this.#close()))
      if (byList) this.#room.querySelector('h2')?.focus({ preventScroll: true })
    }
    if (geofence !== null) this.#overlay.fit(geofence, this.#map?.coveredRightPx ?? 0)
  }

  #draw(drawing: boolean): void {
    const draft = this.#form === null ? null : this.#form.current
    this.#editor.show(draft, drawing)
    if (draft !== null) this.#form?.showDraft(draft, drawing)
  }

  #close(): void {
    if (!this.#open) return
    const within = this.#room.contains(document.activeElement)
    this.#open = false
    this.#form = null
    this.#room.replaceChildren()
    this.element.dataset.details = 'closed'
    this.#editor.show(null, false)
    this.#overlay.hide(null)
    this.#overlay.choose(null)
    this.#list.choose(null)
    this.#map?.resize()
    if (within) this.#list.focus()
  }
}
