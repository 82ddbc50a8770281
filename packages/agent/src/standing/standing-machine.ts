/** Decides what the answers of hubs mean for an agent's standing: a function of state, event and time. */
import { limits } from '@downlink/protocol'

/** What an agent asks of a hub with its credential; `sync` is the only one that says everything about the agent. */
export type HubCall = 'events' | 'wake' | 'sync' | 'register' | 'deregister'

/** Why only a person can help. */
export type BlockingCode = (typeof BLOCKING_CODES)[number]

/** Where an agent stands with its hub. */
export type StandingState =
  | { readonly name: 'ok' }
  /** Refused, and trying again; `call` is what was refused. */
  | { readonly name: 'blocked'; readonly code: BlockingCode; readonly call: HubCall }
  /** One mirror said that it was revoked, which must be said twice. */
  | {
      readonly name: 'suspected'
      readonly code: string
      /** Monotonic. */
      readonly sinceMs: number
      readonly mirror: string
    }
  | { readonly name: 'revoked'; readonly code: string }

/** What happens to it. */
export type StandingEvent =
  | { readonly type: 'accepted'; readonly call: HubCall }
  | {
      readonly type: 'refused'
      readonly call: HubCall
      /** Of the reply, and the code of its JSON; `http_410` and the like for a body that is none of a hub's. */
      readonly status: number
      readonly code: string
      readonly mirror: string
    }
  | { readonly type: 'timer' }

/** What to do now. `setTimer` replaces an earlier timer, whose event means something only while it is suspected. */
export type StandingAction =
  | { readonly type: 'setTimer'; readonly delayMs: number }
  /** Sync now, at another mirror than this if there is one. */
  | { readonly type: 'askElsewhere'; readonly mirror: string }
  /** The hub does not know the key: it may have been replaced on disk. */
  | { readonly type: 'readCredential' }
  /** Stop, and put the credential aside. */
  | { readonly type: 'giveUp' }

/** The time of one step, and the mirrors that there are. */
export interface StandingContext {
  readonly nowMs: number
  readonly mirrors: readonly string[]
}

/** The next state, and what to do. */
export interface StandingStep {
  readonly state: StandingState
  readonly actions: readonly StandingAction[]
}

/** Before the first answer. */
export const INITIAL_STANDING: StandingState = { name: 'ok' }

const REVOCATION_CODES: ReadonlySet<string> = new Set(['agent_revoked', 'agent_key_mismatch'])
const REVOCATION_STATUSES: ReadonlySet<number> = new Set([403, 410])
/** What only a person can mend, by the code of the reply. */
const BLOCKING_CODES = [
  'unauthorized',
  'key_retired',
  'agent_mismatch',
  'agent_hash_taken',
  'agent_version_too_old',
  'agent_limit_reached',
  // A proxy's: a sync stays within the bounds of a hub.
  'http_413',
] as const
/** What a server means that says no more than the status. */
const CODES_OF_STATUS: ReadonlyMap<number, BlockingCode> = new Map([
  [401, 'unauthorized'],
  [412, 'agent_version_too_old'],
])

/**
 * One step. A revocation is believed only when it is said twice, at least `REVOCATION_CONFIRM_MS` apart, without another
 * answer between, and by two mirrors if there are several: a lapsed domain must not end a fleet.
 */
export function standingStep(
  state: StandingState,
  event: StandingEvent,
  context: StandingContext,
): StandingStep {
  if (state.name === 'revoked') return { state, actions: [] }
  switch (event.type) {
    case 'accepted':
      return { state: accept(state, event.call), actions: [] }
    case 'timer':
      return state.name === 'suspected' ? askAgain(state) : { state, actions: [] }
    case 'refused':
      return REVOCATION_CODES.has(event.code) && REVOCATION_STATUSES.has(event.status)
        ? suspect(state, event, context)
        : block(state, event)
  }
}

/** Whether only a person can help after this refusal, so that it is tried again each minute and no sooner. */
export function isBlocking(status: number, code: string): boolean {
  return blockingCode(status, code) !== undefined || REVOCATION_CODES.has(code)
}

function accept(state: StandingState, call: HubCall): StandingState {
  // A stream that opens says nothing about why a sync is refused.
  const isStillRefused = state.name === 'blocked' && call !== 'sync' && call !== state.call
  return isStillRefused ? state : INITIAL_STANDING
}

function suspect(
  state: StandingState,
  { code, mirror }: Extract<StandingEvent, { type: 'refused' }>,
  { nowMs, mirrors }: StandingContext,
): StandingStep {
  if (state.name !== 'suspected') {
    return {
      state: { name: 'suspected', code, sinceMs: nowMs, mirror },
      actions: [{ type: 'setTimer', delayMs: limits.REVOCATION_CONFIRM_MS }],
    }
  }
  const isLater = nowMs - state.sinceMs >= limits.REVOCATION_CONFIRM_MS
  const isAnotherMirror = mirror !== state.mirror || mirrors.every((other) => other === mirror)
  if (!isLater || !isAnotherMirror) return { state, actions: [] }
  return { state: { name: 'revoked', code }, actions: [{ type: 'giveUp' }] }
}

function askAgain(state: Extract<StandingState, { name: 'suspected' }>): StandingStep {
  return {
    state,
    actions: [
      { type: 'askElsewhere', mirror: state.mirror },
      { type: 'setTimer', delayMs: limits.REVOCATION_CONFIRM_MS },
    ],
  }
}

function block(
  state: StandingState,
  { code, status, call }: Extract<StandingEvent, { type: 'refused' }>,
): StandingStep {
  const blocking = blockingCode(status, code)
  if (blocking === undefined) return { state, actions: [] }
  return {
    state: { name: 'blocked', code: blocking, call },
    actions: status === 401 ? [{ type: 'readCredential' }] : [],
  }
}

function blockingCode(status: number, code: string): BlockingCode | undefined {
  return BLOCKING_CODES.find((blocking) => blocking === code) ?? CODES_OF_STATUS.get(status)
}
