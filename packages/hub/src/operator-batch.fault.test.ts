/** Many controls in one request over real sockets: distinct ones, and one for all that a selector means. */
import { limits, type Json } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { ours, startHub, type HubFixture, type Reply } from '../test/hub-fixture.ts'

const batch = (hub: HubFixture, body: Json, headers: Record<string, string> = {}): Promise<Reply> =>
  hub.operator('POST', '/api/v1/controls', body, headers)

async function controlCount(hub: HubFixture, agentId: string): Promise<number> {
  return (await hub.operator('GET', `/api/v1/agents/${agentId}/controls`)).body.items.length as number
}

async function enrollLabeled(hub: HubFixture, agentId: string, region: string): Promise<void> {
  const authKey = await hub.enrollmentKey({ labels: { region } })
  expect((await hub.exchange({ authKey, agentId })).status, 'enroll the agent').toBe(200)
}

describe('given two agents', () => {
  test('when distinct controls are sent > each is made, one that is refused says why, a repeat makes none', async () => {
    await using hub = await startHub()
    await hub.enroll('a1')
    await hub.enroll('a2')
    const items = [
      { agentId: 'a1', action: 'pause', taskId: 't1' },
      { agentId: 'a2', action: 'cancel', taskId: 't1' },
      { agentId: 'a2', action: 'pause', taskId: 't1' },
      { agentId: 'nobody', action: 'pause', taskId: 't1' },
      { agentId: 'a1', action: 'Bad verb', taskId: 't1' },
      { agentId: 'a1', action: 'pause', taskId: 't1' },
    ]
    const headers = { 'idempotency-key': 'batch-1' }
    const made = await batch(hub, { items }, headers)
    expect(made.status).toBe(200)
    expect(made.body.items).toMatchObject([
      { agentId: 'a1', taskId: 't1', controlId: expect.stringMatching(/^a1~/) },
      { agentId: 'a2', controlId: expect.stringMatching(/^a2~/) },
      { agentId: 'a2', error: 'task_cancelling', message: expect.stringContaining('Wait for the cancel') },
      { agentId: 'nobody', error: 'agent_not_found' },
      { agentId: 'a1', error: 'bad_request' },
      { agentId: 'a1', controlId: expect.stringMatching(/^a1~/) },
    ])
    expect(await controlCount(hub, 'a1'), 'two items for one task are two controls').toBe(2)
    const again = await batch(hub, { items }, headers)
    expect(again.body).toEqual(made.body)
    expect(await controlCount(hub, 'a1')).toBe(2)
  })

  test('when a batch is too large, empty, of a wrong shape or without scope > nothing is made', async () => {
    await using hub = await startHub()
    await hub.enroll('a1')
    const item = { agentId: 'a1', action: 'pause', taskId: 't1' }
    const refused: readonly [Json, Record<string, string>][] = [
      [{ items: [] }, {}],
      [{ items: Array.from({ length: limits.BATCH_CONTROLS_MAX + 1 }, () => item) }, {}],
      [{ items: [{ ...item, typo: 1 }] }, {}],
      [{ items: [item], selector: {} }, {}],
      [{ selector: { label: 'a=b=c' }, action: 'pause' }, {}],
      [{ selector: { unknown: 'x' }, action: 'pause' }, {}],
      [{ items: [item] }, { 'idempotency-key': 'k'.repeat(limits.IDEMPOTENCY_KEY_CHARS_MAX) }],
    ]
    for (const [body, headers] of refused) {
      expect((await batch(hub, body, headers)).status, JSON.stringify(body).slice(0, 80)).toBe(400)
    }
    expect(await controlCount(hub, 'a1')).toBe(0)
    await using reader = await startHub({ scopes: ['read'] })
    expect((await batch(reader, { items: [item] })).status).toBe(403)
  })

  test('when as many as fit are sent > all are made, in few commits', async () => {
    await using hub = await startHub()
    const agentIds = Array.from({ length: 10 }, (_, n) => `a${n}`)
    for (const agentId of agentIds) await hub.enroll(agentId)
    const items = Array.from({ length: limits.BATCH_CONTROLS_MAX }, (_, n) => ({
      agentId: `a${n % 10}`,
      action: 'pause',
      taskId: `t${Math.floor(n / 10)}`,
    }))
    const commits = (): number => hub.store.counts.entries.counts.reduce((sum, count) => sum + count, 0)
    const before = commits()
    const made = await batch(hub, { items })
    expect(commits() - before, 'they must share commits').toBeLessThan(items.length / 10)
    const ids = made.body.items.map((result: { controlId?: string }) => result.controlId)
    expect(new Set(ids).size, 'every control must be made, each with an id of its own').toBe(items.length)
    expect(ids).not.toContain(undefined)
  })

  test('when one agent gets more than its newest keys are, and it is repeated > none is made twice', async () => {
    await using hub = await startHub()
    await hub.enroll('a1')
    const items = Array.from({ length: limits.OPEN_CONTROLS_MAX }, (_, n) => ({
      agentId: 'a1',
      action: 'bump',
      taskId: `t${n}`,
    }))
    const key = { 'idempotency-key': 'nightly' }
    const made = await batch(hub, { items }, key)
    expect(made.body.items.at(-1)).toHaveProperty('controlId')
    expect((await batch(hub, { items }, key)).body).toEqual(made.body)
  })
})

