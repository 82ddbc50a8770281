/** What agents report over real sockets: originals between two syncs, and messages that are wrong in every way. */
import { limits } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ours, startHub, type AgentFixture, type HubFixture } from '../test/hub-fixture.ts'

let hub: HubFixture
let agent: AgentFixture
beforeEach(async () => {
  hub = await startHub()
  agent = await hub.enroll('a1')
})
afterEach(() => hub[Symbol.asyncDispose]())

const running = { taskId: 't1', status: 'downloading', progress: 0.25, updatedAt: 1 }
const tasksOf = async (): Promise<unknown[]> =>
  (await hub.operator('GET', '/api/v1/agents/a1/tasks')).body.items as unknown[]

describe('given an original (R-43)', () => {
  test('when it says how a task goes > it is shown at once, and what it leaves out stays', async () => {
    await agent.sync({ tasks: [{ ...running, message: 'first half' }] })
    const one = await agent.call('POST', 'status', { taskId: 't1', progress: 0.5 })
    expect(one.body).toEqual({ results: [{ success: true }], watching: false })
    expect(await tasksOf()).toMatchObject([{ state: 'running', progress: 0.5, message: 'first half' }])
    const several = await agent.call('POST', 'status', {
      updates: [
        { taskId: 't1', status: 'completed', progress: 1 },
        { taskId: 'unknown', status: 'error', errorMessage: 'disk full' },
        { status: 'no id' },
        7,
      ],
    })
    expect(several.body, 'a failure for one would make it drop the task').toEqual({
      results: Array(4).fill({ success: true }),
      watching: true,
    })
    expect(await tasksOf()).toMatchObject([
      { taskId: 't1', state: 'completed', progress: 1 },
      { taskId: 'unknown', state: 'failed', errorMessage: 'disk full' },
    ])
    await agent.sync({ tasks: [running] })
    expect(await tasksOf(), 'a sync is the truth').toMatchObject([{ taskId: 't1', state: 'running' }])
  })

  test('when its user overrules a control that it was given > it is superseded by local, and stays so', async () => {
    await agent.sync({ tasks: [running] })
    const made = await hub.operator('POST', '/api/v1/agents/a1/controls', { action: 'pause', taskId: 't1' })
    const { controlId } = made.body as { controlId: string }
    await hub.operator('POST', '/api/v1/agents/a1/controls', { action: 'pause', taskId: 't2' })
    expect((await agent.sync({ tasks: [running] })).body.controls).toHaveLength(2)
    const waiting = hub.operator('GET', `/api/v1/controls/${controlId}?wait=30s&until=observed`)
    const reply = await agent.call('POST', 'task-control', {
      agentId: 'a1',
      taskId: 't1',
      action: 'resume',
      reason: 'needed now',
      deleteFiles: false,
    })
    expect([reply.status, reply.body]).toEqual([200, { success: true }])
    expect((await waiting).body).toMatchObject({
      outcome: { state: 'superseded', byControlId: 'local' },
      mayHaveApplied: true,
    })
    const { body } = await agent.sync({ tasks: [running] })
    expect(body.controls, 'the other task’s control is still handed out').toMatchObject([{ taskId: 't2' }])
    const history = await hub.store.readHistory({ agentId: 'a1' }, { after: 0, limit: limits.PAGE_MAX })
    expect(history.filter((entry) => entry.kind === 'task.decided_locally')).toMatchObject([
      { taskId: 't1', data: { action: 'resume', reason: 'needed now' } },
    ])
    const unknown = { agentId: 'a1', taskId: 'nobody-knows', action: 'cancel' }
    expect((await agent.call('POST', 'task-control', unknown)).body).toEqual({ success: true })
  })
})

/** Sends a body as it is, and asks for something else meanwhile. */
async function post(path: string, body: string | Uint8Array): Promise<{ status: number; body: unknown }> {
  const sent = fetch(new URL(`/api/internal/agent/${path}`, hub.url), {
    method: 'POST',
    headers: { authorization: `Bearer ${agent.apiKey}` },
    body: body as string,
  })
  expect((await hub.operator('GET', '/healthz')).status, 'the hub must answer others meanwhile').toBe(200)
  const response = await sent
  return { status: response.status, body: await response.json() }
}

const sync = (more: string): string => `{"agentId":"a1","tasks":[],"freeSlots":1,"journalId":"j",${more}}`
const many = (item: string, count = 100_000): string => `[${Array(count).fill(item).join(',')}]`

