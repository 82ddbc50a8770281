/** The replies of one hub that are not yet sent, so that a stop can wait for them and then cut them. */
import type { ServerResponse } from 'node:http'
import type { Clock } from '@downlink/protocol'

/** A set of replies under way. */
export interface InFlight {
  readonly size: number
  /** Follows a reply until it is sent or its connection is gone. */
  follow(response: ServerResponse): void
  /** Resolves when none is left, after `deadlineMs`, or when `signal` aborts. */
  idle(deadlineMs: number, signal: AbortSignal): Promise<void>
  /** Cuts those that are left. */
  destroy(): void
}

/** Makes an empty set. */
export function createInFlight(clock: Clock): InFlight {
  const responses = new Set<ServerResponse>()
  let onIdle: (() => void) | undefined
  return {
    get size() {
      return responses.size
    },
    follow(response) {
      responses.add(response)
      response.once('close', () => {
        responses.delete(response)
        if (responses.size === 0) onIdle?.()
      })
    },
    async idle(deadlineMs, signal) {
      if (responses.size === 0 || signal.aborted) return
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
      for (const response of responses) response.destroy()
    },
  }
}
