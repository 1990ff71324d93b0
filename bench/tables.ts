/** Answers as tables, on a terminal and in docs/benchmarks.md. */
import type { Question, Row } from './question.ts'

export interface Answer {
  readonly question: Question
  readonly rows: readonly Row[]
  readonly seconds: number
}

/** Columns aligned with spaces. */
export function plainTable(rows: readonly Row[]): string {
  const lines = linesOf(rows)
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
        .join('  '),
    )
    .join('\n')
}

export function markdownPage(
  answers: readonly Answer[],
  machine: readonly string[],
  startedAt: Date,
): string {
  const seconds = answers.reduce((sum, answer) => sum + answer.seconds, 0)
  const parts = [
    '# Benchmarks',
    'Made by `npm run bench`; do not edit. `npm run bench -- NAME…` asks single questions and prints the answers only.',
    'Everything shares one machine: the engine, its database, the devices and the subscribers. So what counts are the ' +
      'ratios, each taken within this run. All that is random is seeded.',
    [
      `- date: ${startedAt.toISOString().slice(0, 16).replace('T', ' ')} UTC, ${Math.round(seconds)} s`,
      '- command: `npm run bench`',
      ...machine.map((line) => `- ${line}`),
    ].join('\n'),
    ...answers.map(({ question, rows }) =>
      [
        `## ${question.title}`,
        `\`npm run bench -- ${question.name}\``,
        question.method,
        markdownTable(rows),
        rows.map(({ name, meaning }) => `- **${name}**: ${meaning}`).join('\n'),
      ].join('\n\n'),
    ),
  ]
  return `${parts.join('\n\n')}\n`
}

function markdownTable(rows: readonly Row[]): string {
  const [head, ...body] = linesOf(rows)
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const rule = head!.map((_, column) => (column === 0 ? '---' : '---:'))
  return [line(head!), line(rule), ...body.map(line)].join('\n')
}

function linesOf(rows: readonly Row[]): string[][] {
  const columns = Object.keys(rows[0]!.cells)
  return [
    ['', ...columns],
    ...rows.map(({ name, cells }) => [name, ...columns.map((column) => cells[column] ?? '–')]),
  ]
}
