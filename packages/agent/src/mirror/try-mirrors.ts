/** Carries out one call at the first mirror that answers it. */
import { DownlinkError, HttpError, type Clock } from '@downlink/protocol'
import { failsOver, tryShareMs } from './mirror-machine.ts'
import type { MirrorList } from './mirror-pool.ts'

/** One try of a call. */
export interface MirrorTry {
  readonly mirror: URL
  /** The time that this try may take, ms. */
  readonly deadlineMs: number
  /** No other mirror is left. */
  readonly isLast: boolean
  /** To be called when the headers of the reply have come: from then on a lost connection is not tried elsewhere. */
  readonly answered: () => void
}

/** How a call uses the mirrors. */
export interface MirrorCall {
  readonly mirrors: MirrorList
  readonly clock: Clock
  /** For the whole call, shared out among the tries, ms. */
  readonly deadlineMs: number
  /** Each try gets the whole deadline: for calls that a server holds on purpose. @defaultValue false */
  readonly isHeld?: boolean
  /** Whether home may be tried first when it is due. */
  readonly maySeekHome: boolean
  readonly signal?: AbortSignal
}

/**
 * Tries each mirror once until one works, or fails in a way that stands everywhere; the pool stays where it worked.
 * @throws what the last try threw.
 */
export async function tryMirrors<T>(call: MirrorCall, attempt: (one: MirrorTry) => Promise<T>): Promise<T> {
  const { mirrors, clock, signal } = call
  const order = mirrors.order(call.maySeekHome)
  const endMs = clock.monotonicMs() + call.deadlineMs
  for (const [place, mirror] of order.entries()) {
    const triesLeft = order.length - place
    const shareMs = tryShareMs(endMs - clock.monotonicMs(), triesLeft)
    let isAnswered = false
    try {
      const result = await attempt({
        mirror,
        deadlineMs: call.isHeld === true ? call.deadlineMs : Math.max(0, shareMs),
        isLast: triesLeft === 1,
        answered: () => (isAnswered = true),
      })
      mirrors.worked(mirror)
      return result
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof DownlinkError)) throw error
      const status = error instanceof HttpError ? { status: error.status } : {}
      if (!failsOver({ code: error.code, isAnswered, ...status })) {
        // A refusal is an answer; whatever else failed says nothing about the mirror.
        if (isAnswered) mirrors.worked(mirror)
        throw error
      }
      mirrors.failed(mirror)
      const isTimeOver = call.isHeld !== true && clock.monotonicMs() >= endMs
      if (triesLeft === 1 || isTimeOver) throw error
    }
  }
  throw new Error('There is no mirror to try.')
}
