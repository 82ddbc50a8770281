/** Decides which mirror of a hub a call tries, and in which order: a function of state, time and chance. */
import { limits } from '@downlink/protocol'

/** Where a pool of mirrors stands. Mirrors are numbers: their places in the configured order, home is 0. */
export interface MirrorState {
  readonly count: number
  /** The one that worked last. */
  readonly current: number
  /** When home may be tried again, by the monotonic clock, ms; no meaning at home. */
  readonly homeDueMs: number
  /** Tries of home that failed in a row since it was left. */
  readonly homeFailures: number
}

/** The state of a pool of `count` mirrors that begins at `current`. */
export function mirrorsOf(count: number, current = 0, nowMs = 0): MirrorState {
  return { count, current, homeDueMs: nowMs + limits.MIRROR_HOME_MS_MIN, homeFailures: 0 }
}

/**
 * The mirrors that one call tries, each once: the current one and those behind it, round to where it began. Home comes
 * first once it is due.
 * @param maySeekHome - false for calls that should not wait for a home that is still down.
 */
export function mirrorOrder(state: MirrorState, nowMs: number, maySeekHome: boolean): readonly number[] {
  const { count, current, homeDueMs } = state
  const order = Array.from({ length: count }, (_, step) => (current + step) % count)
  if (current === 0 || !maySeekHome || nowMs < homeDueMs) return order
  return [0, ...order.filter((mirror) => mirror !== 0)]
}

/**
 * A mirror answered: the pool stays there.
 * @param random - in [0, 1): spreads the way home of a fleet that lost it all at once.
 */
export function mirrorWorked(state: MirrorState, mirror: number, nowMs: number, random: number): MirrorState {
  if (mirror === state.current) return state
  if (mirror === 0) return { ...mirrorsOf(state.count), homeDueMs: nowMs }
  const hasLeftHome = state.current === 0
  return {
    ...state,
    current: mirror,
    ...(hasLeftHome ? { homeFailures: 0, homeDueMs: nowMs + homeDelayMs(0, random) } : {}),
  }
}

/** The mirror in use answers, but not as it should: the next one is asked from now on. */
export function mirrorLeft(state: MirrorState, nowMs: number, random: number): MirrorState {
  return mirrorWorked(state, (state.current + 1) % state.count, nowMs, random)
}

/** A mirror failed. Only that of home matters: it is tried again later, and later each time. */
export function mirrorFailed(state: MirrorState, mirror: number, nowMs: number, random: number): MirrorState {
  if (mirror !== 0 || state.current === 0) return state
  const homeFailures = state.homeFailures + 1
  return { ...state, homeFailures, homeDueMs: nowMs + homeDelayMs(homeFailures, random) }
}

/** How a try ended that was no success. */
export interface MirrorFailure {
  readonly code: string
  /** Of the reply, if one came. */
  readonly status?: number
  /** The headers of a reply had come before it failed. */
  readonly isAnswered: boolean
}

const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([408, 502, 503, 504])
/** Whatever came, it was not a hub, or not in time. */
const TRANSIENT_CODES: ReadonlySet<string> = new Set(['timed_out', 'not_an_event_stream', 'not_a_hub'])
/** They say that nobody was reached, unless a reply had begun. */
const UNREACHED_CODES: ReadonlySet<string> = new Set([
  'dns_failed',
  'connect_timeout',
  'connect_failed',
  'proxy_failed',
  'tls_failed',
  'connection_lost',
  'reply_malformed',
  'reply_headers_too_large',
  'raw_bytes_exceeded',
  'too_many_interim_replies',
])

/** Whether another mirror may do better. What a hub itself said stands, wherever it is asked again. */
export function failsOver({ code, status, isAnswered }: MirrorFailure): boolean {
  if (TRANSIENT_CODES.has(code)) return true
  if (status !== undefined) return TRANSIENT_STATUSES.has(status)
  return !isAnswered && UNREACHED_CODES.has(code)
}

/** The part of `leftMs` that the next try gets when `triesLeft`, it included, are left: the last one gets all. */
export function tryShareMs(leftMs: number, triesLeft: number): number {
  return Math.min(leftMs, Math.max(limits.MIRROR_TRY_MS_MIN, leftMs / Math.max(1, triesLeft)))
}

function homeDelayMs(failures: number, random: number): number {
  const grownMs = limits.MIRROR_HOME_MS_MIN * 2 ** Math.min(failures, 10)
  // Cut before the jitter, or there would be none left at the bound.
  return Math.min(grownMs, limits.MIRROR_HOME_MS_MAX / 1.5) * (1 + 0.5 * random)
}
