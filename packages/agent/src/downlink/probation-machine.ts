/** Decides whether an open stream is trusted alone, or `wake` is asked beside it: by whether its frames come on time. */
import { limits } from '@downlink/protocol'
import type { ConnectionAction, ConnectionContext, ConnectionMemory, OpenState } from './connection-state.ts'
import { goodSinceMs, isHeldBack } from './path-machine.ts'
import { pollStep } from './poll-machine.ts'

/** Judges the stream when a frame has come, and been taken into the path. */
export function judgeTrust(
  state: OpenState,
  heartbeatMs: number,
  context: ConnectionContext,
): { readonly state: OpenState; readonly actions: readonly ConnectionAction[] } {
  const { nowMs } = context
  const timed = {
    ...state,
    frameSeen: true,
    frameMs: nowMs,
    onTimeSinceMs: onTimeSince(state, heartbeatMs, nowMs),
  }
  if (state.poll.name === 'off') {
    if (state.mode !== 'auto' || !isHeldBack(state.path)) return { state: timed, actions: [] }
    // It is kept open as its own probe: once its frames come on time, it is taken back.
    const { state: poll, actions } = pollStep(state.poll, { type: 'pollStarted' }, context)
    return { state: { ...timed, ...relapse(timed, nowMs), poll, onTimeSinceMs: nowMs }, actions }
  }
  const neededMs =
    limits.PROBE_HEARTBEATS * 2 ** Math.min(state.relapseCount, limits.PROBE_DOUBLINGS_MAX) * heartbeatMs
  if (nowMs - timed.onTimeSinceMs < neededMs || isHeldBack(state.path)) return { state: timed, actions: [] }
  const { state: poll, actions } = pollStep(state.poll, { type: 'pollStopped' }, context)
  return { state: { ...timed, poll, takenBackMs: nowMs }, actions }
}

/** Whether a stream that fails at `nowMs` had been taken back from `wake` too early. */
export function isRelapse({ takenBackMs }: ConnectionMemory, nowMs: number): boolean {
  return takenBackMs !== undefined && nowMs - takenBackMs < limits.STREAM_TRUSTED_MS
}

/** Raises what the next stream must show, if this one was trusted too early; else forgets that any was. */
export function relapse(
  state: ConnectionMemory,
  nowMs: number,
): Pick<ConnectionMemory, 'relapseCount' | 'takenBackMs'> {
  if (state.takenBackMs === undefined) return { relapseCount: state.relapseCount, takenBackMs: undefined }
  return { relapseCount: isRelapse(state, nowMs) ? state.relapseCount + 1 : 0, takenBackMs: undefined }
}

/** A frame after too long a silence, or a heartbeat that comes late, says that something holds the stream back: the proof begins again. */
function onTimeSince(
  { path, frameMs, onTimeSinceMs }: OpenState,
  heartbeatMs: number,
  nowMs: number,
): number {
  if (nowMs - frameMs > limits.LATE_HEARTBEATS * heartbeatMs) return nowMs
  return Math.max(onTimeSinceMs, goodSinceMs(path) ?? 0)
}
