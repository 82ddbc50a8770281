/** Bounds the time of one piece of work by the handed-in clock. */
import type { Clock } from '@downlink/protocol'

/**
 * Runs `work` with a signal that aborts when `signal` does or after `deadlineMs`, and then does not wait for it any
 * more: a transport may not notice an abort.
 * @throws the signal's reason, what `passed` makes of the deadline, or what `work` throws; the first to happen.
 */
export async function withDeadline<T>(
  clock: Clock,
  deadlineMs: number,
  signal: AbortSignal | undefined,
  passed: () => Error,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted()
  const controller = new AbortController()
  const timer = clock.setTimer(deadlineMs, () => controller.abort(passed()))
  const onAbort = (): void => controller.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  const aborted = Promise.withResolvers<never>()
  controller.signal.addEventListener('abort', () => aborted.reject(controller.signal.reason as Error))
  try {
    return await Promise.race([work(controller.signal), aborted.promise])
  } catch (error) {
    // Whatever broke because of the abort, the abort is the cause.
    controller.signal.throwIfAborted()
    throw error
  } finally {
    timer.cancel()
    signal?.removeEventListener('abort', onAbort)
  }
}
