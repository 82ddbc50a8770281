/** The sync loop on a test's clock. */
import { HttpError, limits, type SyncReply, type SyncRequest } from '@downlink/protocol'
import { afterEach, describe, expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { turn } from '../../test/fakes.ts'
import { SyncLoop } from './loop.ts'

const REQUEST: SyncRequest = {
  agentId: 'a1',
  tasks: [],
  freeSlots: 1,
  outcomes: [],
  received: [],
  decisions: [],
}
const REPLY: SyncReply = { controls: [], newTasks: [], watching: false, acked: [], nextSyncMs: 60_000 }

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

/** A loop whose syncs the test answers one by one. */
function startLoop(random = 0.5, runs = true) {
  const clock = createTestClock()
  const open: PromiseWithResolvers<SyncReply>[] = []
  const seen = { sent: 0, failures: 0, successes: 0, mostAtOnce: 0 }
  let takeIn: () => Promise<void> = async () => undefined
  let isStreaming = true
  const loop = new SyncLoop({
    clock,
    random: () => random,
    prepare: () => REQUEST,
    async send(_, signal) {
      const sync = Promise.withResolvers<SyncReply>()
      signal.addEventListener('abort', () => sync.reject(signal.reason as Error), { once: true })
      open.push(sync)
      seen.sent++
      seen.mostAtOnce = Math.max(seen.mostAtOnce, open.length)
      try {
        return await sync.promise
      } finally {
        open.shift()
      }
    },
    takeIn: () => takeIn(),
    onFailure: () => void seen.failures++,
    onSuccess: () => void seen.successes++,
    isStreaming: () => isStreaming,
  })
  const controller = new AbortController()
  const running = runs ? loop.run(controller.signal) : Promise.resolve()
  const stop = async (): Promise<void> => {
    controller.abort()
    await running
  }
  stops.push(stop)
  return {
    clock,
    loop,
    seen,
    stop,
    setTakeIn: (next: () => Promise<void>) => void (takeIn = next),
    setStreaming: (is: boolean) => {
      isStreaming = is
      loop.paceChanged()
    },
    async answer(reply: Partial<SyncReply> = {}, base: SyncReply = REPLY) {
      await turn()
      expect(open, 'no sync is under way to be answered').toHaveLength(1)
      open[0]?.resolve({ ...base, ...reply })
      await turn()
    },
    async refuse(error: Error = new Error('unreachable')) {
      await turn()
      expect(open, 'no sync is under way to be refused').toHaveLength(1)
      open[0]?.reject(error)
      await turn()
    },
  }
}

describe('given a hub that believes its stream arrives, and sets the pace of one', () => {
  test('when the agent has no stream > it syncs at the pace without one, and at that of the hub once it has', async () => {
    const { clock, answer, setStreaming, seen } = startLoop()
    setStreaming(false)
    await answer()
    clock.advance(limits.SYNC_ACTIVE_MS - 1)
    await turn()
    expect(seen.sent).toBe(1)
    clock.advance(1)
    await answer()
    expect(seen.sent).toBe(2)
    setStreaming(true)
    clock.advance(59_999)
    await turn()
    expect(seen.sent).toBe(2)
    clock.advance(1)
    await answer()
    expect(seen.sent).toBe(3)
  })

  test('when the stream ends between two syncs > the next one is due at the pace without one', async () => {
    const { clock, answer, setStreaming, seen } = startLoop()
    await answer()
    clock.advance(20_000)
    await turn()
    expect(seen.sent).toBe(1)
    setStreaming(false)
    await answer({ nextSyncMs: 2_000 })
    expect(seen.sent, 'it was due 10 s ago').toBe(2)
    clock.advance(2_000)
    await turn()
    expect(seen.sent, 'a faster pace of the hub holds').toBe(3)
  })
})

describe('given a hub that answers', () => {
  test('when it starts > it syncs at once, then at the pace that the hub sets', async () => {
    const { clock, seen, answer } = startLoop()
    await answer({ nextSyncMs: 7_000 })
    clock.advance(6_999)
    await turn()
    expect(seen.sent).toBe(1)
    clock.advance(1)
    await turn()
    expect(seen.sent).toBe(2)
  })

  test.each([
    [0, 60_000, 54_000],
    [1, 60_000, 66_000],
  ])('when chance is %d > a pace of %d ms becomes %d ms', async (random, nextSyncMs, waitMs) => {
    const { clock, answer } = startLoop(random)
    await answer({ nextSyncMs })
    expect(clock.nextTimerMs).toBe(waitMs)
  })

  test.each([
    [false, 10_000],
    [true, 3_000],
  ])('when it sets no pace and watching is %s > it is that of an original, %d ms', async (watching, ms) => {
    const { clock, answer } = startLoop()
    const { nextSyncMs: _, ...original } = REPLY
    await answer({ ...original, watching }, original)
    expect(clock.nextTimerMs).toBe(ms)
  })

  test('when syncs are wanted during one > exactly one more follows, never two at once', async () => {
    const { loop, seen, answer } = startLoop()
    await turn()
    for (let count = 0; count < 10; count++) loop.want()
    await turn()
    expect(seen.sent).toBe(1)
    await answer()
    expect(seen.sent).toBe(2)
    await answer()
    expect([seen.sent, seen.mostAtOnce]).toEqual([2, 1])
  })

  test('when one is wanted while its reply is taken in > another follows', async () => {
    const { loop, seen, answer, setTakeIn } = startLoop()
    setTakeIn(async () => {
      setTakeIn(async () => undefined)
      loop.want()
    })
    await answer()
    expect(seen.sent).toBe(2)
  })

  test('when one is wanted after a while > it comes then, or with whatever comes before, and only once', async () => {
    const { clock, loop, seen, answer } = startLoop()
    await answer({ nextSyncMs: 60_000 })
    loop.want(30_000)
    loop.want(20_000)
    loop.want(40_000)
    await turn()
    expect(clock.nextTimerMs).toBe(20_000)
    clock.advance(20_000)
    await answer({ nextSyncMs: 60_000 })
    expect([seen.sent, clock.nextTimerMs]).toEqual([2, 60_000])
    loop.want(90_000)
    await turn()
    expect(clock.nextTimerMs, 'the pace comes first').toBe(60_000)
    clock.advance(60_000)
    await answer({ nextSyncMs: 60_000 })
    expect([seen.sent, clock.nextTimerMs], 'and brings what was wanted').toEqual([3, 60_000])
  })

  test('when one is wanted while it waits > it syncs at once', async () => {
    const { loop, seen, answer } = startLoop()
    await answer()
    loop.want()
    await turn()
    expect(seen.sent).toBe(2)
  })
})

describe('given a hub that fails', () => {
  test('when syncs are wanted meanwhile > the backoff holds, and grows', async () => {
    const { clock, loop, seen, refuse } = startLoop(0.999)
    const waits: number[] = []
    for (let failure = 1; failure <= 12; failure++) {
      await refuse()
      for (let count = 0; count < 5; count++) {
        loop.want()
        await turn()
      }
      expect(seen.sent, 'nudges made it a storm').toBe(failure)
      waits.push(clock.nextTimerMs ?? 0)
      clock.advance(clock.nextTimerMs ?? 0)
      await turn()
    }
    expect(waits[1]).toBeGreaterThan((waits[0] ?? 0) * 1.5)
    expect(Math.max(...waits)).toBeLessThanOrEqual(limits.RECONNECT_MS_MAX + 200)
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(200)
  })

  test('when a stream opens during a long backoff > it syncs at once', async () => {
    const { clock, loop, seen, refuse, answer } = startLoop(0.999)
    for (let failure = 0; failure < 8; failure++) {
      await refuse()
      clock.advance(clock.nextTimerMs ?? 0)
      await turn()
    }
    await refuse()
    const sent = seen.sent
    loop.hubIsBack()
    await turn()
    expect(seen.sent).toBe(sent + 1)
    await answer()
    expect(clock.nextTimerMs, 'it is healthy again').toBe(60_000 * (1 + 0.1 * (2 * 0.999 - 1)))
  })

  test('when it asked to wait > neither nudges nor a stream shorten that, and it is bounded', async () => {
    const { clock, loop, seen, refuse } = startLoop(0)
    await refuse(new HttpError(503, 'draining', 'later', { retryAfterMs: 40_000 }))
    loop.want()
    loop.hubIsBack()
    await turn()
    expect([seen.sent, clock.nextTimerMs]).toEqual([1, 40_000])
    clock.advance(40_000)
    await refuse(new HttpError(503, 'draining', 'later', { retryAfterMs: 1e9 }))
    expect(clock.nextTimerMs).toBe(limits.RETRY_MS_MAX)
  })

  test('when the reply cannot be taken in > that is a failure as well', async () => {
    const { seen, answer, setTakeIn } = startLoop()
    setTakeIn(() => Promise.reject(new Error('The disk is full.')))
    await answer()
    expect([seen.failures, seen.successes, seen.sent]).toEqual([1, 0, 1])
  })
})

describe('given a stop', () => {
  test.each(['while it waits', 'during a sync'])(
    'when it comes %s > run resolves, no timer stays',
    async (when) => {
      const { clock, seen, answer, stop } = startLoop()
      if (when === 'while it waits') await answer()
      else await turn()
      await stop()
      expect([clock.pendingTimers, seen.failures]).toEqual([0, 0])
    },
  )

  test('when the hub is gone > the last sync ends after LAST_SYNC_MS_MAX, or at once if it is refused', async () => {
    const { clock, loop, refuse } = startLoop(0.5, false)
    const silent = loop.last()
    await turn()
    clock.advance(limits.LAST_SYNC_MS_MAX)
    expect(await silent).toBe(false)
    const refused = loop.last()
    await refuse()
    expect(await refused).toBe(false)
    expect(clock.pendingTimers).toBe(0)
  })

  test('when the hub answers > the last sync says so', async () => {
    const { clock, loop, answer } = startLoop(0.5, false)
    const last = loop.last()
    await answer()
    expect(await last).toBe(true)
    expect(clock.pendingTimers).toBe(0)
  })
})
