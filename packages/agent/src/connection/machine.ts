/** Decides when an agent dials its hub, waits, falls back and fetches: a function of state, event, time and chance. */
import { limits, type DownlinkEvent } from '@downlink/protocol'
import { blockedDelayMs, BACKOFF_LIMITS, probeDelayMs, reconnectDelayMs } from './backoff.ts'
import type {
  ConnectionAction,
  ConnectionContext,
  ConnectionEvent,
  ConnectionFailure,
  ConnectionMemory,
  ConnectionState,
  ConnectionStatus,
  ConnectionStep,
  DownlinkMode,
} from './connection-state.ts'
import type { StreamEnd } from './event-stream.ts'
import { pollHealth, pollStep } from './poll-machine.ts'
import type { PollEvent } from './poll-state.ts'

/*
 *              started, timer                 opened
 *   ┌─ waiting ───────────────▶ connecting ───────────────▶ open ─┐
 *   │     ▲                        │ failed                  │    │
 *   │     ├────────────────────────┘                   ended │    │ stop, from any state
 *   │     └──────────────────────────────────────────────────┘    │
 *   └────────────────────────────▶ stopped ◀──────────────────────┘
 *
 * Beside it, in the mode `auto`, `wake` is asked from the third failure in a row, or the first silence, until a stream
 * has brought frames on time for `PROBE_HEARTBEATS` periods; meanwhile the stream is dialled at the pace of a probe.
 */

/** What a step comes to before it is reported. */
interface Move extends ConnectionStep {
  readonly detail?: Pick<ConnectionStatus, 'retryInMs' | 'failure'>
}

type OpenState = Extract<ConnectionState, { name: 'open' }>

/** Before `started`: waiting without a timer. */
export function initialConnection(mode: DownlinkMode): ConnectionState {
  return {
    name: 'waiting',
    mode,
    failureCount: 0,
    reachedCount: 0,
    probeCount: 0,
    retryMs: 0,
    dialledMs: 0,
    notBeforeMs: 0,
    dueMs: 0,
    poll: { name: 'off' },
  }
}

/** One step. An event that means nothing in `state` changes nothing. */
export function connectionStep(
  state: ConnectionState,
  event: ConnectionEvent,
  context: ConnectionContext,
): ConnectionStep {
  const { state: next, actions, detail } = decide(state, event, context)
  const poll = pollHealth(next.poll)
  if (next.name === state.name && poll === pollHealth(state.poll)) return { state: next, actions }
  const status = { name: next.name, poll, failureCount: next.failureCount, ...detail }
  return { state: next, actions: [{ type: 'report', status }, ...actions] }
}

function decide(state: ConnectionState, event: ConnectionEvent, context: ConnectionContext): Move {
  if (state.name === 'stopped') return stay(state)
  switch (event.type) {
    case 'started':
      return state.mode === 'poll'
        ? advancePoll(state, { type: 'pollStarted' }, context)
        : dial(state, context)
    case 'timer':
      return state.mode === 'poll' ? stay(state) : dial(state, context)
    case 'opened':
      return state.name === 'connecting' ? open(state, context) : stay(state)
    case 'frame':
      return state.name === 'open'
        ? receive(state, event.frame, event.heartbeatMs ?? limits.HEARTBEAT_MS_DEFAULT, context)
        : stay(state)
    case 'failed':
      return state.name === 'connecting'
        ? fail(state, event.failure, event.retryAfterMs ?? 0, context)
        : stay(state)
    case 'ended':
      return state.name === 'open' ? end(state, event.end, event.retryMs, context) : stay(state)
    case 'stop': {
      const { state: poll, actions } = pollStep(state.poll, { type: 'pollStopped' }, context)
      return { state: { ...memory(state), poll, name: 'stopped' }, actions }
    }
    case 'pollStarted':
    case 'pollStopped':
    case 'pollAnswered':
    case 'pollFailed':
    case 'pollTimer':
      return advancePoll(state, event, context)
  }
}

function dial(state: ConnectionState, { nowMs }: ConnectionContext): Move {
  if (state.name !== 'waiting') return stay(state)
  return {
    state: { ...memory(state), dialledMs: nowMs, name: 'connecting' },
    actions: [{ type: 'dial' }],
  }
}