describe('given agents with labels', () => {
  test('when a selector is sent > exactly the agents that it means get the control; a repeat makes none', async () => {
    await using hub = await startHub()
    for (const [agentId, region] of [
      ['a1', 'eu'],
      ['a2', 'us'],
      ['a3', 'eu'],
      ['a4', 'eu'],
    ] as const) {
      await enrollLabeled(hub, agentId, region)
    }
    await hub.operator('DELETE', '/api/v1/agents/a4')
    const body = { selector: { label: 'region=eu' }, action: 'pause', taskId: 'nightly' }
    const headers = { 'idempotency-key': 'all-eu' }
    const made = await batch(hub, body, headers)
    const agentIds = made.body.items.map((result: { agentId: string }) => result.agentId)
    expect(agentIds, 'one that is revoked takes nothing any more').toEqual(['a1', 'a3'])
    expect((await batch(hub, body, headers)).body).toEqual(made.body)
    expect(await controlCount(hub, 'a1')).toBe(1)
    expect(await controlCount(hub, 'a2')).toBe(0)
    const listed = await hub.operator('GET', '/api/v1/agents?label=region%3Deu')
    expect(listed.body.items.map((agent: { agentId: string }) => agent.agentId)).toEqual(['a1', 'a3', 'a4'])
    expect((await hub.operator('GET', '/api/v1/agents?label=%3D')).status).toBe(400)
  })

  test('when no task is named > every unfinished task of the kind is meant', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    const report = (taskId: string, kind: string, status: string): Json => ({
      taskId,
      kind,
      status,
      progress: 0,
      updatedAt: 1,
    })
    await agent.sync(
      ours(1, {
        tasks: [
          report('b1', 'backup', 'running'),
          report('b2', 'backup', 'completed'),
          report('s1', 'scan', 'running'),
        ],
      }),
    )
    const kind = await batch(hub, { selector: { kind: 'backup' }, action: 'pause' })
    expect(kind.body.items.map((result: { taskId: string }) => result.taskId)).toEqual(['b1'])
    const all = await batch(hub, { selector: { status: 'online' }, action: 'pause' })
    expect(all.body.items.map((result: { taskId: string }) => result.taskId)).toEqual(['b1', 's1'])
    const none = await batch(hub, { selector: { status: 'offline' }, action: 'pause' })
    expect(none.body).toEqual({ items: [] })
  })
})
