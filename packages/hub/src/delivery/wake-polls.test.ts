import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { createAgentMemories } from '../controls/agent-memory.ts'
import { createMailboxChanges } from '../controls/mailbox-changes.ts'
import { decideDisplacement } from './displacements.ts'
import { decideWake, type WakeState } from './wake-decision.ts'
import { DeliveryCounts } from './delivery-counts.ts'
import { createWakePolls } from './wake-polls.ts'

const state: WakeState = {
  version: 3,
  repliedVersion: 3,
  isNudged: false,
  isOriginal: true,
  lastWakeMs: undefined,
  nowMs: 10_000,
}

describe('given what is known about an agent', () => {
  test.for<[string, Partial<WakeState>, number | undefined]>([
    ['the last reply showed all', {}, undefined],
    ['the mailbox is newer', { version: 4 }, 0],
    ['the hub was started since', { repliedVersion: undefined }, 0],
    ['somebody asks for a sync', { isNudged: true }, 0],
    ['an original was woken a moment ago', { version: 4, lastWakeMs: 9_900 }, 900],
    ['an original was woken a second ago', { version: 4, lastWakeMs: 9_000 }, 0],
    ['one of ours was woken a moment ago', { version: 4, lastWakeMs: 9_900, isOriginal: false }, 0],
    ['it was woken, and has fetched it', { lastWakeMs: 9_900 }, undefined],
  ])('when %s > it is woken accordingly', ([, change, wakeInMs]) => {
    expect(decideWake({ ...state, ...change })).toBe(wakeInMs)
  })
})

test('given displacements > five a minute are admitted, and the wait told is until the first is a minute old', () => {
  let times: readonly number[] = []
  for (const nowMs of [0, 1_000, 2_000, 3_000, 4_000]) {
    const decided = decideDisplacement(times, nowMs)
    expect(decided.isAdmitted).toBe(true)
    if (decided.isAdmitted) times = decided.times
  }
  expect(decideDisplacement(times, 10_000)).toEqual({ isAdmitted: false, retryAfterMs: 50_000 })
  expect(decideDisplacement(times, 60_000)).toEqual({
    isAdmitted: true,
    times: [1_000, 2_000, 3_000, 4_000, 60_000],
  })
})

test('given as many polls as a hub holds > one more agent is refused, one that is held is replaced, and all end', async () => {
  const clock = createTestClock()
  const options = {
    clock,
    holdMs: 1_000,
    memories: createAgentMemories(),
    changes: createMailboxChanges(),
    counts: new DeliveryCounts(),
  }
  const polls = createWakePolls(options)
  const first = polls.hold('a0', undefined)
  for (let n = 1; n < limits.WAKE_POLLS_MAX; n++) polls.hold(`a${n}`, undefined)
  expect(() => polls.hold('one-more', undefined)).toThrow(/already wait at this hub. Ask again shortly/)
  polls.hold('a0', undefined)
  expect(await first.ended).toEqual({ kind: 'wake', wake: false })
  for (const agentId of polls.agentIds()) polls.release(agentId)
  expect([polls.size, clock.pendingTimers]).toEqual([0, 0])
})