function open(state: ConnectionMemory, { nowMs }: ConnectionContext): Move {
  return {
    state: {
      ...memory(state),
      name: 'open',
      openedMs: nowMs,
      eventSeen: false,
      frameSeen: false,
      onTimeSinceMs: nowMs,
      frameMs: nowMs,
    },
    // Whatever was pushed while no stream was open is known only to a sync.
    actions: [{ type: 'sync', reason: 'stream opened' }],
  }
}

function receive(
  state: OpenState,
  frame: DownlinkEvent,
  heartbeatMs: number,
  context: ConnectionContext,
): Move {
  const { state: timed, actions } = timeFrame(state, heartbeatMs, context)
  switch (frame.type) {
    case 'ping':
      return { state: timed, actions }
    case 'command':
    case 'unknown':
      return { state: timed.eventSeen ? timed : { ...timed, eventSeen: true }, actions }
    case 'drain':
      return { state: { ...timed, eventSeen: true, drainMs: frame.reconnectAfterMs }, actions }
    case 'sync': {
      const reason = frame.reason === '' ? 'sync event' : frame.reason
      return { state: { ...timed, eventSeen: true }, actions: [...actions, { type: 'sync', reason }] }
    }
  }
}

/** A late frame says that something holds the stream back: the proof that it needs beside `wake` begins again. */
function timeFrame(
  state: OpenState,
  heartbeatMs: number,
  context: ConnectionContext,
): { readonly state: OpenState; readonly actions: readonly ConnectionAction[] } {
  if (state.poll.name === 'off') {
    return { state: state.frameSeen ? state : { ...state, frameSeen: true }, actions: [] }
  }
  const { nowMs } = context
  const isLate = nowMs - state.frameMs > limits.LATE_HEARTBEATS * heartbeatMs
  const onTimeSinceMs = isLate ? nowMs : state.onTimeSinceMs
  const timed = { ...state, frameSeen: true, frameMs: nowMs, onTimeSinceMs }
  if (nowMs - onTimeSinceMs < limits.PROBE_HEARTBEATS * heartbeatMs) return { state: timed, actions: [] }
  const { state: poll, actions } = pollStep(state.poll, { type: 'pollStopped' }, context)
  return { state: { ...timed, poll }, actions }
}

function end(
  state: OpenState,
  streamEnd: StreamEnd,
  retryMs: number | undefined,
  context: ConnectionContext,
): Move {
  const goodMs = context.nowMs - state.openedMs
  const isProven = goodMs >= limits.STREAM_PROVEN_MS
  const remembered: ConnectionMemory = {
    ...memory(state),
    ...(isProven ? { failureCount: 0, reachedCount: 0, probeCount: 0 } : {}),
    retryMs: retryMs ?? state.retryMs,
  }
  const isEarly = goodMs < limits.STREAM_EARLY_END_MS
  switch (streamEnd.reason) {
    case 'lost':
    case 'silent':
    case 'limit':
    case 'revoked': {
      const { code, message, retry } = streamEnd.error
      return fail(remembered, { code, message, retry }, 0, context, state.frameSeen)
    }
    case 'ended':
      if (isEarly && !state.eventSeen) return fail(remembered, ENDED_EARLY, 0, context)
      // Whatever ends streams before they have proved themselves is probed, not hammered.
      return state.poll.name === 'off'
        ? comeBack(remembered, 0, isEarly, context)
        : probe(remembered, context)
    case 'drained':
      return comeBack(remembered, state.drainMs ?? 0, isEarly, context)
    case 'closed':
    case 'aborted':
      return comeBack(remembered, 0, isEarly, context)
  }
}

const ENDED_EARLY: ConnectionFailure = {
  code: 'stream_ended_early',
  message: `The stream ended within ${limits.STREAM_EARLY_END_MS} ms and without an event. Something between may not let streams through.`,
  retry: 'backoff',
}

/** Where nobody is reached, `wake` reaches nobody either, and would only make the way back to a stream longer. */
const UNREACHED_CODES: ReadonlySet<string> = new Set([
  'dns_failed',
  'connect_timeout',
  'connect_failed',
  'proxy_failed',
  'tls_failed',
])

/**
 * @param hasStreamed - frames had come: the path did let streams through, so the next try need not wait as a probe.
 */
