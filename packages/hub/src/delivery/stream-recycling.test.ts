/** When streams are ended for their age: at random, one at a time, and never a fleet at once. */
import { limits } from '@downlink/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { createSessionRegistry, type SessionRegistry } from './session-registry.ts'
import { createSession } from './session.ts'
import { planRecycling, recyclingRestMs, startStreamRecycling, streamDueMs } from './stream-recycling.ts'

const ageMsMax = 1_000_000

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

test('given any chance > a stream (R-19) is due between half of the age and all of it', () => {
  fc.assert(
    fc.property(chance, (drawn) => {
      const dueMs = streamDueMs(7, 8, ageMsMax, drawn)
      expect(dueMs).toBeGreaterThanOrEqual(7 + ageMsMax / 2)
      expect(dueMs).toBeLessThanOrEqual(7 + ageMsMax)
    }),
  )
  expect(streamDueMs(0, 1, limits.STREAM_AGE_MS_MIN, 0), 'sooner, agents would call it a bad path').toBe(
    limits.STREAM_PROVEN_MS,
  )
})

test('given a stream that was not due by then > what is drawn again is not past either, and not sooner than its age allows', () => {
  fc.assert(
    fc.property(chance, chance, (part, drawn) => {
      const nowMs = part * ageMsMax
      const dueMs = streamDueMs(0, nowMs, ageMsMax, drawn)
      expect(dueMs).toBeGreaterThanOrEqual(Math.max(nowMs, ageMsMax / 2))
      expect(dueMs).toBeLessThanOrEqual(ageMsMax)
    }),
  )
  expect(streamDueMs(0, 2 * ageMsMax, ageMsMax, 0.5), 'one that is overdue is not put off').toBe(ageMsMax)
})

test('given several > the first that is due stands last, and those that the next plan has are left out', () => {
  const streams = [
    { agentId: 'b', openedMs: 20 },
    { agentId: 'a', openedMs: 10 },
    { agentId: 'c', openedMs: 1_000 },
  ]
  const ids = (nowMs: number): readonly string[] =>
    planRecycling(streams, nowMs, 1_000, () => 0.5).map(({ agentId }) => agentId)
  expect(ids(1_000)).toEqual(['b', 'a'])
  expect(ids(2_000), 'overdue or not').toEqual(['c', 'b', 'a'])
})

test('given few streams or many > the rest is a quarter of the age among them, and half of what the hub accepts', () => {
  expect(recyclingRestMs(0, 1_000, 1_000)).toBe(250)
  expect(recyclingRestMs(10, 1_000, 1_000)).toBe(25)
  expect(recyclingRestMs(10_000, 1_000, 1_000)).toBe(2)
})

/** Streams that all open in the same moment, and when each ended. @param isBack - their agents come right back. */
function fleet(
  count: number,
  isBack = false,
): {
  registry: SessionRegistry
  endsMs: number[]
  texts: string[]
  clock: ReturnType<typeof createTestClock>
  open: () => void
} {
  const clock = createTestClock()
  const registry = createSessionRegistry()
  const endsMs: number[] = []
  const texts: string[] = []
  const startMs = clock.monotonicMs()
  let opened = 0
  const open = (): void => {
    const agentId = `a${opened}`
    opened += 1
    const session = createSession({
      agentId,
      clock,
      connection: {
        write: (bytes) => texts.push(new TextDecoder().decode(bytes)) > 0,
        end: () => {},
      },
      onEnd: () => {
        endsMs.push(clock.monotonicMs() - startMs)
        registry.detach(session)
        if (isBack) open()
      },
    })
    registry.attach(session)
  }
  for (let index = 0; index < count; index += 1) open()
  return { registry, endsMs, texts, clock, open }
}

function seeded(): () => number {
  let state = 1
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
}

describe('given a fleet that came at once', () => {
  const options = { streamAgeMsMax: ageMsMax, acceptPerS: 1_000, isDraining: () => false }

  test('when its streams grow old > all are told and end, none early or late, and no moment takes more than its share', () => {
    const { registry, endsMs, texts, clock } = fleet(500, true)
    using _ = startStreamRecycling({ ...options, registry, clock, random: seeded() })
    clock.advance(1.01 * ageMsMax)
    expect(endsMs.length).toBeGreaterThanOrEqual(500)
    expect(texts.filter((text) => text.startsWith('event: drain\n'))).toHaveLength(endsMs.length)
    expect(Math.min(...endsMs)).toBeGreaterThanOrEqual(ageMsMax / 2)
    const slotMs = 10_000
    const counts = new Map<number, number>()
    for (const endMs of endsMs) {
      const slot = Math.floor(endMs / slotMs)
      counts.set(slot, (counts.get(slot) ?? 0) + 1)
    }
    // 500 over half of the age are 10 in each slot.
    expect(Math.max(...counts.values()), 'twice the mean at most').toBeLessThanOrEqual(20)
  })

  test('when all are due in one moment > they still go one after the other, at half of what the hub accepts', () => {
    const { registry, endsMs, clock } = fleet(50, true)
    using _ = startStreamRecycling({ ...options, acceptPerS: 1, registry, clock, random: () => 0 })
    clock.advance(0.76 * ageMsMax)
    const gaps = endsMs.slice(1).map((endMs, index) => endMs - (endsMs[index] ?? 0))
    expect(gaps).toHaveLength(49)
    expect(Math.min(...gaps), 'one per 5 s: a quarter of the age for 50 of them').toBeGreaterThanOrEqual(
      5_000,
    )
  })

  test('when a stream opens between two looks > it ends within its own age', () => {
    const { registry, endsMs, clock, open } = fleet(1)
    using _ = startStreamRecycling({ ...options, registry, clock, random: () => 0 })
    clock.advance(ageMsMax / 4)
    open()
    clock.advance(ageMsMax / 4)
    expect(endsMs).toEqual([ageMsMax / 2])
    clock.advance(ageMsMax / 4)
    expect(endsMs).toEqual([ageMsMax / 2, (3 * ageMsMax) / 4])
  })

  test.each([
    ['the hub stops', { isDraining: () => true }],
    ['it is turned off', { streamAgeMsMax: Infinity }],
  ])('when %s > no stream is ended for its age', (_, change) => {
    const { registry, clock } = fleet(3)
    using __ = startStreamRecycling({ ...options, ...change, registry, clock, random: seeded() })
    clock.advance(3 * ageMsMax)
    expect(registry.size).toBe(3)
  })

  test('when it is disposed of > nothing ends any more', () => {
    const { registry, clock } = fleet(3)
    startStreamRecycling({ ...options, registry, clock, random: seeded() })[Symbol.dispose]()
    clock.advance(3 * ageMsMax)
    expect(registry.size).toBe(3)
  })
})
