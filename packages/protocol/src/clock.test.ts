/** The seams of time and chance. */
import { createTestClock } from '../../testkit/src/test-clock.ts'
import { describe, expect, test, vi } from 'vitest'
import { delay, systemClock, systemRandom } from './clock.ts'

describe('given a delay', () => {
  test('its time comes > it resolves, and leaves no listener behind', async () => {
    const clock = createTestClock()
    const controller = new AbortController()
    const remove = vi.spyOn(controller.signal, 'removeEventListener')
    const done = delay(clock, 100, controller.signal)
    clock.advance(99)
    expect(clock.pendingTimers).toBe(1)
    clock.advance(1)
    await expect(done).resolves.toBeUndefined()
    expect(remove, 'a signal outlives many delays').toHaveBeenCalledTimes(1)
  })

  test('it is aborted > it rejects with the reason, and its timer is gone', async () => {
    const clock = createTestClock()
    const controller = new AbortController()
    const done = delay(clock, 100, controller.signal)
    controller.abort(new Error('enough'))
    await expect(done).rejects.toThrow('enough')
    expect(clock.pendingTimers).toBe(0)
  })

  test('it was aborted before > it sets no timer', async () => {
    const clock = createTestClock()
    await expect(delay(clock, 100, AbortSignal.abort(new Error('before')))).rejects.toThrow('before')
    expect(clock.pendingTimers).toBe(0)
  })
})

describe('given the clock of this machine', () => {
  test('a timer > fires once, never before setTimer has returned', async () => {
    let fired = 0
    let returned = false
    await new Promise<void>((resolve) => {
      systemClock.setTimer(-5, () => {
        fired += 1
        expect(returned).toBe(true)
        resolve()
      })
      returned = true
    })
    expect(fired).toBe(1)
  })

  test('a cancelled timer, cancelled again > never fires', async () => {
    const fired = vi.fn<() => void>()
    const timer = systemClock.setTimer(0, fired)
    timer.cancel()
    timer.cancel()
    await new Promise<void>((resolve) => void systemClock.setTimer(1, resolve))
    expect(fired).not.toHaveBeenCalled()
  })

  test('a timer without a delay > comes in a later turn, after what came meanwhile, and can be cancelled', async () => {
    const order: string[] = []
    const cancelled = systemClock.setTimer(0, () => order.push('cancelled'))
    await new Promise<void>((resolve) => {
      systemClock.setTimer(0, () => {
        order.push('timer')
        resolve()
      })
      cancelled.cancel()
      process.nextTick(() => order.push('before'))
      order.push('now')
    })
    expect(order).toEqual(['now', 'before', 'timer'])
  })

  test('a delay beyond 2^31-1 ms > does not fire at once', async () => {
    const fired = vi.fn<() => void>()
    const timer = systemClock.setTimer(2 ** 40, fired)
    await new Promise<void>((resolve) => void systemClock.setTimer(1, resolve))
    timer.cancel()
    expect(fired, 'clamp it: Node fires a longer one after 1 ms').not.toHaveBeenCalled()
  })

  test('chance > is in [0, 1)', () => {
    const value = systemRandom()
    expect(value >= 0 && value < 1).toBe(true)
    expect(systemClock.wallMs()).toBeGreaterThan(0)
    expect(systemClock.monotonicMs()).toBeLessThanOrEqual(systemClock.monotonicMs())
  })
})
