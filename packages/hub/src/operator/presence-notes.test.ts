/** Who tells that an agent's presence changed: whoever notes it, and the watch, as time passes. */
import { limits } from '@downlink/protocol'
import { beforeEach, expect, test } from 'vitest'
import { createTestClock, type TestClock } from '../../../testkit/src/test-clock.ts'
import { createAgentMemories, rememberSeen, type AgentMemories } from '../controls/agent-memory.ts'
import { createSessionRegistry } from '../delivery/session-registry.ts'
import { createPresenceNotes, type PresenceNotes } from './presence-notes.ts'

let clock: TestClock
let memories: AgentMemories
let notes: PresenceNotes
let told: string[]
beforeEach(() => {
  clock = createTestClock()
  memories = createAgentMemories()
  const polls = { isHeld: () => false }
  notes = createPresenceNotes({
    clock,
    memories,
    registry: createSessionRegistry(),
    polls,
    heartbeatMs: 15_000,
  })
  told = []
  notes.listen((agentId) => void told.push(`${agentId} ${memories.of(agentId).transitions.at(-1)?.status}`))
})

function seen(agentId: string): void {
  rememberSeen(memories.of(agentId), clock)
  notes.note(agentId)
}

test('given agents that are seen, fall silent and say good-bye > each change is told, and what did not change is not', () => {
  seen('a')
  seen('a')
  notes.note('nobody')
  const watch = notes.watch()
  clock.advance(2 * limits.SYNC_ACTIVE_MS)
  expect(told).toEqual(['a online', 'a late'])
  clock.advance(limits.SYNC_ACTIVE_MS)
  seen('b')
  memories.of('b').deregistered = true
  notes.note('b')
  clock.advance(10 * limits.PRESENCE_LOOK_MS)
  expect(told.slice(2)).toEqual(['a offline', 'b online', 'b offline'])
  watch[Symbol.dispose]()
  expect(clock.pendingTimers, 'nothing runs unwatched').toBe(0)
})

test('given more agents than are looked at in a turn > the rest waits for another turn, and all are looked at', () => {
  const count = 2 * limits.PRESENCE_LOOKS_PER_TURN + 1
  for (let n = 0; n < count; n++) seen(`a${n}`)
  memories.of('a1').isRevoked = true
  told = []
  const turns: number[] = []
  let turn = 0
  const counting = {
    ...clock,
    setTimer: (delayMs: number, callback: () => void) =>
      clock.setTimer(delayMs, () => {
        const before = told.length
        callback()
        turns.push(told.length - before)
        turn++
      }),
  }
  const polls = { isHeld: () => false }
  const registry = createSessionRegistry()
  notes = createPresenceNotes({ clock: counting, memories, registry, polls, heartbeatMs: 15_000 })
  notes.listen((agentId) => void told.push(agentId))
  clock.advance(limits.SYNC_ACTIVE_MS)
  using _ = notes.watch()
  clock.advance(2 * limits.PRESENCE_LOOK_MS)
  expect(told, 'a revocation is the last that is told of an agent').toHaveLength(count - 1)
  expect(Math.max(...turns)).toBe(limits.PRESENCE_LOOKS_PER_TURN)
  expect(turn).toBeGreaterThanOrEqual(3)
})

test('given a place in time > those are found whose change was noted since, however long ago it was', () => {
  seen('a')
  seen('b')
  clock.advance(60_000)
  notes.note('a')
  const nowMs = clock.wallMs()
  expect([...notes.changedSince(nowMs)]).toEqual(['a'])
  expect([...notes.changedSince(nowMs - 60_000)]).toEqual(['a', 'b'])
  expect([...notes.changedSince(nowMs + 1)]).toEqual([])
  clock.setWallMs(nowMs - 3_600_000)
  notes.note('b')
  expect([...notes.changedSince(nowMs)], 'a clock that was set back hides nothing').toEqual(['a', 'b'])
})
