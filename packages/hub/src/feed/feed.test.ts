/** The feed over a store in memory: order, resume, filter, slow readers, a failing store. */
import { limits, systemClock } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { ANY, setUp, TextSink } from '../../test/feed-fixture.ts'
import { createMemoryStore } from '../store/memory-store.ts'
import type { Store } from '../store/store.ts'

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index)

test('given a reader from now on > it gets what happens afterwards, whole, in order and once', async () => {
  const { feed, commit } = setUp()
  await commit('a', 3)
  const sink = new TextSink()
  feed.subscribe(sink, ANY)
  await expect.poll(() => sink.text).toContain('event: begin\nid: 3\n')
  await commit('a')
  await commit('b', limits.FEED_PAGE_MAX)
  await expect.poll(() => sink.ids).toEqual(range(4, limits.FEED_PAGE_MAX + 4))
  expect(sink.text).toContain(
    'event: control\nid: 4\ndata: {"id":"4","type":"control","control":{"controlId":"a~0","agentId":"a"}}\n\n',
  )
  feed[Symbol.dispose]()
  expect(sink.isEnded, 'a feed that stops ends its readers').toBe(true)
})

test('given readers that come back at any place while others listen > each misses and repeats nothing', async () => {
  const { feed, commit } = setUp()
  const total = 3 * limits.FEED_PAGE_MAX
  await commit('a', total)
  const live = new TextSink()
  feed.subscribe(live, { ...ANY, after: total })
  const sinks = [0, 1, limits.FEED_PAGE_MAX, total - 1].map((after) => {
    const sink = new TextSink()
    feed.subscribe(sink, { ...ANY, after })
    return { after, sink }
  })
  for (let n = 0; n < 20; n++) await commit('b')
  for (const { after, sink } of sinks) {
    await expect
      .poll(() => sink.ids, { message: `the reader after ${after} must get all that follows` })
      .toEqual(range(after + 1, total + 20))
  }
  await expect.poll(() => live.ids).toEqual(range(total + 1, total + 20))
})

test('given a reader that comes when all others have gone > it begins where history then ends', async () => {
  const inner = createMemoryStore()
  const reading = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  const store: Store = Object.assign(Object.create(inner) as Store, {
    update: inner.update.bind(inner),
    watchHistory: inner.watchHistory.bind(inner),
    lastHistorySequence: () => inner.lastHistorySequence(),
    async readHistory(...request: Parameters<Store['readHistory']>) {
      reading.resolve()
      await held.promise
      return inner.readHistory(...request)
    },
  })
  const { feed, commit } = setUp(store)
  const first = new TextSink()
  const subscribed = feed.subscribe(first, ANY)
  await expect.poll(() => first.text).toContain('event: begin')
  await commit('a')
  await reading.promise
  // Its last reader goes while the feed reads what is new.
  subscribed[Symbol.dispose]()
  held.resolve()
  await new Promise(setImmediate)
  const next = new TextSink()
  feed.subscribe(next, ANY)
  await expect.poll(() => next.text).toContain('event: begin\nid: 1\n')
})

test('given a reader of one agent > it gets that agent only', async () => {
  const { feed, commit } = setUp()
  const sink = new TextSink()
  feed.subscribe(sink, { ...ANY, after: 0, agentId: 'b' })
  await commit('a')
  await commit('b')
  await commit('a')
  await commit('b')
  await expect.poll(() => sink.ids).toEqual([2, 4])
})

test.each([
  ['was dropped by age', 1],
  ['was never in this store', 99],
])('given a reader whose place %s > it is told to read the listings again', async (_, after) => {
  const store = createMemoryStore()
  const { feed, commit } = setUp(store)
  await commit('a', 5)
  await store.pruneHistory(systemClock.wallMs(), 4)
  const sink = new TextSink()
  feed.subscribe(sink, { ...ANY, after })
  await expect.poll(() => sink.text).toContain('event: reset\nid: 5\n')
  await commit('a')
  await expect.poll(() => sink.ids).toEqual([6])
})

test('given a reader that stands still while it catches up > it is told of what was dropped by age meanwhile', async () => {
  const store = createMemoryStore()
  const { feed, commit } = setUp(store)
  await commit('a', 2 * limits.FEED_PAGE_MAX)
  const sink = new TextSink()
  sink.stall()
  feed.subscribe(sink, { ...ANY, after: 0 })
  await expect.poll(() => sink.ids).toHaveLength(limits.FEED_PAGE_MAX)
  await store.pruneHistory(systemClock.wallMs(), limits.FEED_PAGE_MAX + 1)
  sink.release()
  await expect.poll(() => sink.text).toContain(`event: reset\nid: ${2 * limits.FEED_PAGE_MAX}\n`)
  await commit('a')
  await expect.poll(() => sink.ids.at(-1)).toBe(2 * limits.FEED_PAGE_MAX + 1)
  expect(sink.ids, 'what is behind the gap must not look as if there were none').toHaveLength(
    limits.FEED_PAGE_MAX + 1,
  )
})

