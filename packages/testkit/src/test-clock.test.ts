import { delay } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { createTestClock } from './test-clock.ts'

describe('given a test clock', () => {
  test('when it is advanced > timers run in the order of their times, then of their setting', () => {
    const clock = createTestClock({ wallMs: 1_000, monotonicMs: 5 })
    const seen: string[] = []
    const note = (name: string) => () => seen.push(`${name}@${clock.monotonicMs()}/${clock.wallMs()}`)
    clock.setTimer(20, note('b'))
    clock.setTimer(10, note('a'))
    clock.setTimer(20, note('c'))
    clock.setTimer(21, note('late'))
    clock.advance(20)
    expect(seen).toEqual(['a@15/1010', 'b@25/1020', 'c@25/1020'])
    expect(clock.pendingTimers).toBe(1)
    expect(clock.nextTimerMs).toBe(1)
  })

  test('when a callback sets a timer within the advance > that one runs too', () => {
    const clock = createTestClock()
    const seen: number[] = []
    const tick = (): void => {
      seen.push(clock.monotonicMs())
      clock.setTimer(10, tick)
    }
    clock.setTimer(10, tick)
    clock.advance(35)
    expect(seen).toEqual([10, 20, 30])
    expect(clock.monotonicMs()).toBe(35)
  })

  test('when a timer is cancelled, before or after > it never runs again', () => {
    const clock = createTestClock()
    let count = 0
    const timer = clock.setTimer(10, () => (count += 1))
    const other = clock.setTimer(5, () => (count += 1))
    timer.cancel()
    clock.advance(50)
    other.cancel()
    clock.advance(50)
    expect(count).toBe(1)
    expect(clock.pendingTimers).toBe(0)
    expect(clock.nextTimerMs).toBeUndefined()
  })

  test('when nobody advances it > a timer of no delay does not run', () => {
    const clock = createTestClock()
    let ran = false
    clock.setTimer(0, () => (ran = true))
    expect(ran).toBe(false)
    clock.advance(0)
    expect(ran).toBe(true)
  })

  test('when the protocol waits on it > the wait ends with the advance', async () => {
    const clock = createTestClock()
    const waited = delay(clock, 1_000)
    clock.advance(1_000)
    await waited
    expect(clock.pendingTimers).toBe(0)
  })

  test('when it is moved backwards or from within a callback > it throws', () => {
    const clock = createTestClock()
    expect(() => clock.advance(-1)).toThrow(RangeError)
    clock.setTimer(1, () => clock.advance(1))
    expect(() => clock.advance(5)).toThrow(TypeError)
  })

  test('when the wall clock is set > only the wall clock moves', () => {
    const clock = createTestClock({ wallMs: 1_000 })
    clock.setWallMs(90_000)
    clock.advance(5)
    expect([clock.wallMs(), clock.monotonicMs()]).toEqual([90_005, 5])
  })
})
