/** Operators that wait for a control to get somewhere: resolved by commits, never by polling. */
import { limits, type Clock, type ControlRecord } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import { isWatched, type AgentMemories } from './agent-memory.ts'
import type { MailboxChanges } from './mailbox-changes.ts'
import { findControl } from './mailbox.ts'

/** How far a control must have come: taken, settled in any way, or seen in the task's own state. */
export type Until = 'accepted' | 'applied' | 'observed'

/** A place among those who wait. Dispose of it in any case. */
export interface WaitSlot extends Disposable {
  /**
   * Resolves with the control once it is so, after `timeoutMs`, or when `signal` aborts: then as it is.
   * Undefined if there is no such control.
   */
  wait(
    controlId: string,
    until: Until,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<ControlRecord | undefined>
}

/** The waits of one hub. */
export interface ControlWaits extends Disposable {
  readonly size: number
  /**
   * Takes a place before anything is made, so that a full hub refuses without having made it.
   * The agent counts as watched meanwhile, so it syncs more often.
   * @throws HubError `too_many_waiters`.
   */
  reserve(agentId: string, tokenId: string): WaitSlot
  /** Ends all waits, those to come included, with the present state: the hub stops. */
  releaseAll(): void
}

/** What waits need. */
export interface ControlWaitsOptions {
  readonly clock: Clock
  readonly changes: MailboxChanges
  readonly memories: AgentMemories
  readonly read: (controlId: string) => Promise<ControlRecord | undefined>
}

interface Waiter {
  readonly controlId: string
  readonly until: Until
  readonly release: () => void
}

/** Whether a control has come as far as `until` says, or cannot get there any more. */
export function isReached(
  control: Pick<ControlRecord, 'outcome' | 'stamps' | 'unconfirmed' | 'endedOtherwise'>,
  until: Until,
): boolean {
  const { state } = control.outcome
  switch (until) {
    case 'accepted':
      return true
    case 'applied':
      return control.unconfirmed === true || (state !== 'pending' && state !== 'delivered')
    case 'observed':
      return (
        control.unconfirmed === true ||
        control.stamps.observed !== undefined ||
        control.endedOtherwise === true ||
        state === 'failed' ||
        state === 'expired' ||
        state === 'superseded'
      )
  }
}

/** Listens to changes from now on, until disposed. */
export function createControlWaits(options: ControlWaitsOptions): ControlWaits {
  const { clock, changes, memories, read } = options
  const waiting = new Map<string, Set<Waiter>>()
  let reserved = 0
  const ofTokens = new Map<string, number>()
  let isReleased = false
  const listener = changes.listen(({ agentId, mailbox }) => {
    for (const waiter of waiting.get(agentId) ?? []) {
      const entry = findControl(mailbox, waiter.controlId)
      if (entry === undefined || isReached(entry, waiter.until)) waiter.release()
    }
  })

  async function wait(
    agentId: string,
    controlId: string,
    until: Until,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<ControlRecord | undefined> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const release = (): void => resolve()
    const waiter: Waiter = { controlId, until, release }
    const ofAgent = waiting.get(agentId) ?? new Set()
    waiting.set(agentId, ofAgent.add(waiter))
    const timer = clock.setTimer(timeoutMs, release)
    signal.addEventListener('abort', release, { once: true })
    try {
      // Read only after the waiter stands: a change in between releases it.
      const now = await read(controlId)
      if (now === undefined || isReached(now, until) || signal.aborted || isReleased) return now
      await promise
      return await read(controlId)
    } finally {
      timer.cancel()
      signal.removeEventListener('abort', release)
      ofAgent.delete(waiter)
      if (ofAgent.size === 0) waiting.delete(agentId)
    }
  }

  return {
    get size() {
      return reserved
    },
    reserve(agentId, tokenId) {
      const own = ofTokens.get(tokenId) ?? 0
      if (own >= limits.WAITERS_PER_TOKEN_MAX) {
        throw new HubError(
          'too_many_waiters',
          `${limits.WAITERS_PER_TOKEN_MAX} requests of this token already wait. Send it without wait, or again shortly.`,
        )
      }
      if (reserved >= limits.WAITERS_MAX) {
        throw new HubError(
          'too_many_waiters',
          `${limits.WAITERS_MAX} requests already wait at this hub. Send it without wait, or again shortly.`,
        )
      }
      reserved += 1
      ofTokens.set(tokenId, own + 1)
      const memory = memories.of(agentId)
      memory.waiters += 1
      let isHeld = true
      return {
        wait: (controlId, until, timeoutMs, signal) => wait(agentId, controlId, until, timeoutMs, signal),
        [Symbol.dispose]() {
          if (!isHeld) return
          isHeld = false
          reserved -= 1
          const left = (ofTokens.get(tokenId) ?? 1) - 1
          if (left === 0) ofTokens.delete(tokenId)
          else ofTokens.set(tokenId, left)
          memory.waiters -= 1
          if (!isWatched(memory, clock.monotonicMs()))
            memory.watchedUntilMs = clock.monotonicMs() + limits.WATCHED_MS
        },
      }
    },
    releaseAll() {
      isReleased = true
      for (const waiters of waiting.values()) for (const waiter of waiters) waiter.release()
    },
    [Symbol.dispose]: () => listener[Symbol.dispose](),
  }
}
