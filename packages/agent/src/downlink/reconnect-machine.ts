/** Decides how long an agent waits when a try or a stream has ended, and whether `wake` is asked meanwhile: a function of state, end, time and chance. */
import { limits } from '@downlink/protocol'
import { blockedDelayMs, BACKOFF_LIMITS, probeDelayMs, reconnectDelayMs } from './backoff.ts'
import {
  memoryOf,
  type ConnectionContext,
  type ConnectionFailure,
  type ConnectionMemory,
  type ConnectionMove,
  type OpenState,
} from './connection-state.ts'
import type { StreamEnd } from '../stream/event-stream.ts'
import { pollStep } from './poll-machine.ts'
import { isRelapse, relapse } from './probation-machine.ts'

const ENDED_EARLY: ConnectionFailure = {
  code: 'stream_ended_early',
  message: `The stream ended within ${limits.STREAM_EARLY_END_MS} ms and without an event. Something between may not let streams through.`,
  retry: 'backoff',
}
const CUT_SHORT: ConnectionFailure = {
  code: 'streams_cut_short',
  message: `${limits.SHORT_STREAMS_MAX} streams in a row ended within ${limits.STREAM_PROVEN_MS} ms. Something between may end them; look for a limit on the age of connections.`,
  retry: 'backoff',
}

/** The code of a try that was given up because this process had stood still. */
export const STOOD_STILL = 'stood_still'

/** Where nobody is reached, `wake` reaches nobody either, and would only make the way back to a stream longer. */
const UNREACHED_CODES: ReadonlySet<string> = new Set([
  'dns_failed',
  'connect_timeout',
  'connect_failed',
  'proxy_failed',
  'tls_failed',
])
/** How a server says that it holds no streams at all. */
const NO_STREAM_CODES: ReadonlySet<string> = new Set(['not_supported_here', 'http_501'])
/** How a hub that starts again looks from outside, directly and through a proxy. */
const RESTARTING_CODES: ReadonlySet<string> = new Set([
  'connect_timeout',
  'connect_failed',
  'connection_lost',
  'draining',
  'http_502',
  'http_503',
  'http_504',
])

/** A try failed. */
export function afterFailure(
  state: ConnectionMemory,
  failure: ConnectionFailure,
  retryAfterMs: number,
  context: ConnectionContext,
): ConnectionMove {
  if (failure.code === STOOD_STILL) return comeBack(state, 0, false, context)
  const isExpected = context.nowMs < state.graceUntilMs && RESTARTING_CODES.has(failure.code)
  return isExpected
    ? awaitHub(state, failure, retryAfterMs, context)
    : fail(state, failure, retryAfterMs, context)
}

/** A stream ended. */
export function afterEnd(
  state: OpenState,
  end: StreamEnd,
  retryMs: number | undefined,
  context: ConnectionContext,
): ConnectionMove {
  const goodMs = context.nowMs - state.openedMs
  const isProven = goodMs >= limits.STREAM_PROVEN_MS
  const remembered: ConnectionMemory = {
    ...memoryOf(state),
    ...(isProven ? { failureCount: 0, reachedCount: 0, probeCount: 0, shortCount: 0 } : {}),
    retryMs: retryMs ?? state.retryMs,
  }
  const isEarly = goodMs < limits.STREAM_EARLY_END_MS
  switch (end.reason) {
    case 'lost':
    case 'silent':
    case 'limit':
    case 'revoked': {
      const { code, message, retry } = end.error
      return fail(remembered, { code, message, retry }, 0, context, {
        hasStreamed: state.frameSeen,
        isLost: end.reason === 'lost',
      })
    }
    case 'ended':
    case 'drained': {
      if (end.reason === 'ended' && isEarly && !state.eventSeen) {
        return fail(remembered, ENDED_EARLY, 0, context)
      }
      const shortCount = isProven ? 0 : state.shortCount + 1
      const counted = { ...remembered, shortCount }
      if (end.reason === 'drained') return comeBack(counted, state.drainMs ?? 0, isEarly, context)
      if (shortCount >= limits.SHORT_STREAMS_MAX) {
        const reachedCount = Math.max(counted.reachedCount, limits.STREAM_FAILURES_MAX - 1)
        return fail({ ...counted, reachedCount }, CUT_SHORT, 0, context)
      }
      // Whatever ends streams before they have proved themselves is probed, not hammered.
      return state.poll.name === 'off' ? comeBack(counted, 0, isEarly, context) : probe(counted, context)
    }
    case 'closed':
    case 'aborted':
      return comeBack(remembered, 0, isEarly, context)
  }
}

/** What the stream that failed was like, if there was one. */
interface FailedStream {
  /** Frames had come: the path did let streams through, so the next try need not wait as a probe. */
  readonly hasStreamed: boolean
  /** It was cut, as when its hub dies. */
  readonly isLost: boolean
}

