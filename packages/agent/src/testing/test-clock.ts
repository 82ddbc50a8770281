/** A clock that stands still until a test moves it. */
import type { Clock } from '@downlink/protocol'

/** A {@link Clock} in a test's hands. */
export interface TestClock extends Clock {
  /** How many timers are set and have neither fired nor been cancelled. */
  readonly pendingTimers: number
  /** How long until the next timer fires, ms, or undefined if none is set. */
  readonly nextTimerMs: number | undefined
  /**
   * Moves both clocks by `ms` and calls every timer that falls due, in the order of their times and, at one time, in
   * the order they were set. A timer set by a callback fires in the same call if it falls due within `ms`.
   * Promises that callbacks resolve run only afterwards: await something before looking at what they did.
   * @throws RangeError if `ms` is negative, and TypeError if called from a timer's callback.
   * @throws what a callback throws, once the clock stands at that callback's time.
   */
  advance(ms: number): void
  /** Moves the wall clock alone, as a user, NTP or a suspended machine does; no timer fires. */
  setWallMs(wallMs: number): void
}

interface PendingTimer {
  readonly dueMs: number
  readonly callback: () => void
}

/** As long as Node takes; a longer delay is clamped, as the contract of {@link Clock} says. */
const TIMER_DELAY_MS_MAX = 2 ** 31 - 1

/** Makes a clock that starts at `wallMs` (by default some day in 2026) and `monotonicMs` (by default 0). */
export function createTestClock(options: { wallMs?: number; monotonicMs?: number } = {}): TestClock {
  let nowMs = options.monotonicMs ?? 0
  let wallOffsetMs = (options.wallMs ?? 1_767_225_600_000) - nowMs
  let advancing = false
  const pending = new Set<PendingTimer>()

  const earliest = (): PendingTimer | undefined => {
    let first: PendingTimer | undefined
    for (const timer of pending) if (first === undefined || timer.dueMs < first.dueMs) first = timer
    return first
  }
  const runUntil = (untilMs: number): void => {
    for (let timer = earliest(); timer !== undefined && timer.dueMs <= untilMs; timer = earliest()) {
      pending.delete(timer)
      nowMs = timer.dueMs
      timer.callback()
    }
    nowMs = untilMs
  }

  return {
    wallMs: () => nowMs + wallOffsetMs,
    monotonicMs: () => nowMs,
    setTimer(delayMs, callback) {
      const timer = { dueMs: nowMs + Math.min(TIMER_DELAY_MS_MAX, Math.max(0, delayMs)), callback }
      pending.add(timer)
      return { cancel: () => void pending.delete(timer) }
    },
    get pendingTimers() {
      return pending.size
    },
    get nextTimerMs() {
      const first = earliest()
      return first === undefined ? undefined : first.dueMs - nowMs
    },
    advance(ms) {
      if (!(ms >= 0)) throw new RangeError(`The clock cannot be moved by ${ms} ms. Pass a number from 0 up.`)
      if (advancing) throw new TypeError('A timer callback called advance(). Call it from the test itself.')
      advancing = true
      try {
        runUntil(nowMs + ms)
      } finally {
        advancing = false
      }
    },
    setWallMs(wallMs) {
      wallOffsetMs = wallMs - nowMs
    },
  }
}
