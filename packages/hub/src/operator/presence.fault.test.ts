/** The last changes of an agent's presence, as operators are shown them, over real sockets. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createTestClock, type TestClock } from '../../../testkit/src/test-clock.ts'
import { boot, ours, startHub, type HubFixture } from '../../test/hub-fixture.ts'
import { createHub } from '../index.ts'

let clock: TestClock
let hub: HubFixture
beforeEach(async () => {
  clock = createTestClock()
  hub = await startHub({ clock })
})
afterEach(() => hub[Symbol.asyncDispose]())

async function changes(): Promise<readonly string[]> {
  const { body } = await hub.operator('GET', '/api/v1/agents/a1')
  return (body.transitions as { status: string; reason: string }[]).map(
    ({ status, reason }) => `${status}: ${reason}`,
  )
}

test('given an agent that comes, falls silent, is copied, says good-bye and is revoked > each change is shown with why', async () => {
  const agent = await hub.enroll('a1')
  expect(await changes(), 'it was never here').toEqual([])
  await agent.sync(ours(1))
  clock.advance(60_000)
  await agent.sync(ours(2))
  await agent.sync({ ...ours(1), bootNonce: 'boot-2' })
  await agent.openStream(boot('boot-1', 3))
  await agent.call('POST', 'deregister', { agentId: 'a1', bootNonce: 'boot-2' })
  const noted = [
    'online: seen',
    'late: silent',
    'offline: silent',
    'online: seen',
    'cloned: two-copies',
    'offline: good-bye',
  ]
  expect(await changes()).toEqual(noted)
  await hub.operator('DELETE', '/api/v1/agents/a1')
  expect(await changes()).toEqual([...noted, 'revoked: revoked'])

  const listed = await hub.operator('GET', '/api/v1/agents')
  expect(listed.body.items[0], 'a list stays short').not.toHaveProperty('transitions')
  await using next = await createHub({ store: hub.store, clock })
  const reply = await fetch(new URL('/api/v1/agents/a1', await next.listen({ port: 0 })), {
    headers: { authorization: `Bearer ${hub.token}` },
  })
  const { transitions } = (await reply.json()) as { transitions: readonly unknown[] }
  expect(transitions, 'a hub that starts knows what is stored').toMatchObject([{ status: 'revoked' }])
})

test('given an agent that says what keeps it from its work (R-33) > operators see it as blocked, find it by that, and controls go on', async () => {
  const agent = await hub.enroll('a1')
  const control = { action: 'pause', taskId: 't1' }
  await hub.operator('POST', '/api/v1/agents/a1/controls', control)
  const blocked = await agent.sync(ours(1, { blockedBy: 'journal_unavailable' }))
  expect(blocked.body.controls).toMatchObject([control])
  const listed = await hub.operator('GET', '/api/v1/agents?status=blocked')
  expect(listed.body.items).toMatchObject([
    { agentId: 'a1', blockedBy: 'journal_unavailable', transport: 'poll' },
  ])
  await agent.sync(ours(2))
  const { body } = await hub.operator('GET', '/api/v1/agents/a1')
  expect(body.status).toBe('online')
  expect(body, 'what a sync leaves out is not known any more').not.toHaveProperty('blockedBy')
  expect(await changes()).toEqual(['online: seen', 'blocked: blocked', 'online: seen'])
})
