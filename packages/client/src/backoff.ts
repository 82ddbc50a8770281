/** Decides whether an operator's request is sent again, and when; starts no timer. */
import { DownlinkError, HttpError, limits } from '@downlink/protocol'

/** A status that says "not now" about a request that may be repeated. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 429, 502, 503, 504])

/** The codes of requests that got no reply. */
export const NO_REPLY_CODES: ReadonlySet<string> = new Set(['hub_unreachable', 'reply_timeout'])

/**
 * The wait before the next attempt, ms, or undefined if there shall be none.
 * Every request of this client may be repeated: it reads, it nudges, or it carries an idempotency key.
 * @param attempt - how often the request has been sent, from 1.
 * @param random - in [0, 1); injected so that a failing seed replays.
 */
export function retryDelayMs(error: unknown, attempt: number, random: number): number | undefined {
  if (!(error instanceof DownlinkError) || attempt >= limits.CLIENT_ATTEMPTS_MAX) return undefined
  if (!isPassing(error)) return undefined
  const askedMs = error instanceof HttpError ? (error.retryAfterMs ?? 0) : 0
  if (askedMs > limits.CLIENT_RETRY_AFTER_MS_MAX) return undefined
  return askedMs + jitterMs(attempt, random)
}

/** Whether the same request may be answered later. */
export function isPassing(error: unknown): error is DownlinkError {
  if (error instanceof HttpError) return PASSING_STATUSES.has(error.status)
  return error instanceof DownlinkError && NO_REPLY_CODES.has(error.code)
}

/** A wait that doubles its ceiling with each attempt, from 1, ms. */
export function jitterMs(attempt: number, random: number): number {
  return random * Math.min(limits.CLIENT_RETRY_MS_MAX, limits.CLIENT_RETRY_MS_MIN * 2 ** (attempt - 1))
}
