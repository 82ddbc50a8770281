/** When an agent came and went, and why: exact however late somebody looks, and bounded. */
import { limits } from '@downlink/protocol'
import { beforeEach, describe, expect, test } from 'vitest'
import { createAgentMemories, type AgentMemory } from '../controls/agent-memory.ts'
import type { AgentLink } from './agent-record.ts'
import { notePresence, shownTransitions } from './presence-log.ts'

const BEGAN_MS = Date.UTC(2026, 0, 1)
const link: AgentLink = { isStreaming: true, isWorking: true, isPolling: false }
/** The pace that a fresh memory expects, and what is added to it. */
const LATE_MS = limits.SYNC_ACTIVE_MS + 5_000 + 1
const OFFLINE_MS = 2 * limits.SYNC_ACTIVE_MS + 5_000 + 1

let memory: AgentMemory
beforeEach(() => void (memory = createAgentMemories().of('a1')))

function look(atMs: number, change: Partial<AgentLink> = {}): void {
  notePresence(memory, { ...link, ...change }, { monotonicMs: atMs, wallMs: BEGAN_MS + atMs })
}
function seen(atMs: number): void {
  look(atMs)
  memory.lastSeenMonotonicMs = atMs
  memory.deregistered = false
  look(atMs)
}
/** Status, reason and ms since the beginning of each change. */
function told(): readonly (readonly [string, string, number])[] {
  return memory.transitions.map(({ atMs, status, reason }) => [status, reason, atMs - BEGAN_MS])
}

describe('given an agent (R-51)', () => {
  test('when it is silent and comes back > late, offline and online are told with their own times', () => {
    seen(1_000)
    seen(5_000)
    seen(100_000)
    expect(told()).toEqual([
      ['online', 'seen', 1_000],
      ['late', 'silent', 5_000 + LATE_MS],
      ['offline', 'silent', 5_000 + OFFLINE_MS],
      ['online', 'seen', 100_000],
    ])
  })

  test('when somebody looks often > the same is told', () => {
    seen(1_000)
    for (let atMs = 1_001; atMs < 60_000; atMs += 997) look(atMs)
    expect(told()).toEqual([
      ['online', 'seen', 1_000],
      ['late', 'silent', 1_000 + LATE_MS],
      ['offline', 'silent', 1_000 + OFFLINE_MS],
    ])
  })

  test('when nothing shows that its stream works > late because of that', () => {
    seen(1_000)
    look(2_000, { isWorking: false })
    expect(told().at(-1)).toEqual(['late', 'unproven', 2_000])
  })

  test('when it says what keeps it from its work (R-33) > blocked, as long as it is reached and says so', () => {
    seen(1_000)
    memory.blockedBy = 'journal_unavailable'
    look(2_000)
    look(3_000, { isWorking: false })
    look(4_000)
    memory.blockedBy = undefined
    look(5_000)
    expect(told().slice(1)).toEqual([
      ['blocked', 'blocked', 2_000],
      ['late', 'unproven', 3_000],
      ['blocked', 'blocked', 4_000],
      ['online', 'seen', 5_000],
    ])
  })

  test('when it says good-bye > offline because of that', () => {
    seen(1_000)
    memory.deregistered = true
    look(1_500)
    expect(told().at(-1)).toEqual(['offline', 'good-bye', 1_500])
  })

  test('when two copies showed life, and one no longer does > cloned, then as it is', () => {
    seen(1_000)
    memory.clonedAtMonotonicMs = 2_000
    look(2_000)
    memory.expectedSyncMs = 200_000
    look(400_000)
    expect(told()).toEqual([
      ['online', 'seen', 1_000],
      ['cloned', 'two-copies', 2_000],
      ['online', 'seen', 152_000],
      ['late', 'silent', 206_001],
    ])
  })

  test('when it comes and goes without end > the last PRESENCE_TRANSITIONS_MAX changes are kept', () => {
    for (let round = 0; round < limits.PRESENCE_TRANSITIONS_MAX; round += 1) seen(round * 100_000)
    expect(told()).toHaveLength(limits.PRESENCE_TRANSITIONS_MAX)
    expect(told().at(-1)).toEqual(['online', 'seen', (limits.PRESENCE_TRANSITIONS_MAX - 1) * 100_000])
  })

  test('when it is revoked > that is the last, also at a hub that has not met it', () => {
    seen(1_000)
    expect(shownTransitions(memory, BEGAN_MS + 9_000).map(({ status }) => status)).toEqual([
      'online',
      'revoked',
    ])
    expect(shownTransitions(undefined, BEGAN_MS)).toMatchObject([{ status: 'revoked', reason: 'revoked' }])
    expect(shownTransitions(undefined, undefined)).toEqual([])
  })
})
