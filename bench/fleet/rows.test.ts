import { describe, expect, test } from 'vitest'
import { percentile } from './fsync.ts'
import { rowOf } from './rows.ts'
import { streamsWithin } from './size.ts'

type Name = 'memory' | 'batch' | 'rate'
const round = (ours: number, peer: number) => ({
  downlink: { memory: ours, batch: 10 * ours, rate: ours },
  Nchan: { memory: peer, batch: Number.NaN, rate: peer },
})

describe('given rounds of figures', () => {
  test('when there is a base > the ratio is taken within each round', () => {
    const { unit, result } = rowOf<Name>(
      { suite: 'hub', name: 'memory', ours: 'memory' },
      [round(1, 2), round(6, 4), round(2, 2)],
      'Nchan',
    )
    expect({ unit, result }).toEqual({ unit: '×', result: { median: 1, min: 0.5, max: 1.5 } })
  })

  test('when ours is compared with another figure of the base > both are told', () => {
    const { result, figures } = rowOf<Name>(
      { suite: 'hub', name: 'batches', ours: 'batch', base: 'rate' },
      [round(3, 2)],
      'Nchan',
    )
    expect(result.median).toBe(15)
    expect(figures).toMatchObject({ downlink: { median: 30 }, Nchan: { median: 2 } })
  })

  test('when the base is missing > the figure stands by itself, without a target to miss', () => {
    const target = { is: 'at most', value: 0.45 } as const
    const row = rowOf<Name>(
      { suite: 'hub', name: 'memory', ours: 'memory', target },
      [{ downlink: round(5, 0).downlink }],
      undefined,
    )
    expect(row).toMatchObject({ unit: '', result: { median: 5 }, target: undefined })
  })

  test('when a subject lacks the figure > it is left out', () => {
    const row = rowOf<Name>({ suite: 'hub', name: 'batch', ours: 'batch' }, [round(1, 2)], undefined)
    expect(Object.keys(row.figures)).toEqual(['downlink'])
  })
})

test('given a limit on open files > so many streams are measured, and no fewer than asked where they fit', () => {
  expect(streamsWithin(19_000, 20_000)).toBe(19_000)
  expect(streamsWithin(19_000, 4_096)).toBe(3_496)
  expect(streamsWithin(19_000, 20_000, 2)).toBe(9_700)
  expect(streamsWithin(10, 64)).toBe(1)
})

test('given sorted numbers > percentiles are among them', () => {
  const numbers = Array.from({ length: 101 }, (_, index) => index)
  expect([0, 0.5, 0.99, 1].map((part) => percentile(numbers, part))).toEqual([0, 50, 99, 100])
  expect(percentile([], 0.5)).toBeNaN()
})
