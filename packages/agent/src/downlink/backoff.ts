/** How long to wait before the next connection attempt. */
import { limits } from '@downlink/protocol'

/** What bounds the wait. */
export interface BackoffLimits {
  /** The widest jitter after the first failure, ms; it doubles with each further one. @defaultValue `RECONNECT_MS_MIN` */
  readonly delayMsMin: number
  /** The widest jitter after any failure, ms. @defaultValue `RECONNECT_MS_MAX` */
  readonly delayMsMax: number
}

/** The limits of this project. */
export const BACKOFF_LIMITS: BackoffLimits = {
  delayMsMin: limits.RECONNECT_MS_MIN,
  delayMsMax: limits.RECONNECT_MS_MAX,
}

/** The part of the longest wait over which agents that only wait for somebody to act are spread. */
const BLOCKED_SPREAD = 0.25
/** Cap the exponent: 2 ** 1024 is Infinity, and a `delayMsMin` of 0 would make it NaN. */
const EXPONENT_MAX = 30

/**
 * Decides the wait before the next connection attempt, ms; starts no timer.
 * Full jitter spreads out a fleet that lost its hub all at once: fixed waits bring it back in one slot.
 * @param failureCount - failures in a row before the last one: 0 for the first.
 * @param floorMs - what `retry:` or `Retry-After` asks for at least; honoured up to `RETRY_MS_MAX`. The jitter comes on
 * top and is as wide as the floor, or everybody who heard the same floor would come back at once.
 * @param random - in [0, 1); injected so that a failing seed replays.
 */
export function reconnectDelayMs(
  failureCount: number,
  backoff: BackoffLimits,
  floorMs: number,
  random: number,
): number {
  const boundedFloorMs = Math.min(limits.RETRY_MS_MAX, Math.max(0, floorMs))
  const grownMs = Math.max(backoff.delayMsMin * 2 ** Math.min(failureCount, EXPONENT_MAX), boundedFloorMs)
  return boundedFloorMs + random * Math.min(backoff.delayMsMax, grownMs)
}

/** The wait, ms, when nothing but a person can help: about the longest one, and not less than `floorMs` within its bound. */
export function blockedDelayMs(backoff: BackoffLimits, floorMs: number, random: number): number {
  const paceMs = backoff.delayMsMax * (1 - BLOCKED_SPREAD * random)
  return Math.max(paceMs, reconnectDelayMs(0, backoff, floorMs, random))
}

/**
 * Decides the wait before a stream is probed again beside `wake`, ms.
 * @param probeCount - tries in a row that brought no stream to stay with.
 */
export function probeDelayMs(probeCount: number, random: number): number {
  const grownMs = limits.PROBE_MS_MIN * 2 ** Math.min(probeCount, EXPONENT_MAX)
  // Cut before the jitter, or there would be none left at the bound.
  return Math.min(grownMs, limits.PROBE_MS_MAX / 1.25) * (1 + 0.25 * random)
}
