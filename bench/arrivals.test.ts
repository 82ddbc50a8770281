import { describe, expect, test } from 'vitest'
import { arrivalSpread } from './arrivals.ts'

describe('given the arrivals of a fleet', () => {
  test('when they are even > the fullest second is the mean', () => {
    const { peak, mean } = arrivalSpread(
      Array.from({ length: 10_000 }, (_, index) => index * 2),
      20_000,
    )
    expect(peak / mean, 'an even fleet must not look like a herd').toBeCloseTo(1, 1)
  })

  test('when half of them come at once > it shows', () => {
    const herd = Array.from({ length: 1_000 }, (_, index) => (index < 500 ? 5_000 : index * 10))
    const { peak, mean } = arrivalSpread(herd, 10_000)
    expect(peak / mean, 'a herd must be seen').toBeGreaterThan(2)
  })

  test('when all of them come at once > it shows, too', () => {
    const { peak, mean } = arrivalSpread(
      Array.from({ length: 1_000 }, (_, index) => index),
      10_000,
    )
    expect(peak / mean, 'a herd must be seen').toBeGreaterThan(9)
  })

  test('when stragglers come long after > they are told, and stretch no mean', () => {
    const inTime = Array.from({ length: 990 }, (_, index) => index)
    const stragglers = Array.from({ length: 10 }, () => 60_000)
    const { slots, lastMs } = arrivalSpread([...stragglers, ...inTime], 1_000)
    expect({ slots: slots.length, lastMs }).toEqual({ slots: 1, lastMs: 60_000 })
  })

  test('when they come in any order > each is counted once', () => {
    const { slots } = arrivalSpread([2_500, 0, 1_500, 100, 1_600], 3_000)
    expect(slots).toEqual([2, 2, 1])
  })

  test('when nobody came > it says what to look at', () => {
    expect(() => arrivalSpread([], 1_000)).toThrow(/Nobody arrived/)
  })
})
