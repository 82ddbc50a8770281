/** What an agent says of itself, over real sockets: it is found by that, also at a hub that has not heard it yet. */
import { expect, test } from 'vitest'
import { ours, startHub, type HubFixture } from '../../test/hub-fixture.ts'
import { createHub } from '../index.ts'

async function found(hub: Pick<HubFixture, 'url' | 'token'>, label: string): Promise<readonly object[]> {
  const path = `/api/v1/agents?label=${encodeURIComponent(label)}`
  const headers = { authorization: `Bearer ${hub.token}` }
  const reply = await fetch(new URL(path, hub.url), { headers })
  return ((await reply.json()) as { items: readonly object[] }).items
}

const commitsOf = ({ store }: HubFixture): number =>
  store.counts.entries.counts.reduce((sum, count) => sum + count, 0)

test('given labels of its own > the next hub selects by them before the agent has said them again', async () => {
  await using hub = await startHub()
  const agent = await hub.enroll('a1')
  const said = { labels: { region: 'eu' }, name: 'Box', version: '1.2.0', os: 'linux' }
  await agent.sync(ours(1, said))
  const known = [{ agentId: 'a1', name: 'Box', version: '1.2.0', os: 'linux', labels: { region: 'eu' } }]
  expect(await found(hub, 'region=eu')).toMatchObject(known)
  const commits = commitsOf(hub)
  await agent.sync(ours(2, said))
  expect(commitsOf(hub) - commits, 'saying the same again is not worth a commit').toBe(0)

  await using next = await createHub({ store: hub.store })
  const url = await next.listen({ port: 0 })
  expect(await found({ url, token: hub.token }, 'region=eu')).toMatchObject(known)
  expect(await found({ url, token: hub.token }, 'region=us')).toEqual([])
})

test('given an agent that was started again without its label > it is no longer found by it', async () => {
  await using hub = await startHub()
  const agent = await hub.enroll('a1')
  await agent.sync(ours(1, { labels: { canary: 'yes' } }))
  await agent.sync({ journalId: 'journal-1', bootNonce: 'boot-2', connectCounter: 1 })
  expect(await found(hub, 'canary')).toEqual([])
  await using next = await createHub({ store: hub.store })
  expect(await found({ url: await next.listen({ port: 0 }), token: hub.token }, 'canary')).toEqual([])
})
