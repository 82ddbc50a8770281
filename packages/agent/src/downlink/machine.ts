/** Decides when an agent dials its hub, waits, falls back and fetches: a function of state, event, time and chance. */
import { advertisedWindowMs, limits, takeToken, type DownlinkEvent, type Rate } from '@downlink/protocol'
import { probeDelayMs } from './backoff.ts'
import {
  memoryOf,
  type ConnectionAction,
  type ConnectionContext,
  type ConnectionEvent,
  type ConnectionMemory,
  type ConnectionMove,
  type ConnectionState,
  type ConnectionStep,
  type OpenState,
} from './connection-state.ts'
import { isUnreached, pathEnded, pathFailed, pathFrame, pathOpened, pathPolled } from './path-machine.ts'
import { pollHealth, pollStep } from './poll-machine.ts'
import type { PollEvent } from './poll-state.ts'
import { judgeTrust } from './probation-machine.ts'
import { afterEnd, afterFailure } from './reconnect-machine.ts'

/*
 *              started, timer                 opened
 *   ┌─ waiting ───────────────▶ connecting ───────────────▶ open ─┐
 *   │     ▲                        │ failed                  │    │
 *   │     ├────────────────────────┘                   ended │    │ stop, from any state
 *   │     └──────────────────────────────────────────────────┘    │
 *   └────────────────────────────▶ stopped ◀──────────────────────┘
 *
 * How long it waits is decided by `reconnect-machine`. Beside it, in the mode `auto`, `wake` is asked by `poll-machine`
 * from the third failure in a row, the first silence, or heartbeats that come late, until `probation-machine` trusts a
 * stream again; meanwhile the stream is dialled at the pace of a probe. `path-machine` names what is seen of the path.
 */

const NUDGES: Rate = { perS: limits.NUDGES_PER_S_MAX, burst: limits.NUDGES_BURST }

/** One step. An event that means nothing in `state` changes nothing. */
export function connectionStep(
  state: ConnectionState,
  event: ConnectionEvent,
  context: ConnectionContext,
): ConnectionStep {
  const { state: next, actions, detail } = decide(state, event, context)
  const poll = pollHealth(next.poll)
  const { report } = next.path
  const isNews =
    next.name !== state.name ||
    poll !== pollHealth(state.poll) ||
    report.verdict !== state.path.report.verdict
  if (!isNews) return { state: next, actions }
  const status = { name: next.name, poll, path: report, failureCount: next.failureCount, ...detail }
  return { state: next, actions: [{ type: 'report', status }, ...actions] }
}

function decide(state: ConnectionState, event: ConnectionEvent, context: ConnectionContext): ConnectionMove {
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
      return state.name === 'open' ? receive(state, event, context) : stay(state)
    case 'failed': {
      if (state.name !== 'connecting') return stay(state)
      const path = pathFailed(state.path, event.failure.code)
      return afterFailure({ ...memoryOf(state), path }, event.failure, event.retryAfterMs ?? 0, context)
    }
    case 'ended': {
      if (state.name !== 'open') return stay(state)
      const path = pathEnded(state.path, event.end, context.nowMs)
      return afterEnd({ ...state, path }, event.end, event.retryMs, context)
    }
    case 'resumed':
      return resume(state, context)
    case 'hubAnswered':
      return isUnreached(state.path) ? dialSoon(state, true, context) : stay(state)
    case 'stop': {
      const { state: poll, actions } = pollStep(state.poll, { type: 'pollStopped' }, context)
      return { state: { ...memoryOf(state), poll, name: 'stopped' }, actions }
    }
    case 'pollStarted':
    case 'pollStopped':
    case 'pollAnswered':
    case 'pollFailed':
    case 'pollTimer':
      return advancePoll(state, event, context)
  }
}

function dial(state: ConnectionState, { nowMs }: ConnectionContext): ConnectionMove {
  if (state.name !== 'waiting') return stay(state)
  return {
    state: { ...memoryOf(state), dialledMs: nowMs, name: 'connecting' },
    actions: [{ type: 'dial' }],
  }
}

