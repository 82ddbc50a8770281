import fc from 'fast-check'
import { expect, test } from 'vitest'
import { takeToken, type TokenBucket } from './token-bucket.ts'

const rate = { perS: 2, burst: 3 }

test('given a fresh bucket > its burst is had at once, then one more each time the rate allows', () => {
  let bucket: TokenBucket | undefined
  const waits: number[] = []
  for (const nowMs of [0, 0, 0, 0, 499, 500, 500, 1_000_000, 1_000_000, 1_000_000, 1_000_000]) {
    const taken = takeToken(bucket, rate, nowMs)
    bucket = taken.bucket
    waits.push(taken.waitMs)
  }
  expect(waits).toEqual([0, 0, 0, 500, 1, 0, 500, 0, 0, 0, 500])
})

test('given any requests at any times > no window admits more than its burst and rate, and the wait told is enough', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 60 }),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 20 }),
      (gaps, perS, burst) => {
        let bucket: TokenBucket | undefined
        let nowMs = 0
        const admitted: number[] = []
        for (const gap of gaps) {
          nowMs += gap
          const { bucket: next, waitMs } = takeToken(bucket, { perS, burst }, nowMs)
          bucket = next
          if (waitMs === 0) admitted.push(nowMs)
          else expect(takeToken(next, { perS, burst }, nowMs + waitMs).waitMs).toBe(0)
        }
        admitted.forEach((from, first) => {
          admitted.slice(first).forEach((to, index) => {
            expect(index + 1).toBeLessThanOrEqual(burst + ((to - from) * perS) / 1_000 + 1e-6)
          })
        })
      },
    ),
  )
})

test('given a clock that went back > nothing is gained and nothing breaks', () => {
  const { bucket } = takeToken(undefined, rate, 1_000)
  expect(takeToken(bucket, rate, 0).bucket.tokens).toBe(1)
})
