import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Histogram } from './histogram.ts'
import { histogram, renderMetrics } from './metric-registry.ts'

test('given values at, between and above the bounds > each is in the first bucket that holds it', () => {
  const taken = new Histogram([1, 2])
  for (const value of [0, 1, 1.5, 2, 3, -1]) taken.observe(value)
  expect(taken.counts).toEqual([3, 2, 1])
  expect(taken.sum, 'a clock that went back takes nothing away').toBe(7.5)
  expect(renderMetrics([histogram('m_seconds', 'Help.', [[{ stamp: 'x' }, taken]])])).toBe(
    [
      '# HELP m_seconds Help.',
      '# TYPE m_seconds histogram',
      'm_seconds_bucket{stamp="x",le="1"} 3',
      'm_seconds_bucket{stamp="x",le="2"} 5',
      'm_seconds_bucket{stamp="x",le="+Inf"} 6',
      'm_seconds_sum{stamp="x"} 7.5',
      'm_seconds_count{stamp="x"} 6',
      '',
    ].join('\n'),
  )
})

test('given any values > none is lost', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true })), (values) => {
      const taken = new Histogram([0.1, 1, 10])
      for (const value of values) taken.observe(value)
      expect(taken.counts.reduce((sum, count) => sum + count, 0)).toBe(values.length)
    }),
  )
})
