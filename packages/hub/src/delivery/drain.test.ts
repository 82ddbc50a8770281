/** Slots of a drain, and who is told and ended at them. */
import { limits } from '@downlink/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { createAgentMemories } from '../controls/agent-memory.ts'
import { createMailboxChanges } from '../controls/mailbox-changes.ts'
import { DeliveryCounts } from './delivery-counts.ts'
import { drainSlots, drainStreams } from './drain.ts'
import { reconnectWindowMs } from './reconnect-window.ts'
import { createSessionRegistry } from './session-registry.ts'
import { createSession } from './session.ts'
import { createWakePolls } from './wake-polls.ts'

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

/** The most that any second of `times` holds, and the mean of those between the first and the last percentile. */
function slotsOf(times: readonly number[]): { peak: number; mean: number } {
  const sorted = [...times].sort((a, b) => a - b)
  const inner = sorted.slice(Math.floor(sorted.length * 0.01), Math.ceil(sorted.length * 0.99))
  const fromMs = inner[0] ?? 0
  const counts = new Map<number, number>()
  for (const time of inner) {
    const slot = Math.floor((time - fromMs) / 1_000)
    counts.set(slot, (counts.get(slot) ?? 0) + 1)
  }
  const seconds = ((inner.at(-1) ?? 0) - fromMs) / 1_000
  return { peak: Math.max(...counts.values()), mean: inner.length / Math.max(1, seconds) }
}

describe('given a drain (R-15)', () => {
  test('with any plan > streams end within it, in turn, and agents come back behind the restart, evenly', () => {
    const plan = fc.record({
      drainMs: fc.nat(60_000),
      restartMs: fc.integer({ min: 1, max: 30_000 }),
      windowMs: fc.integer({ min: 5_000, max: limits.RECONNECT_WINDOW_MS_MAX }),
    })
    fc.assert(
      fc.property(
        plan,
        fc.integer({ min: 200, max: 600 }),
        fc.infiniteStream(chance),
        (given, count, chances) => {
          const slots = drainSlots(count, given, () => chances.next().value ?? 0)
          expect(slots).toHaveLength(count)
          const backMs = given.drainMs + given.restartMs
          let beforeMs = 0
          for (const { endMs, reconnectAfterMs } of slots) {
            expect(endMs).toBeGreaterThanOrEqual(beforeMs)
            expect(endMs).toBeLessThanOrEqual(given.drainMs)
            expect(endMs + reconnectAfterMs).toBeGreaterThanOrEqual(backMs - 1)
            expect(endMs + reconnectAfterMs).toBeLessThanOrEqual(backMs + given.windowMs + 1)
            expect(reconnectAfterMs, 'no agent waits longer for a slot').toBeLessThanOrEqual(
              limits.RETRY_MS_MAX,
            )
            beforeMs = endMs
          }
          const { peak, mean } = slotsOf(slots.map((slot) => slot.endMs + slot.reconnectAfterMs))
          expect(peak).toBeLessThanOrEqual(2 * mean + 1)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('where others take the agents at once > they need not wait', () => {
    const slots = drainSlots(3, { drainMs: 900, restartMs: 0, windowMs: 2_000 }, () => 0.5)
    expect(slots.map((slot) => slot.endMs)).toEqual([150, 450, 750])
    expect(slots.map((slot) => slot.reconnectAfterMs)).toEqual([0, 0, 0])
  })

  test('when it runs > each stream is told at once and ends at its slot, polls are answered at theirs', async () => {
    const run = drainOf(3, 2)
    const told = run.told()
    expect(told.length).toBe(3)
    for (const ms of told) expect([3_100, 3_300, 3_500, 3_700, 3_900]).toContain(ms)
    const left: number[] = []
    for (let atMs = 0; atMs <= 1_000; atMs += 200) {
      left.push(run.registry.size + run.polls.size)
      await run.pass(200)
    }
    expect(left).toEqual([5, 4, 3, 2, 1, 0])
    await run.done
  })

  test('when it is cut short > what is left ends at once', async () => {
    const run = drainOf(3, 2)
    await run.pass(150)
    run.cut()
    await run.done
    expect([run.registry.size, run.polls.size, run.clock.pendingTimers]).toEqual([0, 0, 0])
  })
})

test.each([
  [0, 1_000, limits.RECONNECT_WINDOW_MS_MIN],
  [10_000, 1_000, 20_000],
  [300, 30, 20_000],
  [10_000_000, 1_000, limits.RECONNECT_WINDOW_MS_MAX],
])('given %i agents of a hub that accepts %i per second > the window is %i ms', (agents, acceptPerS, ms) => {
  expect(reconnectWindowMs(agents, acceptPerS)).toBe(ms)
})

/** A drain over a second of so many streams and polls, on a test's clock. */
function drainOf(streamCount: number, pollCount: number) {
  const clock = createTestClock()
  const registry = createSessionRegistry()
  const polls = createWakePolls({
    clock,
    holdMs: limits.WAKE_HOLD_MS_MAX,
    counts: new DeliveryCounts(),
    memories: createAgentMemories(),
    changes: createMailboxChanges(),
  })
  const texts = Array.from({ length: streamCount }, (_, index) => {
    const bytes: Uint8Array[] = []
    const connection = { write: (part: Uint8Array) => bytes.push(part) > 0, end: () => undefined }
    const session = createSession({
      agentId: `a${index}`,
      connection,
      clock,
      onEnd: () => registry.detach(session),
    })
    registry.attach(session)
    return bytes
  })
  for (let index = 0; index < pollCount; index += 1) polls.hold(`p${index}`, undefined)
  const controller = new AbortController()
  const plan = { drainMs: 1_000, restartMs: 2_000, windowMs: 2_000 }
  const done = drainStreams({ clock, random: () => 0.5, registry, polls }, plan, controller.signal)
  return {
    clock,
    registry,
    polls,
    done,
    cut: () => controller.abort(),
    told: () =>
      texts.map((bytes) =>
        Number(/reconnectAfterMs":(\d+)/.exec(Buffer.concat(bytes).toString('utf8'))?.[1] ?? Number.NaN),
      ),
    async pass(ms: number) {
      clock.advance(ms)
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve()
    },
  }
}
