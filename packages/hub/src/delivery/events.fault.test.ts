/** GET events over real sockets: what a stream begins with, whatever its request claims to have seen. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { boot, ours, startHub, type AgentFixture, type HubFixture } from '../../test/hub-fixture.ts'

let hub: HubFixture
let agent: AgentFixture
beforeEach(async () => {
  hub = await startHub()
  agent = await hub.enroll('a1')
  await agent.sync(ours(1))
})
afterEach(() => hub[Symbol.asyncDispose]())

/** Opens controls of several lanes; the ids in the order of their revisions. */
async function openControls(): Promise<readonly string[]> {
  const ids: string[] = []
  for (const [action, taskId] of [
    ['pause', 't3'],
    ['rescan', 't1'],
    ['cancel', 't2'],
    ['pause', 't1'],
  ]) {
    const made = await hub.operator('POST', '/api/v1/agents/a1/controls', { action, taskId } as never)
    ids.push(made.body.controlId as string)
  }
  return ids
}

/** The ids of the controls in a stream's text, in their order. */
function idsIn(text: string): readonly string[] {
  return [...text.matchAll(/"controlId":"([^"]+)"/g)].map(([, id = '']) => id)
}

test('given open controls of several lanes > all follow the preamble, in the order of their revisions', async () => {
  const ids = await openControls()
  await using stream = await agent.openStream(boot('boot-1', 2))
  const text = await stream.until(new RegExp(ids.at(-1) ?? ''))
  expect(text).toMatch(/^retry: 2000\n: connected hb=100\n\n: window w=\d+\n\nevent: command\n/)
  expect(idsIn(text)).toEqual(ids)
})

test('given streams that claim to have seen everything > Last-Event-ID is not believed: each begins as any other', async () => {
  const ids = await openControls()
  let counter = 2
  for (const id of ['0', '999999999', '-1', '1 or 1=1', ids.at(-1) ?? '', 'x'.repeat(8_000)]) {
    await using stream = await agent.openStream({ ...boot('boot-1', counter++), 'last-event-id': id })
    expect([stream.status, idsIn(await stream.until(new RegExp(ids.at(-1) ?? '')))]).toEqual([200, ids])
    expect(stream.text, 'nothing gives a client an id to send').not.toMatch(/^id:/m)
  }
  await using original = await agent.openStream({ 'last-event-id': ids.at(-1) ?? '' })
  expect(idsIn(await original.until(/event: sync/))).toEqual([ids[0], ids[2], ids[3]])
})
