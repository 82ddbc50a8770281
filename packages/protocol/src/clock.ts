/** The seams through which time and chance enter Downlink; nothing else may read a clock or roll a die. */

/** A timer that has been set; cancelling it twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void
}

/**
 * The time as one process sees it.
 *
 * Deadlines are measured on `monotonicMs`, which a change of the wall clock does not move;
 * `wallMs` is only for stamps that people read and for noticing a suspended machine.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  wallMs(): number
  /** Milliseconds since an arbitrary start; never goes back, may stop while the machine is suspended. */
  monotonicMs(): number
  /**
   * Calls `callback` once after `delayMs`, never before `setTimer` has returned; without a delay in a later turn of the event
   * loop, after what has come meanwhile.
   * Delays beyond 2^31-1 ms are clamped to it: Node would otherwise fire at once.
   */
  setTimer(delayMs: number, callback: () => void): Timer
}

/** Uniform in [0, 1). Injected, so that a failing seed replays. */
export type Random = () => number

const TIMER_DELAY_MS_MAX = 2 ** 31 - 1

/** The clock of this machine. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    if (delayMs <= 0) {
      // A timeout is never shorter than a millisecond.
      const immediate = setImmediate(callback)
      return { cancel: () => clearImmediate(immediate) }
    }
    const handle = setTimeout(callback, Math.min(TIMER_DELAY_MS_MAX, delayMs))
    return { cancel: () => clearTimeout(handle) }
  },
}

/** The random source of this machine; for jitter, never for secrets. */
export const systemRandom: Random = () => Math.random()

/**
 * Waits `delayMs` on `clock`.
 * @throws the signal's reason as soon as `signal` aborts.
 */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error)
      return
    }
    const onAbort = (): void => {
      timer.cancel()
      reject(signal?.reason as Error)
    }
    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
