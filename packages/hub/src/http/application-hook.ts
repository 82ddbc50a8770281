/** Calls what the application around the hub has handed in, so that it cannot hold the hub up. */
import type { Clock } from '@downlink/protocol'

/**
 * What `call` resolves with. Its signal aborts when the time is up.
 * @throws what it throws, and Error once it has taken `msMax`; what comes of it later is dropped.
 */
export async function callHook<T>(
  clock: Clock,
  msMax: number,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = clock.setTimer(msMax, () => {
    const error = new Error(`It had not answered after ${msMax} ms.`)
    reject(error)
    controller.abort(error)
  })
  try {
    return await Promise.race([call(controller.signal), late])
  } finally {
    timer.cancel()
  }
}
