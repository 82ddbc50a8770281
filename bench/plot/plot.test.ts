import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Row } from '../report.ts'
import { figuresChart } from './figures-chart.ts'
import { draw, readReferences } from './reference.ts'
import { targetsChart, timesTarget } from './targets-chart.ts'

const spread = (median: number): Row['result'] => ({ median, min: median / 2, max: median * 2 })
const row = (median: number, target: Row['target'], name = 'a row'): Row => ({
  suite: 'hub',
  name,
  unit: '×',
  result: spread(median),
  target,
  figures: { downlink: spread(median), Nchan: spread(1) },
})
const AT_LEAST_2 = { is: 'at least', value: 2 } as const
const AT_MOST_2 = { is: 'at most', value: 2 } as const

describe('given rows with targets', () => {
  test('when more is better, or less > twice as good is 2 for both', () => {
    expect(timesTarget(row(4, AT_LEAST_2), 4)).toBe(2)
    expect(timesTarget(row(1, AT_MOST_2), 1)).toBe(2)
  })

  test('when one misses > its bar and its words say so', () => {
    const chart = targetsChart([row(4, AT_LEAST_2), row(4, AT_MOST_2)], 'all')
    expect(chart.match(/class="reached"/g)).toHaveLength(1)
    expect(chart.match(/class="missed"/g)).toHaveLength(1)
    expect(chart).toContain('4.00×, missed')
  })

  test.each([0, Number.POSITIVE_INFINITY])('when a figure is %d > its bar ends with the axis', (median) => {
    const drawn = targetsChart([row(median, AT_LEAST_2)], 'all')
    expect(drawn).not.toMatch(/NaN|Infinity"/)
  })

  test('when a row has none > the picture leaves it out', () => {
    expect(targetsChart([row(1, undefined, 'only shown')], 'all')).not.toContain('only shown')
  })

  test('when a name has characters of XML > they stand for themselves', () => {
    expect(targetsChart([row(4, AT_LEAST_2, 'p99 <3 & "x"')], 'all')).toContain(
      'p99 &lt;3 &amp; &quot;x&quot;',
    )
  })

  test('when a row has one subject > there is nothing to compare', () => {
    expect(figuresChart({ ...row(1, AT_LEAST_2), figures: { downlink: spread(1) } })).toBeUndefined()
    expect(figuresChart(row(1, AT_LEAST_2))).toContain('Nchan')
  })
})

test.each(Object.entries(draw(readReferences())))(
  'given the committed records > %s is drawn from them',
  (path, text) => {
    const kept = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
    expect(kept === text, `${path} is stale: run \`npm run bench:plot\` and commit it`).toBe(true)
  },
)
