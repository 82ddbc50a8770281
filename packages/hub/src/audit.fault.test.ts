/** The audit trail over real sockets: what it has of each act, by agent, control and time, and how long it is kept. */
import { limits } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { ours, startHub, type HubFixture } from '../test/hub-fixture.ts'
import { createTestClock } from '../../testkit/src/test-clock.ts'

interface Fact {
  readonly id: string
  readonly at: string
  readonly kind: string
  readonly agentId?: string
  readonly controlId?: string
  readonly data: {
    readonly by?: string
    readonly keyId?: string
    readonly enrollmentKeyId?: string
    readonly outcome?: { readonly state: string }
  }
}

async function audit(hub: HubFixture, query = ''): Promise<readonly Fact[]> {
  const reply = await hub.operator('GET', `/api/v1/audit${query}`)
  expect(reply.status, JSON.stringify(reply.body)).toBe(200)
  return reply.body.items as readonly Fact[]
}

test('given all that operators and an agent did > the trail has each act, by whom, in order', async () => {
  await using hub = await startHub()
  const agent = await hub.enroll('a1')
  await hub.enroll('a2')
  const task = { taskId: 't1', kind: 'backup', status: 'running', progress: 0, updatedAt: 1 }
  await agent.sync(ours(1, { tasks: [task] }))
  const made = await hub.operator('POST', '/api/v1/agents/a1/controls', { action: 'cancel', taskId: 't1' })
  const { controlId, epoch, revision } = made.body
  const outcomes = [{ controlId, epoch, revision, state: 'applied' }]
  await agent.sync(ours(2, { tasks: [{ ...task, status: 'cancelled' }], outcomes }))
  const keyId = (await hub.operator('POST', '/api/v1/enrollment-keys', {})).body.id as string
  await hub.operator('DELETE', `/api/v1/enrollment-keys/${keyId}`)
  await hub.operator('DELETE', `/api/v1/enrollment-keys/${keyId}`)
  await hub.operator('DELETE', '/api/v1/agents/a1')

  const own = await audit(hub, '?agentId=a1')
  const kinds = own.map(({ kind }) => kind)
  expect(kinds[0]).toBe('agent.enrolled')
  const enrolledBy = (await audit(hub)).find(({ kind }) => kind === 'enrollment_key.created')?.data.keyId
  expect(own[0]?.data.enrollmentKeyId, 'which key let it in').toBe(enrolledBy)
  expect(kinds.at(-1)).toBe('agent.revoked')
  expect(own.at(-1)?.data.by).toBe('ada')
  const ofControl = await audit(hub, `?controlId=${encodeURIComponent(controlId as string)}`)
  expect(ofControl.map(({ kind }) => kind)).toEqual([
    'control.created',
    'control.settled',
    'control.observed',
  ])
  expect(ofControl.map(({ data }) => data.outcome?.state)).toEqual(['pending', 'applied', 'applied'])
  const all = await audit(hub)
  const ofKeys = all.filter(
    ({ kind, data }) => kind.startsWith('enrollment_key.') && 'keyId' in data && data.keyId === keyId,
  )
  expect(
    ofKeys.map(({ kind, data }) => [kind, data.by]),
    'revoking twice is one act',
  ).toEqual([
    ['enrollment_key.created', 'ada'],
    ['enrollment_key.revoked', 'ada'],
  ])
  expect(ofKeys[0]).not.toHaveProperty('agentId')
  expect(JSON.stringify(all), 'the trail must hold no secret').not.toMatch(/dl[aeo]\.[^"]*\.[^"]{8}/)

  const first = await hub.operator('GET', '/api/v1/audit?limit=2')
  expect(first.body.items).toEqual(all.slice(0, 2))
  expect(await audit(hub, `?limit=2&cursor=${first.body.nextCursor}`)).toEqual(all.slice(2, 4))
  for (const later of ['2999-01-01', '2999-01-01T00:00:00Z', '2999-01-01T00:00%2B01:00']) {
    expect(await audit(hub, `?since=${later}`)).toEqual([])
  }
})

test('given each act of an operator > the trail says who did it', async () => {
  await using hub = await startHub()
  await hub.enroll('a1')
  const post = (path: string, body = {}): Promise<unknown> => hub.operator('POST', `/api/v1/${path}`, body)
  await post('operator-tokens', { name: 'bob', scopes: ['read'] })
  await post('enrollment-keys')
  await post('agents/a1/tasks', { kind: 'k', taskId: 't1' })
  await post('agents/a1/controls', { action: 'pause', taskId: 't1' })
  await post('controls', { items: [{ agentId: 'a1', action: 'cancel', taskId: 't1' }] })
  await hub.operator('POST', '/api/v1/agents/a1/rotate-key')
  await hub.operator('DELETE', '/api/v1/agents/a1')
  const acts = new Set(
    (await audit(hub))
      .filter(({ data }) => {
        const { by, stamps } = data as { by?: string; stamps?: { created: { by: string } } }
        return (by ?? stamps?.created.by) === 'ada'
      })
      .map(({ kind }) => kind),
  )
  expect(acts).toEqual(
    new Set([
      'enrollment_key.created',
      'operator_token.created',
      'task.created',
      'control.created',
      'control.settled',
      'agent.rotation_asked',
      'agent.revoked',
    ]),
  )
})

test('given a wrong question or no scope > it is refused', async () => {
  await using hub = await startHub()
  for (const query of [
    '?since=yesterday',
    '?since=2026-01-31T12:00:00',
    '?since=2026-01-31T12:00:00+01:00', // + is a space in a query
    '?cursor=x',
    '?controlId=x',
    '?agentId=a2&controlId=a1~00',
    '?limit=0',
  ]) {
    expect((await hub.operator('GET', `/api/v1/audit${query}`)).status, query).toBe(400)
  }
  await using control = await startHub({ scopes: ['control'] })
  expect((await control.operator('GET', '/api/v1/audit')).status).toBe(403)
})

test('given history past its age > it is dropped in the hour, a bounded number at a time, and newer is kept', async () => {
  const clock = createTestClock()
  const counts: number[] = []
  const before = limits.HISTORY_PRUNE_MAX + 10
  const fact = { agentId: 'a1', atMs: clock.wallMs() - 2 * limits.HISTORY_MS_MIN, kind: 'k', data: null }
  const history = Array.from({ length: before }, () => fact)
  let written: Promise<void> | undefined
  await using hub = await startHub({
    clock,
    hub: { historyMs: limits.HISTORY_MS_MIN },
    wrapStore: (store) => {
      written = store.update('agents', 'x', () => ({ document: {}, history, result: undefined }))
      const pruneHistory = store.pruneHistory.bind(store)
      store.pruneHistory = async (...request) => {
        const count = await pruneHistory(...request)
        counts.push(count)
        return count
      }
      return store
    },
  })
  await written
  await hub.enroll('a1')
  clock.advance(limits.HISTORY_PRUNE_REST_MS)
  await expect.poll(() => counts).toEqual([limits.HISTORY_PRUNE_MAX])
  clock.advance(limits.HISTORY_PRUNE_REST_MS)
  await expect.poll(() => counts).toEqual([limits.HISTORY_PRUNE_MAX, 10])
  expect((await audit(hub)).map(({ kind }) => kind)).toEqual([
    'operator_token.created',
    'enrollment_key.created',
    'agent.enrolled',
  ])
  clock.advance(limits.HISTORY_PRUNE_EVERY_MS)
  await expect.poll(() => counts.length).toBe(3)
})
