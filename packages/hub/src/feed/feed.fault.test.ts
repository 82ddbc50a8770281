/** The feed over real sockets: what an operator sees of a control's life, resumed by a browser's header, ended by a stop. */
import { createOperatorClient, type FeedEvent } from '@downlink/client'
import { expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { openRawStream, ours, startHub, type HubFixture, type RawStream } from '../../test/hub-fixture.ts'
import { createHub } from '../index.ts'

function openFeed(hub: HubFixture, query = '', headers: Record<string, string> = {}): Promise<RawStream> {
  const authorization = `Bearer ${hub.token}`
  return openRawStream(new URL(`/api/v1/events${query}`, hub.url), { authorization, ...headers })
}

test('given a control on its way > the feed shows each step, and a reader that comes back misses none', async () => {
  await using hub = await startHub()
  const agent = await hub.enroll('a1')
  await using feed = await openFeed(hub, '?after=0')
  expect(feed.headers['content-type']).toBe('text/event-stream')
  const task = { taskId: 't1', kind: 'backup', status: 'running', progress: 0, updatedAt: 1 }
  await agent.sync(ours(1, { tasks: [task] }))
  const body = { action: 'pause', taskId: 't1' }
  const made = await hub.operator('POST', '/api/v1/agents/a1/controls', body)
  const { controlId, epoch, revision } = made.body
  await feed.until(/"state":"pending"/)
  const outcomes = [{ controlId, epoch, revision, state: 'applied' }]
  await agent.sync(ours(2, { tasks: [{ ...task, status: 'paused' }], outcomes }))
  const text = await feed.until(/"observed":/)
  const ids = [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))
  expect(ids).toEqual(ids.toSorted((a, b) => a - b))
  const lastId = String(ids[0])
  await using again = await openFeed(hub, '', { 'last-event-id': lastId })
  const rest = await again.until(/"observed":/)
  expect(rest).not.toContain(`id: ${lastId}\n`)
  expect(rest.match(/^id: /gm)).toHaveLength(ids.length - 1)
})

test('given a revoked agent > the feed shows it as revoked', async () => {
  await using hub = await startHub()
  await hub.enroll('a1')
  await using feed = await openFeed(hub, '?after=0&agentId=a1')
  await hub.operator('DELETE', '/api/v1/agents/a1')
  await feed.until(/event: agent[^]*"status":"revoked"/)
})

test('given an agent that comes, falls silent, comes back and says good-bye > a feed of it shows each, and nothing runs once it is closed', async () => {
  const clock = createTestClock()
  await using hub = await startHub({ clock })
  const agent = await hub.enroll('a1')
  await agent.sync(ours(1))
  const idleTimers = clock.pendingTimers
  const feed = await openFeed(hub, '?agentId=a1')
  await feed.until(/event: begin/)
  expect(clock.pendingTimers, 'a heartbeat and a look at presence').toBe(idleTimers + 2)
  await agent.openStream()
  clock.advance(60_000)
  const text = await feed.until(/^event: agent\ndata: .*"status":"offline"/m)
  expect(text, 'presence is no place in history').not.toMatch(/event: agent\nid:/)
  await agent.sync(ours(2))
  await feed.until(/"status":"offline"[^]*"status":"online"/)
  await agent.call('POST', 'deregister', { agentId: 'a1', bootNonce: 'boot-1' })
  await feed.until(/"status":"online"[^]*"status":"offline"/)
  await feed[Symbol.asyncDispose]()
  await expect.poll(() => clock.pendingTimers, { message: 'without readers nobody looks' }).toBe(idleTimers)
})

test('given the operators’ client > it follows presence, resumes, and is told to list again when the hub has restarted', async () => {
  const clock = createTestClock()
  await using hub = await startHub({ clock })
  const agent = await hub.enroll('a1')
  const client = createOperatorClient({ url: hub.url.href, token: hub.token })
  /** Reads from `after` on until an event is as wanted, and breaks off. */
  const follow = async (
    operators: typeof client,
    after: string,
    isWanted: (event: FeedEvent) => boolean,
  ): Promise<FeedEvent> => {
    for await (const event of operators.events({ after })) if (isWanted(event)) return event
    throw new Error('The feed must not end by itself.')
  }
  const shows = (status: string) => (event: FeedEvent) =>
    event.type === 'agent' && event.agent.status === status
  const fresh = client.events()[Symbol.asyncIterator]()
  expect((await fresh.next()).value, 'what is listed from here on misses nothing').toMatchObject({
    type: 'begin',
  })
  const enrolled = await follow(client, '0', shows('offline'))
  await agent.sync(ours(1))
  expect((await fresh.next()).value).toMatchObject({ type: 'agent', agent: { status: 'online' } })
  await fresh.return?.()
  const online = await follow(client, enrolled.id, shows('online'))
  expect(online.id, 'the place in history stays').toBe(enrolled.id)
  clock.advance(60_000)
  // Whoever looks notes it, with or without readers.
  await hub.operator('GET', '/api/v1/agents/a1')
  await follow(client, online.id, shows('offline'))
  await using restarted = await createHub({ store: hub.store, clock })
  const again = createOperatorClient({ url: (await restarted.listen({ port: 0 })).href, token: hub.token })
  const reset = await follow(again, online.id, ({ type }) => type === 'reset')
  expect(reset).toEqual({ id: online.id, type: 'reset', reason: 'hub_restarted' })
})

test('given a wrong place, an unknown agent or no scope > the feed is refused', async () => {
  await using hub = await startHub()
  for (const [query, status] of [
    ['?after=x', 400],
    ['?agentId=nobody', 404],
    ['?typo=1', 400],
  ] as const) {
    await using refused = await openFeed(hub, query)
    expect(refused.status, query).toBe(status)
  }
  await using open = await openFeed(hub)
  await using forged = await openFeed(hub, '', { 'last-event-id': '1 or 1=1' })
  await using ahead = await openFeed(hub, '', { 'last-event-id': '999999999' })
  await ahead.until(/event: reset/)
  await using nobody = await openRawStream(new URL('/api/v1/events', hub.url), {})
  expect([open.status, forged.status, nobody.status]).toEqual([200, 400, 401])
})

test('given a hub that stops > its feeds end', async () => {
  await using hub = await startHub()
  await using feed = await openFeed(hub)
  await hub.hub.drain()
  await feed.ended
})
