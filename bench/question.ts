/** What a question of the benchmarks is, and what it is answered with. */
import type { Bench } from './bench.ts'

export interface Row {
  readonly name: string
  /** Formatted values by column; the first row of a table gives the columns and their order. */
  readonly cells: Readonly<Record<string, string>>
  /** What the row says, in one line. */
  readonly meaning: string
}

export interface Question {
  /** On the command line. */
  readonly name: string
  /** The question, asked. */
  readonly title: string
  /** How the answer is found, a paragraph. */
  readonly method: string
  /** @throws Error if what was measured is not right, such as positions that were acknowledged and are not stored. */
  measure(bench: Bench): Promise<readonly Row[]>
}
