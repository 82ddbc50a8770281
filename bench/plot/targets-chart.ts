/** All rows that have a target in one picture: how far each is above it, or below. Pure. */
import { verdictOf, withUnit, type Row } from '../report.ts'
import { element, label, picture } from './svg.ts'

const WIDTH = 1000
const ROW_HEIGHT = 20
const TOP = 34
/** Where the axis begins and ends, and what it shows there: times as good as the target. */
const LEFT = 430
const RIGHT = 740
const TIMES_MAX = 8
/** Characters of a name that fit beside the axis. */
const NAME_CHARS_MAX = 68

/** How many times as good as its target a figure is: 1 reaches it, below 1 misses it. */
export function timesTarget(row: Row, figure: number): number {
  const { target } = row
  if (target === undefined) return Number.NaN
  return target.is === 'at least' ? figure / target.value : target.value / figure
}

/** Rows without a target are left out; they stand on the page. */
export function targetsChart(rows: readonly Row[], title: string): string {
  const shown = rows.filter(({ target }) => target !== undefined)
  const lines: string[] = []
  let y = TOP
  let suite = ''
  for (const row of shown) {
    if (row.suite !== suite) {
      ;({ suite } = row)
      lines.push(label(0, y + 15, suite, 'head'))
      y += ROW_HEIGHT
    }
    lines.push(bar(row, y))
    y += ROW_HEIGHT
  }
  return picture(WIDTH, y + 6, title, [...axis(y), ...lines])
}

function bar(row: Row, y: number): string {
  const { median, min, max } = row.result
  const verdict = verdictOf(row)
  const end = at(timesTarget(row, median))
  const range = [at(timesTarget(row, min)), at(timesTarget(row, max))] as const
  const middle = y + ROW_HEIGHT / 2
  const value = `${withUnit(median, row.unit)}${verdict === 'missed' ? ', missed' : ''}`
  const name = row.name.length > NAME_CHARS_MAX ? `${row.name.slice(0, NAME_CHARS_MAX - 1)}…` : row.name
  return [
    label(10, y + 14, name),
    element('rect', {
      x: Math.min(end, at(1)),
      y: y + 4,
      width: Math.max(1, Math.abs(end - at(1))),
      height: ROW_HEIGHT - 8,
      class: verdict,
    }),
    element('line', { x1: range[0], x2: range[1], y1: middle, y2: middle, class: 'range' }),
    label(RIGHT + 12, y + 14, value, verdict === 'missed' ? 'head' : ''),
    label(WIDTH, y + 14, targetText(row), 'quiet end'),
  ].join('')
}

function targetText({ target, unit }: Row): string {
  if (target === undefined) return ''
  return `${target.is === 'at least' ? '≥' : '≤'} ${withUnit(target.value, unit)}`
}

function axis(bottom: number): readonly string[] {
  const steps = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]
  const names = ['⅛', '¼', '½', 'target', '2×', '4×', '8×']
  return steps.flatMap((times, index) => [
    label(at(times), 14, names[index] ?? '', 'quiet middle'),
    element('line', {
      x1: at(times),
      x2: at(times),
      y1: 22,
      y2: bottom,
      class: times === 1 ? 'target' : 'grid',
    }),
  ])
}

/** By the logarithm, so that twice and half are equally far; what is beyond the axis ends at it. */
function at(times: number): number {
  const bounded = Math.min(TIMES_MAX, Math.max(1 / TIMES_MAX, times))
  return LEFT + ((Math.log2(bounded) / Math.log2(TIMES_MAX) + 1) / 2) * (RIGHT - LEFT)
}