function fail(
  state: ConnectionMemory,
  failure: ConnectionFailure,
  retryAfterMs: number,
  context: ConnectionContext,
  stream?: FailedStream,
): ConnectionMove {
  const { nowMs, random, backoff = BACKOFF_LIMITS } = context
  const floorMs = Math.min(limits.RETRY_MS_MAX, Math.max(state.retryMs, retryAfterMs))
  const backoffMs =
    failure.retry === 'never'
      ? blockedDelayMs(backoff, floorMs, random)
      : reconnectDelayMs(state.failureCount, backoff, floorMs, random)
  const hadRelapse = stream !== undefined && isRelapse(state, nowMs)
  const failed: ConnectionMemory = {
    ...memoryOf(state),
    ...(stream === undefined ? {} : relapse(state, nowMs)),
    failureCount: state.failureCount + 1,
    reachedCount: state.reachedCount + (UNREACHED_CODES.has(failure.code) ? 0 : 1),
    notBeforeMs: nowMs + (failure.retry === 'never' ? backoffMs : floorMs),
  }
  // A silent path has cost its deadline already, and who says that there are no streams need not be asked twice.
  const isSilent = failure.code === 'stream_silent'
  const isWithout = NO_STREAM_CODES.has(failure.code)
  const fallsBack =
    state.mode === 'auto' &&
    state.poll.name === 'off' &&
    (isSilent || isWithout || hadRelapse || failed.reachedCount >= limits.STREAM_FAILURES_MAX)
  if (!fallsBack && state.poll.name === 'off') {
    return stream?.isLost === true && state.windowMs > 0
      ? spread(failed, failure, context)
      : wait(failed, backoffMs, context, failure)
  }
  const { state: poll, actions } = pollStep(state.poll, { type: 'pollStarted' }, context)
  const polling = { ...failed, poll }
  const move =
    isSilent && stream?.hasStreamed === true && !hadRelapse && state.poll.name === 'off'
      ? wait(polling, backoffMs, context, failure)
      : probe(polling, context, backoffMs, failure)
  return { ...move, actions: [...move.actions, ...actions] }
}

/** The hub may be gone, for all its agents at once: each takes a place in the window that the hub had told. */
function spread(
  state: ConnectionMemory,
  failure: ConnectionFailure,
  context: ConnectionContext,
): ConnectionMove {
  const { nowMs, random, backoff = BACKOFF_LIMITS } = context
  const windowMs = Math.max(
    limits.RECONNECT_WINDOW_MS_MIN,
    state.windowMs,
    reconnectDelayMs(state.failureCount - 1, backoff, 0, 1),
  )
  const spreadUntilMs = nowMs + state.retryMs + windowMs
  const graceUntilMs = spreadUntilMs + limits.SLOT_GRACE_MS
  return wait({ ...state, spreadUntilMs, graceUntilMs }, state.retryMs + random * windowMs, context, failure)
}

/** A refusal while the hub is expected back is no failure: another place in what is left of the window. */
function awaitHub(
  state: ConnectionMemory,
  failure: ConnectionFailure,
  retryAfterMs: number,
  context: ConnectionContext,
): ConnectionMove {
  const { nowMs, random } = context
  const leftMs = Math.max(limits.RECONNECT_WINDOW_MS_MIN, state.spreadUntilMs - nowMs)
  const restMs = Math.max(limits.RECONNECT_MS_MIN, Math.min(limits.RETRY_MS_MAX, retryAfterMs))
  return wait({ ...memoryOf(state), notBeforeMs: nowMs + restMs }, restMs + random * leftMs, context, failure)
}

/**
 * A planned end is healthy: back within a small jitter, or at the slot that the server gave.
 * `retry:` does not hold here: it spreads a fleet that lost its hub, and would only make a planned gap longer.
 */
function comeBack(
  state: ConnectionMemory,
  slotMs: number,
  isEarly: boolean,
  context: ConnectionContext,
): ConnectionMove {
  const { nowMs, random, backoff = BACKOFF_LIMITS } = context
  // A server that plans the end of every stream as it opens, or soon after, must not be dialled in a tight loop.
  const tooOften = state.shortCount - limits.SHORT_STREAMS_MAX
  const restMs =
    (isEarly ? backoff.delayMsMin : 0) + (tooOften < 0 ? 0 : reconnectDelayMs(tooOften, backoff, 0, random))
  const delayMs = Math.min(limits.RETRY_MS_MAX, slotMs) + restMs + random * backoff.delayMsMin
  // If the hub is late, all whose slots have passed are refused, and must not come together when it is there.
  const spreadUntilMs = nowMs + delayMs + Math.min(limits.SLOT_SPREAD_MS_MAX, state.windowMs)
  const graceUntilMs = nowMs + delayMs + limits.SLOT_GRACE_MS
  return wait({ ...memoryOf(state), spreadUntilMs, graceUntilMs }, delayMs, context)
}

/** Waits as long as a probe does, but not less than `delayMsMin`. */
function probe(
  state: ConnectionMemory,
  context: ConnectionContext,
  delayMsMin = 0,
  failure?: ConnectionFailure,
): ConnectionMove {
  const delayMs = Math.max(delayMsMin, probeDelayMs(state.probeCount + state.relapseCount, context.random))
  return wait({ ...memoryOf(state), probeCount: state.probeCount + 1 }, delayMs, context, failure)
}

function wait(
  state: ConnectionMemory,
  delayMs: number,
  { nowMs }: ConnectionContext,
  failure?: ConnectionFailure,
): ConnectionMove {
  return {
    state: { ...memoryOf(state), name: 'waiting', dueMs: nowMs + delayMs },
    actions: [{ type: 'setTimer', delayMs }],
    detail: { retryInMs: delayMs, ...(failure === undefined ? {} : { failure }) },
  }
}
