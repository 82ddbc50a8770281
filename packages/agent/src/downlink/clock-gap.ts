/** Notices that this process, or its machine, stood still: timers that fire late, or a wall clock that has run ahead. */
import { limits, type Clock, type Timer } from '@downlink/protocol'

/** The longest time without a frame that a stream with heartbeats of the default period survives, ms. */
const GAP_MS = limits.LIVENESS_HEARTBEATS * limits.HEARTBEAT_MS_DEFAULT

/**
 * Calls `onGap` when more time has passed than was waited for, by `GAP_MS`, on the wall clock or on the monotonic one,
 * which stops in suspend. A wall clock that somebody sets forward looks the same, and does no harm.
 */
export function watchForGaps(clock: Clock, onGap: () => void): Disposable {
  let timer: Timer
  const watch = (): void => {
    const wallMs = clock.wallMs()
    const monotonicMs = clock.monotonicMs()
    timer = clock.setTimer(limits.CLOCK_GAP_CHECK_MS, () => {
      const passedMs = Math.max(clock.wallMs() - wallMs, clock.monotonicMs() - monotonicMs)
      watch()
      if (passedMs > limits.CLOCK_GAP_CHECK_MS + GAP_MS) onGap()
    })
  }
  watch()
  return { [Symbol.dispose]: () => timer.cancel() }
}
