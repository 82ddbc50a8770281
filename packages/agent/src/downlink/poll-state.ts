/** What long-polling is about: its states, what happens to it, and what it asks for. */
import type { Retry } from '@downlink/protocol'

/**
 * How long-polling goes. `starting`: a question is under way, and nothing says yet that it is heard. `missing`: the
 * server has no `wake`, so the pace of the syncs is all there is.
 */
export type PollHealth = 'off' | 'starting' | 'working' | 'failing' | 'missing'

/** Where long-polling stands. */
export type PollState =
  | { readonly name: 'off' }
  | (PollMemory & { readonly name: 'resting' })
  | (PollMemory & { readonly name: 'asking'; readonly askedMs: number })

/** What outlives a question. */
export interface PollMemory {
  readonly health: Exclude<PollHealth, 'off'>
  /** Failures in a row. */
  readonly failureCount: number
  /** Answers in a row that were true and came at once: each may be the same news. */
  readonly repeats: number
}

/** Why a question failed. */
export interface PollFailure {
  readonly code: string
  readonly message: string
  readonly retry: Retry
}

/** What happens to long-polling. */
export type PollEvent =
  | { readonly type: 'pollStarted' }
  | { readonly type: 'pollStopped' }
  | { readonly type: 'pollAnswered'; readonly wake: boolean }
  | { readonly type: 'pollFailed'; readonly failure: PollFailure; readonly retryAfterMs?: number }
  | { readonly type: 'pollTimer' }

/** What to do now. `endPoll` ends the question under way and the timer; `setPollTimer` replaces an earlier one. */
export type PollAction =
  | { readonly type: 'ask' }
  | { readonly type: 'setPollTimer'; readonly delayMs: number }
  | { readonly type: 'endPoll' }
  /** Come and fetch, after `delayMs` if the server wants many to spread. */
  | { readonly type: 'sync'; readonly reason: string; readonly delayMs?: number }
  /** The hub answers again after it did not: what waits for it need not wait longer. */
  | { readonly type: 'hubIsBack' }
