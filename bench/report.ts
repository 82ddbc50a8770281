/** What a run found: rows with their targets, as a table for people and as JSON for the record. */
import type { Spread } from './rounds.ts'

/** What docs call "reach": a ratio or figure that must be at least, or at most, this. */
export interface Target {
  readonly is: 'at least' | 'at most'
  readonly value: number
}

/** One measured row. `result` is what the target is about; `figures` are what it was made of. */
export interface Row {
  readonly suite: string
  readonly name: string
  /** Of `result`: `×` for a ratio. */
  readonly unit: string
  readonly result: Spread
  /** Undefined for a row that is only shown beside the others. */
  readonly target: Target | undefined
  /** By subject; their unit is in the name. */
  readonly figures: Readonly<Record<string, Spread>>
}

/** Where and when a run took place. */
export interface RunRecord {
  readonly date: string
  readonly machine: {
    readonly cpu: string
    readonly cores: number
    readonly memoryGiB: number
    readonly os: string
  }
  readonly versions: Readonly<Record<string, string>>
  readonly rounds: number
  readonly rows: readonly Row[]
}

export type Verdict = 'reached' | 'missed' | ''

/** By the median, as the targets are. */
export function verdictOf({ result, target }: Row): Verdict {
  if (target === undefined) return ''
  const reached = target.is === 'at least' ? result.median >= target.value : result.median <= target.value
  return reached ? 'reached' : 'missed'
}

const COLUMNS = ['row', 'result', 'range', 'reach', '', 'figures'] as const

/** The rows as a table, one line each. */
export function formatTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.name,
    withUnit(row.result.median, row.unit),
    `${short(row.result.min)}–${short(row.result.max)}`,
    row.target === undefined
      ? ''
      : `${row.target.is === 'at least' ? '≥' : '≤'} ${withUnit(row.target.value, row.unit)}`,
    verdictOf(row),
    Object.entries(row.figures)
      .map(([name, { median }]) => `${name} ${short(median)}`)
      .join(' · '),
  ])
  const widths = COLUMNS.map((title, column) =>
    Math.max(title.length, ...cells.map((line) => line[column]?.length ?? 0)),
  )
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [line(COLUMNS), line(widths.map((width) => '─'.repeat(width))), ...cells.map(line)].join('\n')
}

/** A figure for people, with its unit. */
export function withUnit(value: number, unit: string): string {
  return unit === '×' ? `${short(value)}×` : `${short(value)} ${unit}`.trimEnd()
}

/** Three digits or so. */
export function short(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0)
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}