function fail(
  state: ConnectionMemory,
  failure: ConnectionFailure,
  retryAfterMs: number,
  context: ConnectionContext,
  hasStreamed = false,
): Move {
  const { nowMs, random, backoff = BACKOFF_LIMITS } = context
  const floorMs = Math.min(limits.RETRY_MS_MAX, Math.max(state.retryMs, retryAfterMs))
  const backoffMs =
    failure.retry === 'never'
      ? blockedDelayMs(backoff, floorMs, random)
      : reconnectDelayMs(state.failureCount, backoff, floorMs, random)
  const failed: ConnectionMemory = {
    ...memory(state),
    failureCount: state.failureCount + 1,
    reachedCount: state.reachedCount + (UNREACHED_CODES.has(failure.code) ? 0 : 1),
    notBeforeMs: nowMs + (failure.retry === 'never' ? backoffMs : floorMs),
  }
  // A silent path has cost its deadline already; nobody should wait for two more of them.
  const isSilent = failure.code === 'stream_silent'
  const fallsBack =
    state.mode === 'auto' &&
    state.poll.name === 'off' &&
    (isSilent || failed.reachedCount >= limits.STREAM_FAILURES_MAX)
  if (!fallsBack && state.poll.name === 'off') return wait(failed, backoffMs, context, failure)
  const { state: poll, actions } = pollStep(state.poll, { type: 'pollStarted' }, context)
  const polling = { ...failed, poll }
  const move =
    isSilent && hasStreamed
      ? wait(polling, backoffMs, context, failure)
      : probe(polling, context, backoffMs, failure)
  return { ...move, actions: [...move.actions, ...actions] }
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
): Move {
  const { random, backoff = BACKOFF_LIMITS } = context
  // A server that plans the end of every stream as it opens must not be dialled in a tight loop.
  const restMs = isEarly ? backoff.delayMsMin : 0
  return wait(state, Math.min(limits.RETRY_MS_MAX, slotMs) + restMs + random * backoff.delayMsMin, context)
}

/** Waits as long as a probe does, but not less than `delayMsMin`. */
function probe(
  state: ConnectionMemory,
  context: ConnectionContext,
  delayMsMin = 0,
  failure?: ConnectionFailure,
): Move {
  const delayMs = Math.max(delayMsMin, probeDelayMs(state.probeCount, context.random))
  return wait({ ...memory(state), probeCount: state.probeCount + 1 }, delayMs, context, failure)
}

function wait(
  state: ConnectionMemory,
  delayMs: number,
  { nowMs }: ConnectionContext,
  failure?: ConnectionFailure,
): Move {
  return {
    state: { ...memory(state), name: 'waiting', dueMs: nowMs + delayMs },
    actions: [{ type: 'setTimer', delayMs }],
    detail: { retryInMs: delayMs, ...(failure === undefined ? {} : { failure }) },
  }
}

/** A step of long-polling. When it shows that the hub is back, a stream is tried sooner, but never in a tight loop. */
function advancePoll(state: ConnectionState, event: PollEvent, context: ConnectionContext): Move {
  const step = pollStep(state.poll, event, context)
  const next = { ...state, poll: step.state }
  const detail = event.type === 'pollFailed' ? { failure: event.failure } : {}
  const hadFailed = state.poll.name !== 'off' && state.poll.failureCount > 0
  const wasAway = hadFailed && pollHealth(step.state) === 'working'
  if (next.name !== 'waiting' || state.mode !== 'auto' || !wasAway) {
    return { state: next, actions: step.actions, detail }
  }
  const { nowMs, random } = context
  const dueMs = Math.max(
    nowMs + random * limits.RECONNECT_MS_MIN,
    state.dialledMs + probeDelayMs(0, random),
    state.notBeforeMs,
  )
  if (dueMs >= next.dueMs) return { state: next, actions: step.actions, detail }
  const actions: ConnectionAction[] = [...step.actions, { type: 'setTimer', delayMs: dueMs - nowMs }]
  return { state: { ...next, dueMs, probeCount: 0 }, actions, detail }
}

function stay(state: ConnectionState): Move {
  return { state, actions: [] }
}

function memory(state: ConnectionMemory): ConnectionMemory {
  const { mode, failureCount, reachedCount, probeCount, retryMs, dialledMs, notBeforeMs, poll } = state
  return { mode, failureCount, reachedCount, probeCount, retryMs, dialledMs, notBeforeMs, poll }
}
