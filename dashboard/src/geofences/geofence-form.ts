/** The form of a geofence: name, shape, rules; saves and deletes through the store, and says what the server refuses. */
import type { Geofence, GeofenceRule } from '../../../schemas/geofence.ts'
import { button, element, icon, setText } from '../ui/dom.ts'
import { checkbox, field, select, textInput } from '../ui/form.ts'
import { type Draft, draftOf, emptyDraft, shapeOf } from './draft.ts'
import type { GeofenceInput, GeofenceStore } from './geofence-store.ts'
import { refusalWords, shapeWords } from './geofence-words.ts'
import { FIRST_RULE, type GroupChoice, ruleForm } from './rule-form.ts'
import { ShapeForm, type ShapeFormListener } from './shape-form.ts'

const RULES_MAX = 50

/** What the form is given beside the geofence. */
export interface GeofenceFormChoices {
  readonly groups: readonly GroupChoice[]
  /** Organisations that a super admin chooses from; empty for all others. */
  readonly organizations: readonly GroupChoice[]
}

export interface GeofenceFormListener extends Pick<ShapeFormListener, 'onDraw' | 'middle'> {
  /** The shape was changed in the form. */
  onDraft(draft: Draft): void
  /** It is saved. */
  onSaved(geofence: Geofence): void
  onDeleted(): void
  onClose(): void
}

export class GeofenceForm {
  readonly element: HTMLElement
  /** The shape at first; null where it is too intricate to be drawn. */
  readonly draft: Draft | null
  readonly #store: GeofenceStore
  readonly #listener: GeofenceFormListener
  readonly #choices: GeofenceFormChoices
  readonly #geofence: Geofence | null
  readonly #shapeForm: ShapeForm | null
  readonly #fault = element('p', { class: 'fault', role: 'alert' })
  readonly #rulesElement = element('div', { class: 'rules' })
  readonly #save = element('button', { type: 'submit', class: 'primary' }, 'Save')
  readonly #name: HTMLInputElement
  #draft: Draft | null
  #shapeChanged = false
  #busy = false
  #rules: readonly GeofenceRule[]
  #timeZone: string
  #disabled: boolean
  #organizationId: number | null = null

  /** @param geofence What is changed; null = a new one. */
  constructor(
    store: GeofenceStore,
    geofence: Geofence | null,
    choices: GeofenceFormChoices,
    listener: GeofenceFormListener,
  ) {
    this.#store = store
    this.#geofence = geofence
    this.#choices = choices
    this.#listener = listener
    this.#rules = geofence?.rules ?? [FIRST_RULE]
    this.#timeZone = geofence?.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone
    this.#disabled = geofence?.disabled ?? false
    this.draft = geofence === null ? emptyDraft('Polygon') : draftOf(geofence.shape)
    this.#draft = this.draft
    this.#shapeForm =
      this.draft === null
        ? null
        : new ShapeForm(this.draft, geofence === null, {
            onChange: (draft) => {
              this.#keep(draft)
              listener.onDraft(draft)
            },
            onDraw: (drawing) => listener.onDraw(drawing),
            middle: () => listener.middle(),
          })
    this.#name = textInput(geofence?.name ?? '', { required: true, maxlength: 200 }, () => undefined)
    this.element = this.#layout()
    this.#drawRules()
  }

  /** The shape as it is now. */
  get current(): Draft | null {
    return this.#draft
  }

  /** Moves the keyboard to the name. */
  focus(): void {
    this.#name.focus({ preventScroll: true })
  }

  /** The shape was changed on the map. */
  showDraft(draft: Draft, drawing: boolean): void {
    this.#keep(draft)
    this.#shapeForm?.show(draft, drawing)
  }

