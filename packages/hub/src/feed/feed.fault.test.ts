/** The feed over real sockets: what an operator sees of a control's life, resumed by a browser's header, ended by a stop. */
import { expect, test } from 'vitest'
import { openRawStream, ours, startHub, type HubFixture, type RawStream } from '../../test/hub-fixture.ts'

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
