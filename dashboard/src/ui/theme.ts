/** Light or dark: the system's wish until the person chooses; and the colours that the map draws with. */

const STORAGE_KEY = 'fleetflow.theme'

export type ThemeName = 'light' | 'dark'

/** Colours of the map; those of the page are in the style sheets. */
export interface MapPalette {
  readonly sea: string
  readonly land: string
  readonly coast: string
  readonly border: string
  readonly grid: string
  readonly text: string
  readonly textHalo: string
  /** Name of a vehicle. */
  readonly label: string
  readonly route: string
  readonly stop: string
  readonly track: string
  readonly trackCasing: string
  readonly moving: string
  readonly standing: string
  readonly silent: string
  /** Outline of a vehicle. */
  readonly outline: string
  readonly halo: string
  /** One of them for each geofence. */
  readonly geofences: readonly string[]
}

const PALETTES: Readonly<Record<ThemeName, MapPalette>> = {
  light: {
    sea: '#d5e2ea',
    land: '#f5f6f4',
    coast: '#aebfca',
    border: '#c3ccd2',
    grid: '#e3e7e8',
    text: '#4c5a66',
    textHalo: '#f5f6f4',
    label: '#15202b',
    route: '#a8bfd2',
    stop: '#6d87a0',
    track: '#1668dc',
    trackCasing: '#ffffff',
    moving: '#0b8a5c',
    standing: '#c2700a',
    silent: '#75818c',
    outline: '#ffffff',
    halo: '#1668dc',
    geofences: ['#7a4fc9', '#0b7f95', '#b0447f', '#4f7a1e', '#3b62c4', '#a8591b'],
  },
  dark: {
    sea: '#0a1016',
    land: '#141b22',
    coast: '#33414d',
    border: '#2b3741',
    grid: '#1c242c',
    text: '#93a3b1',
    textHalo: '#10161c',
    label: '#e6edf3',
    route: '#2f4a63',
    stop: '#5d7c98',
    track: '#58a6ff',
    trackCasing: '#0b1219',
    moving: '#35d39a',
    standing: '#f2ae49',
    silent: '#8996a2',
    outline: '#0d141a',
    halo: '#58a6ff',
    geofences: ['#b79cf7', '#56c5d8', '#ee8fc0', '#a5cf6b', '#8fb0ff', '#efa875'],
  },
}

export class Theme {
  /** Called when the colours change. */
  onChange: (name: ThemeName) => void = () => {}
  readonly #system = matchMedia('(prefers-color-scheme: dark)')
  #chosen: ThemeName | null

  constructor() {
    const stored = localStorage.getItem(STORAGE_KEY)
    this.#chosen = stored === 'light' || stored === 'dark' ? stored : null
    this.#system.addEventListener('change', () => {
      if (this.#chosen === null) this.#show()
    })
    this.#show()
  }

  get name(): ThemeName {
    return this.#chosen ?? (this.#system.matches ? 'dark' : 'light')
  }

  get palette(): MapPalette {
    return PALETTES[this.name]
  }

  /** Changes to the other one, and remembers it in this browser. */
  toggle(): void {
    this.#chosen = this.name === 'dark' ? 'light' : 'dark'
    localStorage.setItem(STORAGE_KEY, this.#chosen)
    this.#show()
  }

  #show(): void {
    document.documentElement.dataset.theme = this.name
    this.onChange(this.name)
  }
}
