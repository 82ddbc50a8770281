/** Decides when an agent without a stream asks `wake`: a function of state, event, time and chance. */
import { limits } from '@downlink/protocol'
import { blockedDelayMs, BACKOFF_LIMITS, reconnectDelayMs, type BackoffLimits } from './backoff.ts'
import type { PollAction, PollEvent, PollFailure, PollHealth, PollMemory, PollState } from './poll-state.ts'

/** The time and chance of one step, and the limits of the wait. */
export interface PollContext {
  /** Monotonic. */
  readonly nowMs: number
  /** In [0, 1). */
  readonly random: number
  /** @defaultValue `BACKOFF_LIMITS` */
  readonly backoff?: BackoffLimits
}

/** The next state, and what to do. */
export interface PollStep {
  readonly state: PollState
  readonly actions: readonly PollAction[]
}

/** Codes by which a server says that it has no `wake`. */
const MISSING_CODES: ReadonlySet<string> = new Set([
  'not_found',
  'http_404',
  'method_not_allowed',
  'http_405',
  'not_supported_here',
  'http_501',
])

/** One step. An event that means nothing in `state` changes nothing. */
export function pollStep(state: PollState, event: PollEvent, context: PollContext): PollStep {
  switch (event.type) {
    case 'pollStarted':
      return state.name === 'off'
        ? ask({ health: 'starting', failureCount: 0, repeats: 0 }, context)
        : { state, actions: [] }
    case 'pollStopped':
      return state.name === 'off'
        ? { state, actions: [] }
        : { state: { name: 'off' }, actions: [{ type: 'endPoll' }] }
    case 'pollTimer':
      if (state.name === 'resting') return ask(state, context)
      return { state: state.name === 'asking' ? stillAsking(state) : state, actions: [] }
    case 'pollAnswered':
      return state.name === 'asking' ? answered(state, event.wake, context) : { state, actions: [] }
    case 'pollFailed':
      return state.name === 'asking'
        ? failed(state, event.failure, event.retryAfterMs ?? 0, context)
        : { state, actions: [] }
  }
}

/** How long-polling goes, in one word. */
export function pollHealth(state: PollState): PollHealth {
  return state.name === 'off' ? 'off' : state.health
}

type AskingState = Extract<PollState, { name: 'asking' }>

function ask({ health, failureCount, repeats }: PollMemory, { nowMs }: PollContext): PollStep {
  return {
    state: { name: 'asking', askedMs: nowMs, health, failureCount, repeats },
    actions: [
      { type: 'ask' },
      ...(isAway(health) ? [{ type: 'setPollTimer', delayMs: limits.WAKE_REST_MS } as const] : []),
    ],
  }
}

/** What fails, fails soon: a question that has not failed for so long is probably held, and is not known to be away. */
function stillAsking(state: AskingState): AskingState {
  return isAway(state.health) ? { ...state, health: 'starting' } : state
}

function isAway(health: PollHealth): boolean {
  return health === 'failing' || health === 'missing'
}

function answered(state: AskingState, wake: boolean, context: PollContext): PollStep {
  const heldMs = context.nowMs - state.askedMs
  const isQuick = heldMs < limits.WAKE_AGAIN_MS_MAX
  const repeats = wake && isQuick ? state.repeats + 1 : 0
  const wasAway = state.health !== 'working'
  return rest(
    { health: 'working', failureCount: 0, repeats },
    wake ? againMs(repeats) : heldMs >= limits.WAKE_HELD_MS ? 0 : restMs(context.random),
    ...(wasAway ? [{ type: 'hubIsBack' } as const] : []),
    // An agent that was away from its hub does not wait for the hub's word.
    ...(wake || wasAway ? [{ type: 'sync', reason: 'wake' } as const] : []),
  )
}

function failed(
  state: AskingState,
  failure: PollFailure,
  retryAfterMs: number,
  { nowMs, random, backoff = BACKOFF_LIMITS }: PollContext,
): PollStep {
  const { failureCount } = state
  const memory = { failureCount: failureCount + 1, repeats: 0 }
  if (MISSING_CODES.has(failure.code)) {
    const delayMs = limits.PROBE_MS_MAX * (1 - 0.25 * random)
    return rest(
      { ...memory, health: 'missing' },
      Math.max(delayMs, Math.min(limits.RETRY_MS_MAX, retryAfterMs)),
    )
  }
  if (failure.retry === 'never') {
    return rest({ ...memory, health: 'failing' }, blockedDelayMs(backoff, retryAfterMs, random))
  }
  // Something between cuts what is held: news would still have come through, so it is held again.
  if (nowMs - state.askedMs >= limits.WAKE_HELD_MS && retryAfterMs === 0) {
    return rest({ failureCount: 1, repeats: 0, health: 'failing' }, restMs(random))
  }
  return rest(
    { ...memory, health: 'failing' },
    reconnectDelayMs(failureCount, backoff, Math.max(limits.WAKE_AGAIN_MS_MIN, retryAfterMs), random),
  )
}

function rest(memory: PollMemory, delayMs: number, ...actions: readonly PollAction[]): PollStep {
  return { state: { name: 'resting', ...memory }, actions: [...actions, { type: 'setPollTimer', delayMs }] }
}

function againMs(repeats: number): number {
  return Math.min(
    limits.WAKE_AGAIN_MS_MAX,
    limits.WAKE_AGAIN_MS_MIN * 2 ** Math.min(Math.max(0, repeats - 1), 10),
  )
}

/** Around `WAKE_REST_MS`, spread, so that agents whose questions a hub ended all at once do not come back at once. */
function restMs(random: number): number {
  return limits.WAKE_REST_MS * (0.5 + random)
}
