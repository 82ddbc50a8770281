import { limits, type Clock } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { createLiveness } from './liveness.ts'

function watch(deadlineMs: number) {
  const testClock = createTestClock()
  let stoodStillMs = 0
  const clock: Clock = { ...testClock, monotonicMs: () => testClock.monotonicMs() + stoodStillMs }
  let silences = 0
  const liveness = createLiveness(clock, deadlineMs, () => (silences += 1))
  return {
    liveness,
    advance: (ms: number) => testClock.advance(ms),
    standStill: (ms: number) => (stoodStillMs += ms),
    silences: () => silences,
    timers: () => testClock.pendingTimers,
  }
}

describe('given a connection that is watched', () => {
  test('when frames come in time > it is not silent; when they stop, it is, once', () => {
    const { liveness, advance, silences, timers } = watch(100)
    for (let i = 0; i < 5; i++) {
      advance(99)
      liveness.touch()
    }
    advance(99)
    expect(silences()).toBe(0)
    advance(1)
    advance(1_000)
    expect([silences(), timers()]).toEqual([1, 0])
  })

  test('when the deadline changes > it counts from the last frame', () => {
    const { liveness, advance, silences } = watch(1_000)
    advance(50)
    liveness.touch()
    advance(50)
    liveness.setDeadline(100)
    advance(49)
    expect(silences()).toBe(0)
    advance(1)
    expect(silences()).toBe(1)
  })

  test('when nobody reads > it is never silent, and has the whole deadline afterwards', () => {
    const { liveness, advance, silences, timers } = watch(100)
    advance(90)
    liveness.suspend()
    liveness.setDeadline(200)
    advance(limits.LIVENESS_MS_MAX)
    expect(timers()).toBe(0)
    liveness.resume()
    advance(199)
    expect(silences()).toBe(0)
    advance(1)
    expect(silences()).toBe(1)
  })

  test('when this process stood still > what waits in the socket is read before anything is said', () => {
    const { liveness, advance, standStill, silences } = watch(100)
    standStill(60_000)
    advance(100)
    expect(silences()).toBe(0)
    liveness.touch()
    advance(1_000)
    expect(silences()).toBe(1)
    const dead = watch(100)
    dead.standStill(60_000)
    dead.advance(100)
    dead.advance(1_000)
    expect(dead.silences()).toBe(1)
  })

  test('when it is stopped > nothing can start it again', () => {
    const { liveness, advance, silences, timers } = watch(100)
    liveness.stop()
    liveness.resume()
    liveness.setDeadline(50)
    advance(1_000)
    expect([silences(), timers()]).toEqual([0, 0])
  })
})
