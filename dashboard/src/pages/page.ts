/** What a page of the dashboard is to the frame around it. */
import type { Theme } from '../ui/theme.ts'
import type { Session } from '../wire/session.ts'

export interface Page {
  /** Fills the room below the header. */
  readonly element: HTMLElement
  /** Starts what moves; the element is in the document. */
  start(): void
  /** Ends everything that runs; the page is not used again. */
  stop(): void
  /** The address asks the open page for something else. A page without it is opened anew. */
  setQuery?(query: URLSearchParams): void
}

/** What the frame gives a page. */
export interface PageContext {
  readonly session: Session
  readonly theme: Theme
  /** What the address asks for. */
  readonly query: URLSearchParams
  /** Shows an element in the header, such as the state of the stream; it goes with the page. */
  readonly setStatus: (element: HTMLElement) => void
  /** Keeps what is shown in the address, without a step in the browser's history. */
  readonly keepQuery: (query: URLSearchParams) => void
}

/** A page by its name in the address. */
export interface PageKind {
  readonly name: string
  readonly label: string
  readonly open: (context: PageContext) => Page
}
