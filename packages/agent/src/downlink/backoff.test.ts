import { limits } from '@downlink/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BACKOFF_LIMITS, blockedDelayMs, reconnectDelayMs } from './backoff.ts'

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const ALMOST_ONE = 1 - 2 ** -53

describe('given failures in a row', () => {
  test('when nobody asked to wait > the jitter is full, doubles, and stops at its limit', () => {
    const widest = [0, 1, 2, 6, 7, 30, 1_024, 1e9].map((count) =>
      Math.round(reconnectDelayMs(count, BACKOFF_LIMITS, 0, ALMOST_ONE)),
    )
    expect(widest).toEqual([500, 1_000, 2_000, 32_000, 60_000, 60_000, 60_000, 60_000])
    expect(reconnectDelayMs(5, BACKOFF_LIMITS, 0, 0)).toBe(0)
  })

  test('when the limit below is 0 > the delay is a number', () => {
    expect(reconnectDelayMs(2_000, { delayMsMin: 0, delayMsMax: 10 }, 0, 0.5)).toBe(0)
  })

  test('when a server asked to wait > everybody waits that long and is spread beyond it', () => {
    expect(reconnectDelayMs(0, BACKOFF_LIMITS, 2_000, 0)).toBe(2_000)
    expect(reconnectDelayMs(0, BACKOFF_LIMITS, 2_000, 0.5)).toBe(3_000)
  })

  test('when a server asks for any wait > the delay is bounded, whatever the count and the chance', () => {
    fc.assert(
      fc.property(fc.nat(), fc.double({ noNaN: true }), random, (count, floorMs, chance) => {
        const askedMs = Math.min(limits.RETRY_MS_MAX, Math.max(0, floorMs))
        for (const decide of [
          reconnectDelayMs(count, BACKOFF_LIMITS, floorMs, chance),
          blockedDelayMs(BACKOFF_LIMITS, floorMs, chance),
        ]) {
          expect(decide).toBeGreaterThanOrEqual(askedMs)
          expect(decide).toBeLessThanOrEqual(limits.RETRY_MS_MAX + limits.RECONNECT_MS_MAX)
        }
      }),
    )
  })
})

describe('given a hub that only a person can satisfy', () => {
  test('when it is tried again > that is about once a minute, not in step', () => {
    expect(blockedDelayMs(BACKOFF_LIMITS, 0, 0)).toBe(60_000)
    expect(blockedDelayMs(BACKOFF_LIMITS, 0, ALMOST_ONE)).toBeCloseTo(45_000)
  })
})
