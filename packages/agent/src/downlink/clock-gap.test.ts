/** Gaps of a clock: a machine that was suspended, a process that stood still, and what is none. */
import { limits } from '@downlink/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createTestClock, type TestClock } from '../../../testkit/src/test-clock.ts'
import { watchForGaps } from './clock-gap.ts'

let clock: TestClock
let gaps: number
let watch: Disposable
beforeEach(() => {
  clock = createTestClock()
  gaps = 0
  watch = watchForGaps(clock, () => (gaps += 1))
})
afterEach(() => watch[Symbol.dispose]())

test('given time that passes > there is none, and its timer ends with it', () => {
  clock.advance(3_600_000)
  expect(gaps).toBe(0)
  watch[Symbol.dispose]()
  expect(clock.pendingTimers).toBe(0)
})

test('given a suspend, in which the monotonic clock stands > it is told once, when the machine is back', () => {
  clock.advance(2_000)
  clock.setWallMs(clock.wallMs() + 40_000)
  expect(gaps).toBe(0)
  clock.advance(limits.CLOCK_GAP_CHECK_MS)
  clock.advance(60_000)
  expect(gaps).toBe(1)
})

test('given a wall clock that is set back, or forward a little > there is none', () => {
  clock.setWallMs(clock.wallMs() - 3_600_000)
  clock.advance(limits.CLOCK_GAP_CHECK_MS)
  clock.setWallMs(clock.wallMs() + 30_000)
  clock.advance(limits.CLOCK_GAP_CHECK_MS)
  expect(gaps).toBe(0)
})

test('given a process that was stopped > its late timer tells', () => {
  const late = createTestClock()
  let told = 0
  let stoppedMs = 0
  using _ = watchForGaps({ ...late, monotonicMs: () => late.monotonicMs() + stoppedMs }, () => (told += 1))
  stoppedMs = 60_000
  late.advance(limits.CLOCK_GAP_CHECK_MS)
  expect(told).toBe(1)
})
