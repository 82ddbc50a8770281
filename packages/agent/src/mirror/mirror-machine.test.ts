import { limits } from '@downlink/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  failsOver,
  mirrorFailed,
  mirrorOrder,
  mirrorsOf,
  mirrorWorked,
  tryShareMs,
  type MirrorState,
} from './mirror-machine.ts'

const HOME_MS = limits.MIRROR_HOME_MS_MIN

describe('given three mirrors (R-04)', () => {
  const home = mirrorsOf(3)
  const away = mirrorWorked(home, 1, 1_000, 0)

  test('when nothing has happened > a call tries them in their order, each once', () => {
    expect(mirrorOrder(home, 0, true)).toEqual([0, 1, 2])
  })

  test('when another one worked > calls begin there', () => {
    expect(mirrorOrder(away, 1_000 + HOME_MS - 1, true)).toEqual([1, 2, 0])
    expect(mirrorOrder(mirrorWorked(away, 2, 2_000, 0), 2_000, true)).toEqual([2, 0, 1])
  })

  test('when home is due > it comes first, but not for calls that should not wait for it', () => {
    expect(mirrorOrder(away, 1_000 + HOME_MS, true)).toEqual([0, 1, 2])
    expect(mirrorOrder(away, 1_000 + HOME_MS, false)).toEqual([1, 2, 0])
  })

  test('when home fails again and again > it is tried later each time, up to a bound', () => {
    let state = away
    const delays = [1, 2, 3, 4, 5, 6].map(() => {
      const nowMs = state.homeDueMs
      state = mirrorFailed(state, 0, nowMs, 0.5)
      return state.homeDueMs - nowMs
    })
    expect(delays.slice(0, 3)).toEqual([150_000, 300_000, 600_000])
    expect(delays.at(-1)).toBeLessThanOrEqual(limits.MIRROR_HOME_MS_MAX)
  })

  test('when home has recovered > it is home that stays in use', () => {
    const back = mirrorWorked(mirrorFailed(away, 0, 0, 0), 0, 500_000, 0)
    expect(back).toMatchObject({ current: 0, homeFailures: 0 })
    expect(mirrorOrder(back, 500_000, true)).toEqual([0, 1, 2])
  })

  test('when a fleet lost home at one moment > it does not come back at one moment', () => {
    expect(mirrorWorked(home, 1, 0, 0.999).homeDueMs - mirrorWorked(home, 1, 0, 0).homeDueMs).toBeGreaterThan(
      HOME_MS / 3,
    )
  })

  test('when one that is not home fails > nothing is remembered', () => {
    expect(mirrorFailed(away, 1, 9_000, 0)).toBe(away)
    expect(mirrorFailed(home, 0, 9_000, 0)).toBe(home)
  })
})

describe('given a try that failed (R-04)', () => {
  test.each([408, 502, 503, 504])('when the status is %i > the next mirror is tried', (status) => {
    expect(failsOver({ code: 'store_unavailable', status, isAnswered: true })).toBe(true)
  })

  test.each([400, 401, 403, 404, 409, 410, 412, 413, 426, 429, 431, 500, 501, 301, 307])(
    'when the status is %i > that stands',
    (status) => {
      expect(failsOver({ code: `http_${status}`, status, isAnswered: true })).toBe(false)
    },
  )

  test.each([
    ['dns_failed', false, true],
    ['connect_failed', false, true],
    ['connect_timeout', false, true],
    ['tls_failed', false, true],
    ['proxy_failed', false, true],
    ['connection_lost', false, true],
    ['connection_lost', true, false],
    ['timed_out', false, true],
    ['timed_out', true, true],
    ['reply_too_large', true, false],
    ['client_closed', false, false],
    ['no_credential', false, false],
  ] as const)(
    'when it is %s and a reply had begun: %s > another mirror is tried: %s',
    (code, isAnswered, is) => {
      expect(failsOver({ code, isAnswered })).toBe(is)
    },
  )

  test('when a success is no event stream, or a login page > another mirror is tried', () => {
    for (const code of ['not_an_event_stream', 'not_a_hub']) {
      expect(failsOver({ code, status: 200, isAnswered: true })).toBe(true)
    }
    expect(failsOver({ code: 'bad_reply', status: 200, isAnswered: true })).toBe(false)
  })
})

test('given a deadline and tries > it is shared out, and the last try gets what is left', () => {
  expect(tryShareMs(30_000, 2)).toBe(15_000)
  expect(tryShareMs(30_000, 8)).toBe(limits.MIRROR_TRY_MS_MIN)
  expect(tryShareMs(1_000, 2)).toBe(1_000)
  expect(tryShareMs(12_345, 1)).toBe(12_345)
})

test('given any course of calls > each call tries every mirror once, and home is due within its bound', () => {
  const step = fc.record({
    mirror: fc.nat(7),
    worked: fc.boolean(),
    waitMs: fc.nat(2_000_000),
    random: fc.double({ min: 0, max: 0.999, noNaN: true }),
  })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: limits.MIRRORS_MAX }), fc.array(step), (count, steps) => {
      let state: MirrorState = mirrorsOf(count)
      let nowMs = 0
      for (const { mirror, worked, waitMs, random } of steps) {
        nowMs += waitMs
        const decide = worked ? mirrorWorked : mirrorFailed
        state = decide(state, mirror % count, nowMs, random)
        for (const maySeekHome of [true, false]) {
          const order = mirrorOrder(state, nowMs, maySeekHome)
          expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, index) => index))
          if (!maySeekHome) expect(order[0]).toBe(state.current)
        }
        expect(state.homeDueMs).toBeLessThanOrEqual(nowMs + limits.MIRROR_HOME_MS_MAX)
      }
    }),
  )
})
