/** Decides when an agent dials its hub, waits, and fetches: a function of state, event, time and chance. */
import { limits, type DownlinkEvent, type Retry } from '@downlink/protocol'
import { blockedDelayMs, BACKOFF_LIMITS, reconnectDelayMs, type BackoffLimits } from './backoff.ts'
import type { StreamEnd } from './event-stream.ts'

/*
 *              started, timer                 opened
 *   ┌─ waiting ───────────────▶ connecting ───────────────▶ open ─┐
 *   │     ▲                        │ failed                  │    │
 *   │     ├────────────────────────┘                   ended │    │ stop, from any state
 *   │     └──────────────────────────────────────────────────┘    │
 *   └────────────────────────────▶ stopped ◀──────────────────────┘
 */

/** Why a try or a stream failed. */
export interface ConnectionFailure {
  readonly code: string
  readonly message: string
  readonly retry: Retry
}

interface Memory {
  /** Failures in a row; forgotten only after `STREAM_PROVEN_MS` of good stream. */
  readonly failureCount: number
  /** The last `retry:` that a stream brought, ms. */
  readonly retryMs: number
}

/** Where the connection stands. */
export type ConnectionState = Memory &
  (
    | { readonly name: 'waiting' | 'connecting' | 'stopped' }
    | {
        readonly name: 'open'
        readonly openedMs: number
        /** Anything but pings came: the stream was of use. */
        readonly eventSeen: boolean
        /** The server said that this stream will end, and when to come back, ms. */
        readonly drainMs?: number
      }
  )

/** What happens to a connection. */
export type ConnectionEvent =
  | { readonly type: 'started' }
  | { readonly type: 'opened' }
  | { readonly type: 'frame'; readonly frame: DownlinkEvent }
  | { readonly type: 'ended'; readonly end: StreamEnd; readonly retryMs?: number }
  | { readonly type: 'failed'; readonly failure: ConnectionFailure; readonly retryAfterMs?: number }
  | { readonly type: 'timer' }
  | { readonly type: 'stop' }

/** What to do now. `setTimer` replaces an earlier timer; its `timer` event counts only in the state `waiting`. */
export type ConnectionAction =
  | { readonly type: 'dial' }
  | { readonly type: 'setTimer'; readonly delayMs: number }
  /** Come and fetch. */
  | { readonly type: 'sync'; readonly reason: string }
  | { readonly type: 'report'; readonly status: ConnectionStatus }

/** What people are told about the connection. */
export interface ConnectionStatus {
  readonly name: ConnectionState['name']
  readonly failureCount: number
  /** While waiting: how long, ms. */
  readonly retryInMs?: number
  /** Why it waits, if not by plan. Its code `agent_revoked` or `unauthorized` says that waiting alone will not help. */
  readonly failure?: ConnectionFailure
}

/** The time and chance of one step, and the limits of the wait. */
export interface ConnectionContext {
  /** Monotonic. */
  readonly nowMs: number
  /** In [0, 1). */
  readonly random: number
  /** @defaultValue `BACKOFF_LIMITS` */
  readonly backoff?: BackoffLimits
}

/** The next state, and what to do. */
export interface ConnectionStep {
  readonly state: ConnectionState
  readonly actions: readonly ConnectionAction[]
}

/** Before `started`: waiting without a timer. */
export const INITIAL_CONNECTION: ConnectionState = { name: 'waiting', failureCount: 0, retryMs: 0 }

/** One step. An event that means nothing in `state` changes nothing. */
export function connectionStep(
  state: ConnectionState,
  event: ConnectionEvent,
  context: ConnectionContext,
): ConnectionStep {
  if (state.name === 'stopped') return stay(state)
  switch (event.type) {
    case 'started':
    case 'timer':
      return state.name === 'waiting' ? dial(state) : stay(state)
    case 'opened':
      return state.name === 'connecting' ? open(state, context) : stay(state)
    case 'frame':
      return state.name === 'open' ? receive(state, event.frame) : stay(state)
    case 'failed':
      return state.name === 'connecting'
        ? fail(state, event.failure, event.retryAfterMs ?? 0, context)
        : stay(state)
    case 'ended':
      return state.name === 'open' ? end(state, event.end, event.retryMs, context) : stay(state)
    case 'stop':
      return move({ ...memory(state), name: 'stopped' }, {})
  }
}

type OpenState = Extract<ConnectionState, { name: 'open' }>

