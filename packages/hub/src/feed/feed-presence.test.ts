/** Agents on the feed whose presence changes: coalesced, in order with history, resumed, and bounded. */
import { limits } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { ANY, setUp, TextSink } from '../../test/feed-fixture.ts'

/** A live reader from now on. */
async function openLive({ feed }: ReturnType<typeof setUp>, agentId?: string): Promise<TextSink> {
  const sink = new TextSink()
  feed.subscribe(sink, { ...ANY, ...(agentId === undefined ? {} : { agentId }) })
  await expect
    .poll(() => sink.text, { message: 'a reader is told where it begins' })
    .toContain('event: begin')
  return sink
}

test('given changes of presence > readers get the record as it is then, once for all changes of a turn, and no id', async () => {
  const hub = setUp()
  const sink = await openLive(hub)
  const other = await openLive(hub, 'b')
  hub.presence.change('a', 'online')
  hub.presence.change('b', 'online')
  hub.presence.change('a', 'late')
  hub.presence.change('a', 'offline')
  await expect.poll(() => sink.told).toEqual(['begin 0', 'agent a offline', 'agent b online'])
  expect(sink.text).toContain(
    'event: agent\ndata: {"type":"agent","agent":{"agentId":"a","status":"offline"}}\n\n',
  )
  expect(other.told, 'a reader of one agent gets that agent only').toEqual(['begin 0', 'agent b online'])
})

test('given an agent that changes while a fact about it is told > what is newer comes last', async () => {
  const gate = Promise.withResolvers<void>()
  const reading = Promise.withResolvers<void>()
  const hub = setUp(undefined, {
    readAgent() {
      reading.resolve()
      return gate.promise
    },
  })
  const sink = await openLive(hub)
  hub.presence.statuses.set('a', 'online')
  await hub.commitAgent('a')
  await reading.promise
  hub.presence.change('a', 'offline')
  gate.resolve()
  await expect.poll(() => sink.told).toEqual(['begin 0', 'agent 1 a online', 'agent a offline'])
})

test('given a fact whose record is being read while all readers go > who comes then is not told of it, having begun behind it', async () => {
  const gate = Promise.withResolvers<void>()
  const reading = Promise.withResolvers<void>()
  const hub = setUp(undefined, {
    readAgent() {
      reading.resolve()
      return gate.promise
    },
  })
  const gone = new TextSink()
  const subscribed = hub.feed.subscribe(gone, ANY)
  await expect.poll(() => gone.text).toContain('event: begin')
  await hub.commitAgent('a')
  await reading.promise
  subscribed[Symbol.dispose]()
  const sink = await openLive(hub)
  gate.resolve()
  await hub.commit('b')
  await expect.poll(() => sink.told).toEqual(['begin 1', 'control 2'])
})

test('given a fact that is committed after a change > the change is told before, so that the place of the fact stands for both', async () => {
  const gate = Promise.withResolvers<void>()
  const reading = Promise.withResolvers<void>()
  const hub = setUp(undefined, {
    readAgent() {
      reading.resolve()
      return gate.promise
    },
  })
  const sink = await openLive(hub)
  hub.presence.change('a', 'late')
  await reading.promise
  // While the feed reads that, so that it finds both of these at once.
  hub.presence.change('b', 'offline')
  await hub.commit('c')
  gate.resolve()
  await expect.poll(() => sink.told).toEqual(['begin 0', 'agent a late', 'agent b offline', 'control 1'])
})

test('given a reader that comes back within the life of the hub > it gets whose presence changed since its place, then history', async () => {
  const hub = setUp()
  await hub.commit('a', 3)
  hub.presence.change('before', 'online', 0)
  hub.presence.change('since', 'offline', 1)
  const [sink, other, fromFirst] = [new TextSink(), new TextSink(), new TextSink()]
  hub.feed.subscribe(sink, { ...ANY, after: 2 })
  hub.feed.subscribe(other, { ...ANY, after: 2, agentId: 'other' })
  hub.feed.subscribe(fromFirst, { ...ANY, after: 0 })
  await expect.poll(() => sink.told).toEqual(['agent since offline', 'control 3'])
  await expect.poll(() => fromFirst.told, { message: 'history shows all agents' }).toHaveLength(3)
  hub.presence.change('other', 'late')
  await expect.poll(() => other.told).toEqual(['agent other late'])
})

