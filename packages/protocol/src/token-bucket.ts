/** A token bucket: how much of a rate is left. A pure function of time. */

/** A rate that may be used up in bursts. */
export interface Rate {
  readonly perS: number
  /** Most that may come at once after a rest. */
  readonly burst: number
}

/** What was left at a moment of the monotonic clock. */
export interface TokenBucket {
  readonly tokens: number
  readonly atMs: number
}

/** What one more costs: the bucket after it, and how long to wait if it was one too many, ms; 0 if it was not. */
export interface TakenToken {
  readonly bucket: TokenBucket
  readonly waitMs: number
}

/** What sums of fractions may be off by. */
const ROUNDING = 1e-6

/** Takes one from the bucket; one too many takes nothing. @param bucket - undefined: nothing was used yet. */
export function takeToken(bucket: TokenBucket | undefined, rate: Rate, nowMs: number): TakenToken {
  const sinceMs = bucket === undefined ? 0 : Math.max(0, nowMs - bucket.atMs)
  const tokens = Math.min(rate.burst, (bucket?.tokens ?? rate.burst) + (sinceMs * rate.perS) / 1_000)
  if (tokens >= 1 - ROUNDING) return { bucket: { tokens: Math.max(0, tokens - 1), atMs: nowMs }, waitMs: 0 }
  const waitMs = ((1 - tokens) * 1_000) / rate.perS
  return { bucket: { tokens, atMs: nowMs }, waitMs: Math.max(1, Math.ceil(waitMs - ROUNDING)) }
}
