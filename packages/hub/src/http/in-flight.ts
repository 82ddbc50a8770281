/** The replies and streams of one hub that are not yet sent to their end, so that a stop can wait for them and then cut them. */
import type { ServerResponse } from 'node:http'
import type { Clock } from '@downlink/protocol'

/** Something under way that can be cut. */
export interface Cuttable {
  destroy(): void
}

/** A set of what is under way. */
export interface InFlight {
  readonly size: number
  /** Follows a reply until it is sent or its connection is gone. */
  follow(response: ServerResponse): void
  /** Follows a stream that has taken over the connection of `response`, until {@link forget}. */
  followInstead(response: ServerResponse, stream: Cuttable): void
  forget(item: Cuttable): void
  /** Resolves when none is left, after `deadlineMs`, or when `signal` aborts. */
  idle(deadlineMs: number, signal: AbortSignal): Promise<void>
  /** Cuts those that are left. */
  destroy(): void
}

/** Makes an empty set. */
export function createInFlight(clock: Clock): InFlight {
  const items = new Set<Cuttable>()
  let onIdle: (() => void) | undefined
  function forget(item: Cuttable): void {
    items.delete(item)
    if (items.size === 0) onIdle?.()
  }
  return {
    get size() {
      return items.size
    },
    follow(response) {
      items.add(response)
      response.once('close', () => forget(response))
    },
    followInstead(response, stream) {
      items.add(stream)
      items.delete(response)
    },
    forget,
    async idle(deadlineMs, signal) {
      if (items.size === 0 || signal.aborted) return
      const { promise, resolve } = Promise.withResolvers<void>()
      onIdle = resolve
      const timer = clock.setTimer(deadlineMs, resolve)
      const onAbort = (): void => resolve()
      signal.addEventListener('abort', onAbort, { once: true })
      await promise
      timer.cancel()
      signal.removeEventListener('abort', onAbort)
    },
    destroy() {
      for (const item of items) item.destroy()
    },
  }
}