describe('given a sync that is wrong', () => {
  test.for<[string, string]>([
    ['100,000 tasks', `"tasks":${many('{}')}`],
    ['100,000 numbers as tasks', `"tasks":${many('1')}`],
    ['100,000 outcomes', `"outcomes":${many('7')}`],
    ['100,000 receipts', `"received":${many('"x"')}`],
    ['100,000 decisions', `"decisions":${many('[]')}`],
    ['100,000 nested arrays', `"x":${many('[[]]')}`],
    ['100,000 unknown fields', Array.from({ length: 70_000 }, (_, n) => `"f${n}":1`).join(',')],
    ['100,000 labels', `"labels":{${Array.from({ length: 60_000 }, (_, n) => `"${n}":"x"`).join(',')}}`],
    ['a prototype', '"__proto__":{"tasks":[1]},"constructor":{"prototype":{"bad":1}}'],
    ['a prototype in labels', '"labels":{"__proto__":"x","toString":"y"}'],
    ['a prototype as an outcome', '"outcomes":[{"__proto__":{"controlId":"a1~1","state":"applied"}}]'],
    ['wrong types', '"tasks":{},"freeSlots":"9","outcomes":"x","received":7,"decisions":null,"labels":[]'],
    ['huge numbers', '"freeSlots":1e400,"connectCounter":9007199254740993,"bootNonce":"b"'],
    ['negative numbers', '"freeSlots":-1,"connectCounter":-5,"heartbeat":{"counter":-1}'],
    ['a log of 100,000 lines', `"tasks":[{"taskId":"t","log":{"nextLine":100000,"lines":${many('"x"')}}}]`],
    ['a log that ends nowhere', '"tasks":[{"taskId":"t","log":{"nextLine":9007199254740991,"lines":["x"]}}]'],
    ['lone surrogates', '"name":"\\ud800","tasks":[{"taskId":"\\udfff","status":"running"}]'],
    ['control characters', '"name":"\\u0000\\u001b[31m","version":"\\n"'],
  ])('when it has %s > it is answered within its bounds, and the next one counts', async ([, more]) => {
    const reply = await post('sync', sync(more))
    expect([reply.status, reply.body]).toEqual([200, expect.objectContaining({ controls: [], newTasks: [] })])
    const { acked } = reply.body as { acked: string[] }
    expect(acked.length).toBeLessThanOrEqual(2 * limits.REPORTS_PER_SYNC_MAX)
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('bad')
    const shown = await hub.operator('GET', '/api/v1/agents/a1')
    expect(shown.status).toBe(200)
    expect(shown.body.taskCount).toBeLessThanOrEqual(limits.TASKS_PER_SYNC_MAX)
    expect(Object.keys(shown.body.labels as object).length).toBeLessThanOrEqual(limits.LABELS_MAX)
    await agent.sync({ journalId: 'j', tasks: [running] })
    expect(await tasksOf()).toMatchObject([{ taskId: 't1' }])
  })

  test('when it is nested a million deep, or no UTF-8 > it is refused, or read as far as it can be', async () => {
    const deep = await post('sync', sync(`"x":${'['.repeat(500_000)}${']'.repeat(500_000)}`))
    expect([deep.status, deep.body]).toEqual([400, expect.objectContaining({ error: 'bad_json' })])
    const open = await post('status', '['.repeat(1_000_000))
    expect(open.status).toBe(400)
    // An original that was given one bad byte by its system must not be cut off from its controls for it.
    const text = Buffer.from(sync('"name":"caf?"'))
    text[text.indexOf('?')] = 0xe9
    expect((await post('sync', text)).status).toBe(200)
    expect((await hub.operator('GET', '/api/v1/agents/a1')).body.name).toBe('caf\ufffd')
  })

  test('when ids come twice > the first outcome counts, the last state of a task is shown', async () => {
    await agent.sync(ours(1))
    await hub.operator('POST', '/api/v1/agents/a1/controls', { action: 'pause', taskId: 't1' })
    const [{ controlId, epoch, revision }] = (await agent.sync(ours(2))).body.controls
    const reply = await agent.sync(
      ours(3, {
        outcomes: [
          { controlId, epoch, revision, state: 'failed', code: 'x', message: 'y' },
          ...Array(200).fill({ controlId, epoch, revision, state: 'applied' }),
        ],
        received: Array(200).fill(controlId),
        tasks: [
          { ...running, progress: 0.1 },
          { ...running, progress: 0.2 },
        ],
      }),
    )
    expect(new Set(reply.body.acked as string[])).toEqual(new Set([controlId]))
    const control = (await hub.operator('GET', `/api/v1/controls/${controlId}`)).body
    expect(control.outcome).toEqual({ state: 'failed', code: 'x', message: 'y' })
    expect(await tasksOf()).toMatchObject([{ taskId: 't1', progress: 0.2 }])
  })

  test('when status has 100,000 updates > as many are answered as are read', async () => {
    const reply = await post('status', `{"updates":${many('{}')}}`)
    expect(reply.status).toBe(200)
    expect((reply.body as { results: unknown[] }).results).toHaveLength(limits.TASKS_PER_SYNC_MAX)
  })
})

describe('given an operator’s arguments', () => {
  test('when they are odd > the agent gets them as they are, and nothing else changes', async () => {
    await agent.sync(ours(1))
    const args = '{"deep":{"__proto__":{"bad":1},"constructor":1},"big":1e308,"text":"\\ud800","list":[[[]]]}'
    const made = await fetch(new URL('/api/v1/agents/a1/controls', hub.url), {
      method: 'POST',
      headers: { authorization: `Bearer ${hub.token}`, 'content-type': 'application/json' },
      body: `{"action":"tune","taskId":"t1","args":${args}}`,
    })
    expect(made.status).toBe(201)
    const [control] = (await agent.sync(ours(2))).body.controls
    expect(JSON.stringify(control.args)).toBe(args.replace('1e308', '1e+308'))
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('bad')
  })
})
