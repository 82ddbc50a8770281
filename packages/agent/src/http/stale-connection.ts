/** Tells a hub that is lost from a kept connection that merely died between two requests. */
import { DownlinkError, type Clock } from '@downlink/protocol'
import type { MirrorTry } from '../mirror/try-mirrors.ts'
import type { RequestPools } from './request-pools.ts'

/**
 * Carries out one try of a request that may be repeated, over the pool of its mirror. A connection kept from an earlier
 * request may be closed by the hub, or forgotten by what is between, just as the next one is written to it. So a try
 * that could have had such a connection, and lost it before the headers of a reply, is made once more, in the time that
 * is left to it and over a new connection; one that dialled for itself is not.
 * @param attempt - called for each try, so that each has a boot counter of its own.
 * @throws what the last try threw.
 */
export async function withoutStaleConnection<T>(
  { pools, clock }: { readonly pools: RequestPools; readonly clock: Clock },
  one: MirrorTry,
  attempt: (one: MirrorTry) => Promise<T>,
): Promise<T> {
  const pool = pools.of(one.mirror)
  if (pool.free === 0) return attempt(one)
  const endMs = clock.monotonicMs() + one.deadlineMs
  let isAnswered = false
  const answered = (): void => {
    isAnswered = true
    one.answered()
  }
  try {
    return await attempt({ ...one, answered })
  } catch (error) {
    const isLost = error instanceof DownlinkError && error.code === 'connection_lost'
    const deadlineMs = endMs - clock.monotonicMs()
    if (!isLost || isAnswered || deadlineMs <= 0) throw error
    // Its other connections are as old.
    pools.retire(pool)
    return attempt({ ...one, deadlineMs })
  }
}
