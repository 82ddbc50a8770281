/** A tree of functions as a picture: callers above what they call, as wide as their share of the time. Pure. */
import { element, escapeXml, picture } from '../plot/svg.ts'
import type { FlameNode, Owner } from './flame-tree.ts'

const WIDTH = 1_200
const ROW_HEIGHT = 16
const CHAR_WIDTH = 6
const HEAD_HEIGHT = 44
/** Of all: what is narrower cannot be read, and there are thousands of those. */
const PART_MIN = 0.004

const OWNERS: Readonly<Record<Owner, string>> = {
  downlink: 'Downlink',
  node: 'Node',
  library: 'libraries',
  engine: 'engine and system calls',
}

const STYLE = `
text{font:10px ui-monospace,monospace;fill:#1f2328}
.head{font:600 13px system-ui,sans-serif}.quiet{font:12px system-ui,sans-serif}
rect{stroke:#ffffff;stroke-width:.5}
.downlink{fill:#8cc4ff}.node{fill:#d6dce2}.library{fill:#c9e6b8}.engine{fill:#f5c99b}
.paper{fill:#ffffff;stroke:none}`

/** The picture, as a file of its own. @param title - says what was measured. */
export function flameGraph(root: FlameNode, title: string): string {
  const drawn: string[] = []
  let depth = 0
  const drawChildren = ({ children }: FlameNode, parentX: number, row: number): void => {
    let x = parentX
    for (const child of children) {
      // The dearest are first.
      if (child.totalUs < PART_MIN * root.totalUs) return
      depth = Math.max(depth, row + 1)
      const width = (child.totalUs / root.totalUs) * WIDTH
      drawn.push(bar(child, x, HEAD_HEIGHT + row * ROW_HEIGHT, width, root.totalUs))
      drawChildren(child, x, row + 1)
      x += width
    }
  }
  drawChildren(root, 0, 0)
  const height = HEAD_HEIGHT + depth * ROW_HEIGHT
  return `${picture(WIDTH, height, title, [
    element('style', {}, STYLE),
    element('rect', { class: 'paper', width: WIDTH, height }),
    element('text', { x: 4, y: 16, class: 'head' }, escapeXml(title)),
    ...legend(),
    ...drawn,
  ])}\n`
}

function legend(): string[] {
  return (Object.keys(OWNERS) as Owner[]).flatMap((owner, index) => [
    element('rect', { class: owner, x: 4 + index * 110, y: 24, width: 12, height: 12 }),
    element('text', { class: 'quiet', x: 20 + index * 110, y: 34 }, OWNERS[owner]),
  ])
}

function bar(
  { name, owner, totalUs }: FlameNode,
  x: number,
  y: number,
  width: number,
  allUs: number,
): string {
  const share = `${((100 * totalUs) / allUs).toFixed(1)} %`
  const tooltip = element('title', {}, escapeXml(`${name}: ${share}`))
  const rect = element('rect', { class: owner, x, y, width, height: ROW_HEIGHT }, tooltip)
  const chars = Math.floor((width - 4) / CHAR_WIDTH)
  if (chars < 4) return rect
  const whole = `${name} ${share}`
  const text = whole.length <= chars ? whole : `${whole.slice(0, chars - 1)}…`
  return `${rect}${element('text', { x: x + 2, y: y + 12 }, escapeXml(text))}`
}