  #keep(draft: Draft): void {
    if (draft !== this.#draft) this.#shapeChanged = true
    this.#draft = draft
    setText(this.#fault, '')
  }

  #layout(): HTMLElement {
    const geofence = this.#geofence
    const { organizations } = this.#choices
    const organization =
      geofence === null && organizations.length > 0
        ? [field('Organisation', this.#organizationSelect(organizations))]
        : []
    const intricate =
      geofence !== null && this.draft === null
        ? [
            element('h3', {}, 'Shape'),
            element(
              'p',
              { class: 'quiet' },
              `${shapeWords(geofence.shape)}. It has holes, parts or too many corners to be drawn here; the import ` +
                'and the API change it.',
            ),
          ]
        : []
    const form = element(
      'form',
      { class: 'geofence-form details-body' },
      this.#fault,
      field('Name', this.#name),
      ...organization,
      ...(this.#shapeForm === null ? intricate : [this.#shapeForm.element]),
      element('h3', {}, 'Events'),
      this.#rulesElement,
      element('h3', {}, 'More'),
      field(
        'Time zone of its times of day',
        textInput(this.#timeZone, { required: true, maxlength: 64 }, (timeZone) => {
          this.#timeZone = timeZone
        }),
      ),
      checkbox('Switched off: watches nothing', this.#disabled, (disabled) => {
        this.#disabled = disabled
      }),
      element(
        'div',
        { class: 'form-foot' },
        this.#save,
        ...(geofence === null ? [] : [this.#deleteButton()]),
      ),
    )
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      this.#onSave()
    })
    return element(
      'section',
      { class: 'details', 'aria-labelledby': 'geofence-title' },
      element(
        'header',
        {},
        element(
          'h2',
          { class: 'title', id: 'geofence-title' },
          geofence === null ? 'New geofence' : geofence.name,
        ),
        button(
          { class: 'quiet-button', 'aria-label': 'Close the geofence', title: 'Close (Esc)' },
          () => this.#listener.onClose(),
          icon('close'),
        ),
      ),
      form,
    )
  }

  #organizationSelect(organizations: readonly GroupChoice[]): HTMLSelectElement {
    this.#organizationId = organizations[0]!.id
    const options = organizations.map(({ id, name }) => [String(id), name] as const)
    return select(options, String(this.#organizationId), (value) => {
      this.#organizationId = Number(value)
    })
  }

  #drawRules(): void {
    const rules = this.#rules
    const forms = rules.map((rule, at) =>
      ruleForm(
        rule,
        this.#choices.groups,
        (changed) => {
          this.#rules = this.#rules.with(at, changed)
        },
        rules.length === 1
          ? null
          : () => {
              this.#rules = this.#rules.toSpliced(at, 1)
              this.#drawRules()
            },
      ),
    )
    const add = button(
      { class: 'link', disabled: rules.length >= RULES_MAX },
      () => {
        this.#rules = [FIRST_RULE, ...this.#rules]
        this.#drawRules()
      },
      'Add a rule for a group',
    )
    const order =
      rules.length === 1
        ? []
        : [
            element(
              'p',
              { class: 'quiet small' },
              'The first rule that a vehicle falls under is the one that holds.',
            ),
          ]
    this.#rulesElement.replaceChildren(...order, ...forms, add)
  }

  /** Deleting takes two presses. */
  #deleteButton(): HTMLElement {
    let asked = false
    const made = button({ class: 'secondary danger' }, () => {
      if (!asked) {
        asked = true
        setText(made, 'Press again to delete')
        return
      }
      this.#run(async () => {
        await this.#store.delete(this.#geofence!.id)
        this.#listener.onDeleted()
      })
    })
    made.textContent = 'Delete'
    made.addEventListener('blur', () => {
      asked = false
      setText(made, 'Delete')
    })
    return made
  }

  #onSave(): void {
    const shape = this.#draft === null ? this.#geofence!.shape : shapeOf(this.#draft)
    if (shape === null) {
      this.#showFault('The shape is not drawn yet: press “Draw on the map”, or add places by their numbers.')
      return
    }
    const name = this.#name.value.trim()
    const input: GeofenceInput = {
      name,
      shape,
      timeZone: this.#timeZone.trim(),
      rules: [...this.#rules],
      disabled: this.#disabled,
    }
    this.#run(async () => {
      const geofence = this.#geofence
      const { shape: _, ...terms } = input
      const saved =
        geofence === null
          ? await this.#store.create(input, this.#organizationId)
          : await this.#store.update(geofence.id, this.#shapeChanged ? input : terms)
      this.#listener.onSaved(saved)
    })
  }

  #run(what: () => Promise<void>): void {
    // A button that is disabled would lose the keyboard.
    if (this.#busy) return
    this.#busy = true
    setText(this.#fault, '')
    setText(this.#save, 'Saving…')
    what()
      .catch((error: unknown) => {
        this.#showFault(refusalWords(error))
      })
      .finally(() => {
        this.#busy = false
        setText(this.#save, 'Save')
      })
  }

  #showFault(words: string): void {
    // A sentence of the API may begin small, since it follows the name of a field elsewhere.
    setText(this.#fault, words.charAt(0).toUpperCase() + words.slice(1))
    this.#fault.scrollIntoView({ block: 'nearest' })
  }
}
