/** What one row was made of: a bar for each subject that was measured beside us, from nothing. Pure. */
import { short, type Row } from '../report.ts'
import { element, label, picture } from './svg.ts'

const WIDTH = 720
const ROW_HEIGHT = 18
const LEFT = 260
const RIGHT = 640

/** Undefined if there is nothing to compare: one subject is no picture. */
export function figuresChart(row: Row): string | undefined {
  const subjects = Object.entries(row.figures)
  const most = Math.max(...subjects.map(([, { max }]) => max))
  if (subjects.length < 2 || !(most > 0)) return undefined
  const at = (value: number): number => LEFT + (Math.max(0, value) / most) * (RIGHT - LEFT)
  const bars = subjects.map(([name, { median, min, max }], index) => {
    const y = index * ROW_HEIGHT
    const middle = y + ROW_HEIGHT / 2
    return [
      label(0, y + 13, name),
      element('rect', {
        x: LEFT,
        y: y + 3,
        width: at(median) - LEFT,
        height: ROW_HEIGHT - 6,
        class: /downlink|^agent$/.test(name) ? 'reached' : 'peer',
      }),
      element('line', { x1: at(min), x2: at(max), y1: middle, y2: middle, class: 'range' }),
      label(RIGHT + 8, y + 13, short(median), 'quiet'),
    ].join('')
  })
  return picture(WIDTH, subjects.length * ROW_HEIGHT + 4, row.name, bars)
}