test('given a reader that stands still > it is ended when it is live, and waited for while it catches up', async () => {
  const { feed, commit } = setUp()
  await commit('a', 2 * limits.FEED_PAGE_MAX)
  const late = new TextSink()
  late.stall()
  feed.subscribe(late, { ...ANY, after: 0 })
  await expect.poll(() => late.ids).toHaveLength(limits.FEED_PAGE_MAX)
  const live = new TextSink()
  feed.subscribe(live, ANY)
  await expect.poll(() => live.text).toContain('event: begin')
  live.stall()
  await commit('a')
  await expect.poll(() => live.isEnded).toBe(true)
  expect(late.isEnded).toBe(false)
  expect(late.ids, 'nothing more is queued for one that stands still').toHaveLength(limits.FEED_PAGE_MAX)
  late.release()
  await expect.poll(() => late.ids).toEqual(range(1, 2 * limits.FEED_PAGE_MAX + 1))
})

test('given a store that fails for a while > the feed goes on where it was', async () => {
  const inner = createMemoryStore()
  let failing = false
  const store: Store = Object.assign(Object.create(inner) as Store, {
    update: inner.update.bind(inner),
    watchHistory: inner.watchHistory.bind(inner),
    lastHistorySequence: () => inner.lastHistorySequence(),
    readHistory: (...request: Parameters<Store['readHistory']>) =>
      failing ? Promise.reject(new Error('disk')) : inner.readHistory(...request),
  })
  const { feed, clock, commit } = setUp(store)
  const sink = new TextSink()
  feed.subscribe(sink, ANY)
  await expect.poll(() => sink.text).toContain('event: begin')
  failing = true
  await commit('a')
  await expect.poll(() => clock.pendingTimers).toBeGreaterThan(1)
  failing = false
  clock.advance(limits.FEED_RETRY_MS)
  await expect.poll(() => sink.ids).toEqual([1])
})

test('given as many readers as fit > one more is refused, until one has gone; heartbeats go to all', async () => {
  const { feed, clock } = setUp()
  const sinks = range(1, limits.FEED_STREAMS_MAX).map(() => new TextSink())
  const [first] = sinks.map((sink, index) => feed.subscribe(sink, { tokenId: String(index % 8) }))
  expect(() => feed.subscribe(new TextSink(), ANY)).toThrow(`already has ${limits.FEED_STREAMS_MAX}`)
  first?.[Symbol.dispose]()
  feed.subscribe(new TextSink(), ANY)
  clock.advance(limits.HEARTBEAT_MS_DEFAULT)
  expect(
    sinks.slice(1).every(({ text }) => text.includes(': hb\n')),
    'each open reader gets a heartbeat',
  ).toBe(true)
})

test('given as many readers of one token as fit > one more is refused, and another token has its own', () => {
  const { feed } = setUp()
  const subscribe = (tokenId: string): Disposable => feed.subscribe(new TextSink(), { tokenId })
  const [first] = range(1, limits.FEED_STREAMS_PER_TOKEN_MAX).map(() => subscribe('greedy'))
  expect(() => subscribe('greedy')).toThrow(`This token already has ${limits.FEED_STREAMS_PER_TOKEN_MAX}`)
  expect(() => subscribe('other')).not.toThrow()
  first?.[Symbol.dispose]()
  expect(() => subscribe('greedy')).not.toThrow()
})

test('given a token that is revoked or expires > its readers are ended, and no others', () => {
  const store = createMemoryStore()
  const { feed, clock } = setUp(store)
  const [revoked, expiring, other] = [new TextSink(), new TextSink(), new TextSink()]
  feed.subscribe(revoked, { tokenId: 'revoked' })
  feed.subscribe(expiring, { tokenId: 'expiring', expiresAtServiceMs: store.serviceMs() })
  feed.subscribe(other, { ...ANY, expiresAtServiceMs: store.serviceMs() + limits.FEED_SILENCE_MS })
  feed.endOf('revoked')
  expect([revoked, expiring, other].map(({ isEnded }) => isEnded)).toEqual([true, false, false])
  clock.advance(limits.HEARTBEAT_MS_DEFAULT)
  expect([expiring, other].map(({ isEnded }) => isEnded)).toEqual([true, false])
})