function open(state: ConnectionMemory, { nowMs }: ConnectionContext): ConnectionMove {
  return {
    state: {
      ...memoryOf(state),
      name: 'open',
      path: pathOpened(state.path, nowMs),
      spreadUntilMs: 0,
      graceUntilMs: 0,
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
  { frame, heartbeatMs = limits.HEARTBEAT_MS_DEFAULT, lagMs }: Extract<ConnectionEvent, { type: 'frame' }>,
  context: ConnectionContext,
): ConnectionMove {
  const path = pathFrame(state.path, frame, { heartbeatMs, lagMs, nowMs: context.nowMs })
  const { state: judged, actions } = judgeTrust({ ...state, path }, heartbeatMs, context)
  switch (frame.type) {
    case 'ping': {
      const windowMs = advertisedWindowMs(frame.comment)
      return { state: windowMs === undefined ? judged : { ...judged, windowMs }, actions }
    }
    case 'command':
    case 'unknown':
      return { state: judged.eventSeen ? judged : { ...judged, eventSeen: true }, actions }
    case 'drain':
      return { state: { ...judged, eventSeen: true, drainMs: frame.reconnectAfterMs }, actions }
    case 'sync': {
      const { state: nudged, actions: syncs } = nudge(judged, frame, context)
      return { state: { ...nudged, eventSeen: true }, actions: [...actions, ...syncs] }
    }
  }
}

/** Asks for a sync. Of those that come too often one waits, and covers all that come meanwhile. */
function nudge(
  state: OpenState,
  { reason, withinMs = 0 }: Extract<DownlinkEvent, { type: 'sync' }>,
  { nowMs, random }: ConnectionContext,
): { readonly state: OpenState; readonly actions: readonly ConnectionAction[] } {
  if (state.nudges !== undefined && state.nudges.atMs > nowMs) return { state, actions: [] }
  const { bucket, waitMs } = takeToken(state.nudges, NUDGES, nowMs)
  const nudges = waitMs === 0 ? bucket : { tokens: 0, atMs: nowMs + waitMs }
  const delayMs = waitMs === 0 ? random * withinMs : waitMs
  const sync: ConnectionAction = {
    type: 'sync',
    reason: reason === '' ? 'sync event' : reason,
    ...(delayMs === 0 ? {} : { delayMs }),
  }
  return { state: { ...state, nudges }, actions: [sync] }
}

/** Connections from before are probably dead, and what was pushed meanwhile is known only to a sync. */
function resume(state: ConnectionState, context: ConnectionContext): ConnectionMove {
  const ended = pollStep(state.poll, { type: 'pollStopped' }, context)
  const asked = state.poll.name === 'off' ? ended : pollStep(ended.state, { type: 'pollStarted' }, context)
  const sync: ConnectionAction = { type: 'sync', reason: 'resumed' }
  const actions = [sync, ...ended.actions, ...(asked === ended ? [] : asked.actions)]
  const next = { ...state, poll: asked.state }
  if (next.name !== 'waiting' || next.mode === 'poll') {
    const hasTry = next.name === 'open' || next.name === 'connecting'
    return { state: next, actions: hasTry ? [...actions, { type: 'hangUp' }] : actions }
  }
  // Machines may have been resumed together.
  const delayMs = context.random * limits.RECONNECT_WINDOW_MS_MIN
  if (context.nowMs + delayMs >= next.dueMs) return { state: next, actions }
  return {
    state: { ...next, dueMs: context.nowMs + delayMs },
    actions: [...actions, { type: 'setTimer', delayMs }],
  }
}

/** A step of long-polling. When it shows that the hub is back, a stream is tried sooner, but never in a tight loop. */
function advancePoll(state: ConnectionState, event: PollEvent, context: ConnectionContext): ConnectionMove {
  const step = pollStep(state.poll, event, context)
  const next = { ...state, poll: step.state, path: pathOfPoll(state, event) }
  const detail = event.type === 'pollFailed' ? { failure: event.failure } : {}
  const hadFailed = state.poll.name !== 'off' && state.poll.failureCount > 0
  const wasAway = hadFailed && pollHealth(step.state) === 'working'
  if (next.name !== 'waiting' || state.mode !== 'auto' || !wasAway) {
    return { state: next, actions: step.actions, detail }
  }
  const sooner = dialSoon(next, isUnreached(state.path), context)
  return { ...sooner, actions: [...step.actions, ...sooner.actions], detail }
}

/**
 * A stream is tried at once, unless the server asked to stay away, or one was probed lately.
 * @param wasUnreached - the last try reached nobody, which says nothing against streams.
 */
function dialSoon(
  state: ConnectionState,
  wasUnreached: boolean,
  { nowMs, random }: ConnectionContext,
): ConnectionMove {
  if (state.name !== 'waiting' || state.mode === 'poll') return stay(state)
  const probedMs = wasUnreached ? 0 : state.dialledMs + probeDelayMs(0, random)
  const dueMs = Math.max(nowMs + random * limits.RECONNECT_MS_MIN, probedMs, state.notBeforeMs)
  if (dueMs >= state.dueMs) return stay(state)
  return {
    state: { ...state, dueMs, probeCount: 0 },
    actions: [{ type: 'setTimer', delayMs: dueMs - nowMs }],
  }
}

function pathOfPoll({ poll, path }: ConnectionState, event: PollEvent): ConnectionState['path'] {
  if (poll.name !== 'asking') return path
  if (event.type === 'pollAnswered') return pathPolled(path, undefined)
  return event.type === 'pollFailed' ? pathPolled(path, event.failure.code) : path
}

function stay(state: ConnectionState): ConnectionMove {
  return { state, actions: [] }
}