test('given a reader that is behind > what changes meanwhile comes before what was committed later', async () => {
  const hub = setUp()
  await hub.commit('a', limits.FEED_PAGE_MAX + 1)
  const sink = new TextSink()
  sink.stall()
  hub.feed.subscribe(sink, { ...ANY, after: 0 })
  await expect.poll(() => sink.ids).toHaveLength(limits.FEED_PAGE_MAX)
  hub.presence.change('b', 'late')
  sink.release()
  await expect
    .poll(() => sink.told.slice(limits.FEED_PAGE_MAX))
    .toEqual(['agent b late', `control ${limits.FEED_PAGE_MAX + 1}`])
})

test('given a reader whose place is older than the hub > it is told to read the listings again, and history goes on', async () => {
  const hub = setUp(undefined, { bornAt: 2 })
  await hub.commit('a', 3)
  hub.presence.change('b', 'online')
  const [old, last, young] = [new TextSink(), new TextSink(), new TextSink()]
  for (const [after, sink] of [old, last, young].entries())
    hub.feed.subscribe(sink, { ...ANY, after: after + 1 })
  await expect.poll(() => old.told).toEqual(['reset 1 hub_restarted', 'control 2', 'control 3'])
  await expect.poll(() => last.told).toEqual(['reset 2 hub_restarted', 'control 3'])
  await expect.poll(() => young.told).toEqual(['agent b online'])
})

test('given more than FEED_PRESENCE_MAX agents that change at once > all readers are told to read the listings again, and the feed goes on', async () => {
  const hub = setUp()
  await hub.commit('a')
  const live = await openLive(hub)
  const late = new TextSink()
  for (let n = 0; n <= limits.FEED_PRESENCE_MAX; n++) hub.presence.change(`a${n}`, 'offline')
  const ofOne = new TextSink()
  hub.feed.subscribe(late, { ...ANY, after: 1 })
  hub.feed.subscribe(ofOne, { ...ANY, after: 1, agentId: 'a1' })
  await expect.poll(() => live.told).toEqual(['begin 1', 'reset 1 many_changes'])
  await expect.poll(() => late.told).toEqual(['reset 1 many_changes'])
  await expect
    .poll(() => ofOne.told, { message: 'of the one that it is to be told of, there are not too many' })
    .toEqual(['agent a1 offline'])
  for (let n = 0; n < limits.FEED_PRESENCE_MAX; n++) hub.presence.change(`a${n}`, 'online')
  await expect.poll(() => live.told).toHaveLength(2 + limits.FEED_PRESENCE_MAX)
  await expect.poll(() => late.told.at(-1)).toBe(`agent a${limits.FEED_PRESENCE_MAX - 1} online`)
})

test('given a reader that stands still > changes of presence end it as well', async () => {
  const hub = setUp()
  const sink = await openLive(hub)
  sink.stall()
  hub.presence.change('a', 'late')
  await expect.poll(() => sink.isEnded).toBe(true)
})

test('given records that cannot be read for a while > no change is lost', async () => {
  let isFailing = true
  const hub = setUp(undefined, {
    async readAgent() {
      if (isFailing) throw new Error('disk')
    },
  })
  const sink = await openLive(hub)
  hub.presence.change('a', 'late')
  await expect.poll(() => hub.clock.nextTimerMs, { message: 'it must try again' }).toBe(limits.FEED_RETRY_MS)
  isFailing = false
  hub.clock.advance(limits.FEED_RETRY_MS)
  await expect.poll(() => sink.told).toEqual(['begin 0', 'agent a late'])
})

test('given a feed > presence is watched while somebody reads it, by one only', () => {
  const { feed, presence } = setUp()
  expect(presence.watchers).toBe(0)
  const readers = [feed.subscribe(new TextSink(), ANY), feed.subscribe(new TextSink(), ANY)]
  expect(presence.watchers).toBe(1)
  for (const reader of readers) reader[Symbol.dispose]()
  expect(presence.watchers).toBe(0)
})
