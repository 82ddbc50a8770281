/** Nudges of many agents: who can be told of a window is told, the others are nudged within it. */
import { limits, type Boot } from '@downlink/protocol'
import { beforeEach, describe, expect, test } from 'vitest'
import { createTestClock, type TestClock } from '../../../testkit/src/test-clock.ts'
import { createAgentMemories, type AgentMemories } from '../controls/agent-memory.ts'
import { createMailboxChanges } from '../controls/mailbox-changes.ts'
import { DeliveryCounts } from './delivery-counts.ts'
import { createNudges, type Nudges } from './nudges.ts'
import { createSessionRegistry, type SessionRegistry } from './session-registry.ts'
import { createSession } from './session.ts'
import { createWakePolls, type WakePolls } from './wake-polls.ts'

const WINDOW_MS = 30_000
const SPREAD = 'event: sync\ndata: {"reason":"broadcast","withinMs":30000}\n\n'
const AT_ONCE = 'event: sync\ndata: {"reason":"broadcast"}\n\n'

let clock: TestClock
let memories: AgentMemories
let registry: SessionRegistry
let polls: WakePolls
let nudges: Nudges
let chances: number[]
beforeEach(() => {
  clock = createTestClock()
  memories = createAgentMemories()
  registry = createSessionRegistry()
  const changes = createMailboxChanges()
  polls = createWakePolls({ clock, holdMs: 28_000, memories, changes, counts: new DeliveryCounts() })
  chances = []
  nudges = createNudges({ clock, random: () => chances.shift() ?? 0.5, registry, polls, memories })
})

/** What is written to the stream of an agent. */
function streamOf(agentId: string, boot?: Boot): readonly string[] {
  const written: string[] = []
  memories.of(agentId)
  const connection = {
    write: (bytes: Uint8Array) => written.push(new TextDecoder().decode(bytes)) > 0,
    end: () => undefined,
  }
  registry.attach(createSession({ agentId, clock, connection, ...(boot === undefined ? {} : { boot }) }))
  return written
}

describe('given agents with streams', () => {
  test('when they are nudged over a window > ours are told of it at once, an original is nudged within it', async () => {
    const ours = streamOf('a1', { bootNonce: 'b', connectCounter: 1 })
    const originals = [streamOf('o1'), streamOf('o2')]
    chances = [0.9, 0.1]
    expect(await nudges.within(['a1', 'o1', 'o2'], WINDOW_MS)).toBe(3)
    expect([ours, ...originals]).toEqual([[SPREAD], [], []])
    clock.advance(3_000)
    expect(originals).toEqual([[], [AT_ONCE]])
    clock.advance(WINDOW_MS)
    expect(originals).toEqual([[AT_ONCE], [AT_ONCE]])
    expect(clock.pendingTimers, 'nobody waits any more').toBe(0)
  })

  test('when there are more than are told in one turn > the frame is encoded once, and what comes meanwhile is done before the last', async () => {
    const frames: Uint8Array[] = []
    const agentIds = Array.from({ length: limits.STREAMS_TOGETHER_MAX + 1 }, (_, index) => `a${index}`)
    for (const agentId of agentIds) {
      const connection = { write: (bytes: Uint8Array) => frames.push(bytes) > 0, end: () => undefined }
      const boot = { bootNonce: 'b', connectCounter: 1 }
      registry.attach(createSession({ agentId, clock, connection, boot }))
    }
    const nudged = nudges.within(agentIds, WINDOW_MS)
    expect(frames).toHaveLength(limits.STREAMS_TOGETHER_MAX)
    clock.advance(0)
    expect(await nudged).toBe(agentIds.length)
    expect([frames.length, new Set(frames).size]).toEqual([agentIds.length, 1])
  })

  test('when it is asked for again > no original is nudged twice', async () => {
    const original = streamOf('o1')
    for (let times = 0; times < 3; times++) await nudges.within(['o1'], WINDOW_MS)
    clock.advance(WINDOW_MS)
    expect(original).toEqual([AT_ONCE])
  })

  test('when the hub stops > nobody is nudged', async () => {
    const original = streamOf('o1')
    await nudges.within(['o1'], WINDOW_MS)
    nudges[Symbol.dispose]()
    expect(await nudges.within(['o1'], WINDOW_MS)).toBe(0)
    clock.advance(WINDOW_MS)
    expect([original, clock.pendingTimers]).toEqual([[], 0])
  })
})

describe('given agents without a stream', () => {
  test('when they are nudged over a window > a held poll is answered within it, the next one of who is between two too', async () => {
    memories.of('p1').repliedVersion = 0
    memories.of('p2').repliedVersion = 0
    const held = polls.hold('p1', undefined)
    expect(await nudges.within(['p1', 'p2', 'never-here'], WINDOW_MS), 'only one of them is there').toBe(1)
    clock.advance(WINDOW_MS / 2)
    expect(await held.ended).toEqual({ kind: 'wake', wake: true })
    const next = polls.hold('p2', undefined)
    next.take(0)
    expect(await next.ended).toEqual({ kind: 'wake', wake: true })
    expect(memories.peek('never-here'), 'nothing is kept of who was never here').toBeUndefined()
  })
})