function dial(state: Memory): ConnectionStep {
  return move({ ...memory(state), name: 'connecting' }, {}, { type: 'dial' })
}

function open(state: Memory, { nowMs }: ConnectionContext): ConnectionStep {
  // Whatever was pushed while no stream was open is known only to a sync.
  const sync = { type: 'sync', reason: 'stream opened' } as const
  return move({ ...memory(state), name: 'open', openedMs: nowMs, eventSeen: false }, {}, sync)
}

function receive(state: OpenState, frame: DownlinkEvent): ConnectionStep {
  switch (frame.type) {
    case 'ping':
      return stay(state)
    case 'command':
    case 'unknown':
      return stay({ ...state, eventSeen: true })
    case 'drain':
      return stay({ ...state, eventSeen: true, drainMs: frame.reconnectAfterMs })
    case 'sync':
      return {
        state: { ...state, eventSeen: true },
        actions: [{ type: 'sync', reason: frame.reason === '' ? 'sync event' : frame.reason }],
      }
  }
}

function end(
  state: OpenState,
  streamEnd: StreamEnd,
  retryMs: number | undefined,
  context: ConnectionContext,
): ConnectionStep {
  const goodMs = context.nowMs - state.openedMs
  const remembered: Memory = {
    failureCount: goodMs >= limits.STREAM_PROVEN_MS ? 0 : state.failureCount,
    retryMs: retryMs ?? state.retryMs,
  }
  const early = goodMs < limits.STREAM_EARLY_END_MS
  switch (streamEnd.reason) {
    case 'lost':
    case 'silent':
    case 'limit':
    case 'revoked': {
      const { code, message, retry } = streamEnd.error
      return fail(remembered, { code, message, retry }, 0, context)
    }
    case 'ended':
      if (early && !state.eventSeen) return fail(remembered, ENDED_EARLY, 0, context)
      return comeBack(remembered, 0, early, context)
    case 'drained':
      return comeBack(remembered, state.drainMs ?? 0, early, context)
    case 'closed':
    case 'aborted':
      return comeBack(remembered, 0, early, context)
  }
}

const ENDED_EARLY: ConnectionFailure = {
  code: 'stream_ended_early',
  message: `The stream ended within ${limits.STREAM_EARLY_END_MS} ms and without an event. Something between may not let streams through.`,
  retry: 'backoff',
}

function fail(
  state: Memory,
  failure: ConnectionFailure,
  retryAfterMs: number,
  { random, backoff = BACKOFF_LIMITS }: ConnectionContext,
): ConnectionStep {
  const floorMs = Math.max(state.retryMs, retryAfterMs)
  const delayMs =
    failure.retry === 'never'
      ? blockedDelayMs(backoff, floorMs, random)
      : reconnectDelayMs(state.failureCount, backoff, floorMs, random)
  return wait({ ...memory(state), failureCount: state.failureCount + 1 }, delayMs, failure)
}

/**
 * A planned end is healthy: back within a small jitter, or at the slot that the server gave.
 * `retry:` does not hold here: it spreads a fleet that lost its hub, and would only make a planned gap longer.
 */
function comeBack(
  state: Memory,
  slotMs: number,
  early: boolean,
  { random, backoff = BACKOFF_LIMITS }: ConnectionContext,
): ConnectionStep {
  // A server that plans the end of every stream as it opens must not be dialled in a tight loop.
  const restMs = early ? backoff.delayMsMin : 0
  return wait(state, Math.min(limits.RETRY_MS_MAX, slotMs) + restMs + random * backoff.delayMsMin)
}

function wait(state: Memory, delayMs: number, failure?: ConnectionFailure): ConnectionStep {
  return move(
    { ...memory(state), name: 'waiting' },
    { retryInMs: delayMs, ...(failure === undefined ? {} : { failure }) },
    { type: 'setTimer', delayMs },
  )
}

function move(
  state: ConnectionState,
  detail: Pick<ConnectionStatus, 'retryInMs' | 'failure'>,
  ...actions: readonly ConnectionAction[]
): ConnectionStep {
  const status = { name: state.name, failureCount: state.failureCount, ...detail }
  return { state, actions: [{ type: 'report', status }, ...actions] }
}

function stay(state: ConnectionState): ConnectionStep {
  return { state, actions: [] }
}

function memory({ failureCount, retryMs }: Memory): Memory {
  return { failureCount, retryMs }
}
