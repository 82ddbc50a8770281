/** Waiting with an end: for what must not hold up a stop. */
import type { Clock } from '@downlink/protocol'

/** Resolves to true once `promise` has settled, whichever way, or to false after `limitMs`. */
export async function waitAtMost(clock: Clock, limitMs: number, promise: Promise<unknown>): Promise<boolean> {
  const { promise: over, resolve } = Promise.withResolvers<boolean>()
  const timer = clock.setTimer(limitMs, () => resolve(false))
  promise.then(
    () => resolve(true),
    () => resolve(true),
  )
  const settled = await over
  timer.cancel()
  return settled
}
