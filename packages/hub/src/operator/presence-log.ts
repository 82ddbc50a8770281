/** The last changes of an agent's presence, told from what was noted when it was looked at: no timers, nothing stored. */
import { limits, type AgentPresence, type PresenceReason, type PresenceTransition } from '@downlink/protocol'
import type { AgentMemory } from '../controls/agent-memory.ts'
import { presenceMarks, presenceOf, type AgentLink } from './agent-record.ts'

/** A moment on both clocks. */
export interface Moment {
  readonly monotonicMs: number
  readonly wallMs: number
}

/**
 * Notes what has changed up to `now`, also what time alone has changed since the last look: when an agent fell silent is
 * known exactly, however late somebody looks. Called before and after whatever changes what is known of the agent.
 * @returns whether anything has.
 */
export function notePresence(memory: AgentMemory, link: AgentLink, now: Moment): boolean {
  const before = memory.transitions
  const { notedMs } = memory
  const passed = presenceMarks(memory, link).filter((markMs) => markMs > notedMs && markMs < now.monotonicMs)
  for (const atMs of passed.sort((a, b) => a - b)) noteAt(memory, link, atMs, now)
  noteAt(memory, link, now.monotonicMs, now)
  memory.notedMs = now.monotonicMs
  return memory.transitions !== before
}

function noteAt(memory: AgentMemory, link: AgentLink, atMs: number, now: Moment): void {
  const status = presenceOf(memory, link, atMs)
  if (status === (memory.transitions.at(-1)?.status ?? 'offline')) return
  const wallMs = now.wallMs - (now.monotonicMs - atMs)
  const noted = [
    ...memory.transitions,
    { atMs: wallMs, status, reason: reasonOf(memory, link, status, atMs) },
  ]
  memory.transitions = noted.slice(-limits.PRESENCE_TRANSITIONS_MAX)
}

function reasonOf(memory: AgentMemory, link: AgentLink, status: AgentPresence, atMs: number): PresenceReason {
  switch (status) {
    case 'online':
      return 'seen'
    case 'cloned':
      return 'two-copies'
    case 'late':
      // Had it been heard of in time, it is its stream that nothing shows to work.
      return presenceOf(memory, { ...link, isWorking: true }, atMs) === 'late' ? 'silent' : 'unproven'
    case 'offline':
      return memory.deregistered ? 'good-bye' : 'silent'
    case 'blocked':
    case 'revoked':
      return status
  }
}

/** What one agent's record shows. @param revokedMs - by the wall clock: a revocation is stored, and is the last. */
export function shownTransitions(
  memory: AgentMemory | undefined,
  revokedMs: number | undefined,
): readonly PresenceTransition[] {
  const noted = (memory?.transitions ?? []).map(({ atMs, ...change }) => ({
    at: new Date(atMs).toISOString(),
    ...change,
  }))
  if (revokedMs === undefined) return noted
  return [...noted, { at: new Date(revokedMs).toISOString(), status: 'revoked', reason: 'revoked' }]
}
