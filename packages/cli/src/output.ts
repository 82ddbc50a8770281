/** What the command writes: lines and tables for people, JSON for programs; remote text can do nothing to a terminal. */
import { escapeControlCharacters } from '@downlink/protocol'

/** Where text goes. */
export interface OutputTarget {
  write(text: string): void
  readonly isTerminal: boolean
  /** Width of the terminal in characters. */
  readonly columns?: number
}

/** How a state looks where there is color. */
export type Tone = 'good' | 'still' | 'bad' | 'plain'

/** One cell of a table: text, perhaps with a tone. */
export type Cell = string | { readonly text: string; readonly tone: Tone }

/** The two streams of a command. Everything is escaped here, once, so that no command can forget it. */
export interface Output {
  /** One line for a person, on standard output. */
  line(text?: string): void
  /** A table with aligned columns under `headings`. */
  table(headings: readonly string[], rows: readonly (readonly Cell[])[]): void
  /** One JSON document on one line. */
  json(value: unknown): void
  /** One line on standard error: what went wrong, or what a program that reads the output need not see. */
  problem(text: string): void
  /** Text of this program itself that has line ends of its own, such as help. */
  raw(text: string, stream: 'stdout' | 'stderr'): void
}

const TONES: Readonly<Record<Tone, string>> = { good: '32', still: '33', bad: '31', plain: '' }
const COLUMN_GAP = '  '
/** Narrower, a cut line says nothing. */
const COLUMNS_MIN = 40

/** Makes the output; `color` colors tables, and is for terminals only. */
export function createOutput(targets: {
  readonly stdout: OutputTarget
  readonly stderr: OutputTarget
  readonly color: boolean
}): Output {
  const { stdout, stderr, color } = targets
  return {
    line: (text = '') => stdout.write(`${escapeControlCharacters(text)}\n`),
    table: (headings, rows) => {
      const columns = stdout.isTerminal ? stdout.columns : undefined
      for (const line of tableLines(headings, rows, { color, columns })) stdout.write(`${line}\n`)
    },
    json: (value) => stdout.write(`${printableJson(value)}\n`),
    problem: (text) => stderr.write(`${escapeControlCharacters(text)}\n`),
    raw: (text, stream) => (stream === 'stdout' ? stdout : stderr).write(text),
  }
}

/** Whether to color: on a terminal that is not dumb, unless NO_COLOR is set to anything (no-color.org). */
export function wantsColor(isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): boolean {
  return isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
}

/** `value` as JSON on one line; what could move a cursor is written as JSON's own escape, so the value stays the same. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** The lines of a table. Only the last column is cut to `columns`, since it holds sentences and the others names. */
export function tableLines(
  headings: readonly string[],
  rows: readonly (readonly Cell[])[],
  options: { readonly color: boolean; readonly columns?: number | undefined },
): string[] {
  const cells = rows.map((row) =>
    row.map((cell) =>
      typeof cell === 'string'
        ? { text: escapeControlCharacters(cell), tone: 'plain' as const }
        : { text: escapeControlCharacters(cell.text), tone: cell.tone },
    ),
  )
  const all = [headings.map((text) => ({ text, tone: 'plain' as const })), ...cells]
  const widths = headings.map((_, column) =>
    all.reduce((width, row) => Math.max(width, widthOf(row[column]?.text ?? '')), 0),
  )
  const last = headings.length - 1
  const before = widths.slice(0, last).reduce((sum, width) => sum + width + COLUMN_GAP.length, 0)
  const room = Math.max(options.columns ?? Number.POSITIVE_INFINITY, COLUMNS_MIN) - before
  return all.map((row) => {
    const parts = row.map((cell, column) => {
      const text = column === last ? cut(cell.text, Math.max(room, COLUMNS_MIN / 2)) : cell.text
      const padding = column === last ? '' : ' '.repeat((widths[column] ?? 0) - widthOf(text))
      return `${painted(text, cell.tone, options.color)}${padding}`
    })
    return parts.join(COLUMN_GAP).trimEnd()
  })
}

function painted(text: string, tone: Tone, color: boolean): string {
  return color && tone !== 'plain' ? `\u001b[${TONES[tone]}m${text}\u001b[39m` : text
}

function cut(text: string, room: number): string {
  const characters = Array.from(text)
  return characters.length <= room ? text : `${characters.slice(0, room - 1).join('')}…`
}

function widthOf(text: string): number {
  return Array.from(text).length
}
