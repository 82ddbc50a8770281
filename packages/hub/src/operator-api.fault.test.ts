/** The operators' side of a hub over real sockets: controls, waits, idempotency, enrollment, errors, a failing store. */
import { limits, type Json } from '@downlink/protocol'
import { expect, describe, test } from 'vitest'
import { storeWith } from '../../testkit/src/store-with.ts'
import { boot, ours, startHub } from '../test/hub-fixture.ts'
import { StoreError, type Bucket, type Store } from './store/store.ts'

const pause = { action: 'pause', taskId: 't1' }
const controls = '/api/v1/agents/a1/controls'

describe('given an enrolled agent', () => {
  test('when a request is repeated under its key > it is made once; another body is refused', async () => {
    await using hub = await startHub()
    await hub.enroll('a1')
    const key = { 'idempotency-key': 'k-1' }
    const first = await hub.operator('POST', controls, pause, key)
    const again = await hub.operator('POST', controls, { taskId: 't1', action: 'pause' }, key)
    expect([first.status, again.status]).toEqual([201, 200])
    expect(again.body.controlId).toBe(first.body.controlId)
    const other = await hub.operator('POST', controls, { ...pause, action: 'cancel' }, key)
    expect([other.status, other.body.error]).toEqual([409, 'idempotency_conflict'])
    const bad = await hub.operator('POST', controls, pause, { 'idempotency-key': 'with space' })
    expect([bad.status, bad.body.error]).toEqual([400, 'bad_idempotency_key'])
    const tasks = '/api/v1/agents/a1/tasks'
    const task = await hub.operator('POST', tasks, { kind: 'backup' }, { 'idempotency-key': 'k-2' })
    const sameTask = await hub.operator('POST', tasks, { kind: 'backup' }, { 'idempotency-key': 'k-2' })
    expect([task.status, sameTask.status]).toEqual([201, 200])
    expect(sameTask.body.taskId).toBe(task.body.taskId)
  })

  test('when nothing happens > a wait ends with the present state; accepted is answered at once', async () => {
    await using hub = await startHub()
    await hub.enroll('a1')
    const waited = await hub.operator('POST', `${controls}?wait=50ms&until=applied`, pause)
    expect(waited.body.outcome).toEqual({ state: 'pending' })
    const accepted = await hub.operator(
      'GET',
      `/api/v1/controls/${waited.body.controlId}?wait=50s&until=accepted`,
    )
    expect(accepted.status).toBe(200)
    for (const wait of ['60s', 'soon', '-1']) {
      const refused = await hub.operator('POST', `${controls}?wait=${wait}`, pause)
      expect([refused.status, refused.body.error]).toEqual([400, 'bad_request'])
    }
  })

  test('when a newer verb supersedes an older one > whoever waits for the older learns of it', async () => {
    await using hub = await startHub()
    await hub.enroll('a1')
    const waiting = hub.operator('POST', `${controls}?wait=30s`, pause)
    await expect.poll(async () => (await hub.operator('GET', controls)).body.items.length).toBe(1)
    const resume = await hub.operator('POST', controls, { action: 'resume', taskId: 't1' })
    expect((await waiting).body.outcome).toEqual({ state: 'superseded', byControlId: resume.body.controlId })
  })

  test('when a cancel is open > other state verbs are refused, and the cancel is named', async () => {
    await using hub = await startHub()
    await hub.enroll('a1')
    const cancel = await hub.operator('POST', controls, { action: 'cancel', taskId: 't1' })
    const refused = await hub.operator('POST', controls, pause)
    expect(refused.status).toBe(409)
    expect(refused.body).toMatchObject({
      error: 'task_cancelling',
      details: { controlId: cancel.body.controlId },
    })
  })

  test('when it reports tasks and output > they are listed with what the hub knows, and paged', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    await hub.operator('POST', '/api/v1/agents/a1/tasks', { kind: 'backup', taskId: 'b1' })
    await agent.sync(
      ours(1, {
        tasks: [
          { taskId: 'b1', status: 'running', progress: 0.25, updatedAt: 1, message: '<b>a quarter</b>' },
          {
            taskId: 'own',
            kind: 'scan',
            status: 'paused',
            progress: 0,
            updatedAt: 1,
            log: { nextLine: 3, lines: ['two', 'three'] },
          },
        ],
      }),
    )
    const { items } = (await hub.operator('GET', '/api/v1/agents/a1/tasks')).body
    expect(items).toMatchObject([
      { taskId: 'b1', kind: 'backup', state: 'running', progress: 0.25, message: '<b>a quarter</b>' },
      { taskId: 'own', kind: 'scan', state: 'paused' },
    ])
    const log = await hub.operator('GET', '/api/v1/agents/a1/tasks/own/log?after=2')
    expect(log.body).toEqual({ taskId: 'own', firstLine: 2, nextLine: 3, lines: ['three'] })
    for (const taskId of ['t1', 't2', 't3']) await hub.operator('POST', controls, { ...pause, taskId })
    const first = (await hub.operator('GET', `${controls}?limit=2`)).body
    const rest = (await hub.operator('GET', `${controls}?limit=2&cursor=${first.nextCursor}`)).body
    const ids = [...first.items, ...rest.items].map((item: { taskId: string }) => item.taskId)
    expect([ids, rest.nextCursor]).toEqual([['t3', 't2', 't1'], undefined])
  })

  test('when its tasks are read page by page > unfinished ones come first, and none is left out whatever ends meanwhile', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    const tasks = '/api/v1/agents/a1/tasks'
    const report = (taskId: string, status: string): Json => ({ taskId, status, progress: 0, updatedAt: 1 })
    for (const taskId of ['t2', 't1', 't3', 't4']) await hub.operator('POST', tasks, { kind: 'k', taskId })
    await agent.sync(ours(1, { tasks: [report('t2', 'completed'), report('t4', 'running')] }))
    const first = (await hub.operator('GET', `${tasks}?limit=2`)).body
    // The place to go on from is gone from among the unfinished.
    await agent.sync(ours(2, { tasks: [report('t3', 'completed'), report('t4', 'running')] }))
    const rest = (await hub.operator('GET', `${tasks}?limit=3&cursor=${first.nextCursor}`)).body
    const ids = [first, rest].map(({ items }) => items.map((item: { taskId: string }) => item.taskId))
    expect(ids).toEqual([
      ['t1', 't3'],
      ['t4', 't2', 't3'],
    ])
    expect(rest.nextCursor).toBeUndefined()
    expect((await hub.operator('GET', `${tasks}/t4`)).body).toMatchObject({ taskId: 't4', state: 'running' })
    for (const query of ['cursor=t4', 'cursor=2.t4', 'limit=0', 'limit=1001']) {
      const refused = await hub.operator('GET', `${tasks}?${query}`)
      expect([query, refused.status, refused.body.error]).toEqual([query, 400, 'bad_request'])
    }
  })

  test('when many are nudged (R-54) > those that are meant come within a window, and others hear nothing', async () => {
    await using hub = await startHub()
    const [inEurope, elsewhere, original] = [
      await hub.enroll('a1'),
      await hub.enroll('a2'),
      await hub.enroll('a3'),
    ]
    await inEurope.sync(ours(1, { labels: { region: 'eu' } }))
    await elsewhere.sync(ours(1, { labels: { region: 'us' } }))
    await original.sync({ labels: { region: 'eu' } })
    const stream = await inEurope.openStream(boot('boot-1', 2))
    const other = await elsewhere.openStream(boot('boot-1', 2))
    const plain = await original.openStream()
    const request = { selector: { label: 'region=eu' }, withinMs: 50 }
    const reply = await hub.operator('POST', '/api/v1/sync', request)
    expect([reply.status, reply.body]).toEqual([200, { nudged: 2, withinMs: 50 }])
    await stream.until(/event: sync\ndata: \{"reason":"broadcast","withinMs":50\}/)
    await plain.until(/event: sync\ndata: \{"reason":"broadcast"\}/)
    await other.until(/hb n=/)
    expect(other.text).not.toContain('broadcast')
    const all = await hub.operator('POST', '/api/v1/sync', { selector: {} })
    expect(all.body).toEqual({ nudged: 3, withinMs: limits.RECONNECT_WINDOW_MS_MIN })
    for (const body of [
      {},
      { selector: {}, withinMs: 0 },
      { selector: {}, withinMs: limits.RETRY_MS_MAX + 1 },
    ]) {
      const refused = await hub.operator('POST', '/api/v1/sync', body)
      expect([body, refused.status, refused.body.error]).toEqual([body, 400, 'bad_request'])
    }
  })

  test('when many agents are listed > pages follow each other, and status filters', async () => {
    await using hub = await startHub()
    for (const id of ['a1', 'a2', 'a3']) await hub.enroll(id)
    await (await hub.enroll('a4')).sync()
    const first = (await hub.operator('GET', '/api/v1/agents?limit=3')).body
    const rest = (await hub.operator('GET', `/api/v1/agents?limit=3&cursor=${first.nextCursor}`)).body
    expect([first.items.length, rest.items.length, rest.nextCursor]).toEqual([3, 1, undefined])
    const online = (await hub.operator('GET', '/api/v1/agents?status=online')).body
    expect(online.items).toMatchObject([
      { agentId: 'a4', status: 'online', transport: 'poll', acknowledges: false },
    ])
  })
})

describe('given an enrollment key', () => {
  test('when it is used > it works once, a lost reply can be fetched again, and voids the first credential', async () => {
    await using hub = await startHub()
    const authKey = await hub.enrollmentKey({ labels: { site: 'ams' } })
    const request = {
      authKey,
      agentId: 'a1',
      exchangeId: 'x1',
      hostname: 'box',
      publicKey: 'reserved (R-66)',
    }
    const first = await hub.exchange(request)
    const again = await hub.exchange(request)
    expect([first.status, again.status]).toEqual([200, 200])
    expect((await hub.agent('a1', first.body.apiKey).sync()).status).toBe(401)
    expect((await hub.agent('a1', again.body.apiKey).sync()).status).toBe(200)
    const other = await hub.exchange({ ...request, agentId: 'a2' })
    expect([other.status, other.body.error]).toEqual([409, 'used'])
    expect((await hub.operator('GET', '/api/v1/agents/a1')).body.labels).toEqual({ site: 'ams' })
    expect(await hub.exchange({ authKey: `${authKey}x`, agentId: 'a9' })).toMatchObject({
      status: 401,
      body: { error: 'invalid' },
    })
  })

  test('when its agent exists > only a key that names the agent may replace it, and nothing is burnt', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    const authKey = await hub.enrollmentKey()
    const taken = await hub.exchange({ authKey, agentId: 'a1' })
    expect([taken.status, taken.body.error]).toEqual([409, 'agent_exists'])
    expect((await hub.exchange({ authKey, agentId: 'a2' })).status).toBe(200)
    const named = await hub.enrollmentKey({ agentId: 'a1' })
    expect((await hub.exchange({ authKey: named, agentId: 'a3' })).body.error).toBe('agent_mismatch')
    expect((await hub.exchange({ authKey: named, agentId: 'a1' })).status).toBe(200)
    expect((await agent.sync()).body.error).toBe('key_retired')
  })

  test('when the agent was revoked meanwhile > repeating the exchange does not bring it back', async () => {
    await using hub = await startHub()
    const request = { authKey: await hub.enrollmentKey(), agentId: 'a1', exchangeId: 'x1' }
    await hub.exchange(request)
    await hub.operator('DELETE', '/api/v1/agents/a1')
    expect((await hub.exchange(request)).status).toBe(409)
  })

  test('when it is asked for again under its Idempotency-Key > there is one, whose last text works', async () => {
    await using hub = await startHub()
    const ask = (body: { readonly uses?: number }, key = 'k1') =>
      hub.operator('POST', '/api/v1/enrollment-keys', body, { 'idempotency-key': key })
    const [first, again] = [await ask({ uses: 2 }), await ask({ uses: 2 })]
    expect([first.status, again.status, again.body.id === first.body.id]).toEqual([201, 200, true])
    const listed = await hub.operator('GET', '/api/v1/enrollment-keys')
    expect(listed.body.items).toHaveLength(1)
    const lost = await hub.exchange({ authKey: first.body.key, agentId: 'a1' })
    expect([lost.status, lost.body.error], 'the text that was lost must not stay good').toEqual([
      401,
      'invalid',
    ])
    expect((await hub.exchange({ authKey: again.body.key, agentId: 'a1' })).status).toBe(200)

    expect((await ask({ uses: 3 })).body.error).toBe('idempotency_conflict')
    const used = await ask({ uses: 2 })
    expect([used.status, used.body.error], 'what works already must not be voided').toEqual([
      409,
      'idempotency_conflict',
    ])
    expect((await ask({ uses: 2 }, 'k2')).status).toBe(201)
    expect((await ask({}, '')).body.error).toBe('bad_idempotency_key')
  })

  test('when it is revoked > it is listed so, without its secret, and refused', async () => {
    await using hub = await startHub()
    const made = await hub.operator('POST', '/api/v1/enrollment-keys', { uses: 3 })
    expect((await hub.operator('DELETE', `/api/v1/enrollment-keys/${made.body.id}`)).status).toBe(204)
    const listed = await hub.operator('GET', '/api/v1/enrollment-keys')
    expect(listed.body.items).toMatchObject([{ id: made.body.id, state: 'revoked', usesMax: 3 }])
    expect(JSON.stringify(listed.body)).not.toContain('dle.')
    const refused = await hub.exchange({ authKey: made.body.key, agentId: 'a1' })
    expect([refused.status, refused.body.error]).toEqual([409, 'revoked'])
  })
})

describe('given requests that are wrong', () => {
  test('when they reach the operator API > every one is answered with a code and a remedy', async () => {
    await using hub = await startHub()
    await hub.enroll('a1')
    const deep = JSON.parse('['.repeat(70) + ']'.repeat(70)) as never
    const cases: [string, string, unknown, number, string][] = [
      ['GET', '/api/v1/nothing', undefined, 404, 'not_found'],
      ['GET', '/nothing', undefined, 404, 'not_found'],
      ['PUT', controls, pause, 405, 'method_not_allowed'],
      ['POST', controls, {}, 400, 'bad_request'],
      ['POST', controls, { ...pause, extra: 1 }, 400, 'bad_request'],
      ['POST', controls, { ...pause, ttlMs: '5' }, 400, 'bad_request'],
      ['POST', controls, { ...pause, taskId: 'with space' }, 400, 'bad_request'],
      ['POST', controls, { ...pause, args: { taskId: 'x' } }, 400, 'args_reserved_name'],
      ['POST', controls, { ...pause, args: 'x'.repeat(17_000) }, 400, 'args_too_large'],
      ['POST', controls, { ...pause, args: deep }, 400, 'bad_json'],
      ['POST', controls, { ...pause, args: 'x'.repeat(300_000) }, 413, 'body_too_large'],
      ['POST', '/api/v1/agents/a1/tasks', { kind: 'k', input: 'x'.repeat(70_000) }, 400, 'input_too_large'],
      ['POST', '/api/v1/agents/nobody/controls', pause, 404, 'agent_not_found'],
      ['GET', '/api/v1/controls/a1~nothing', undefined, 404, 'control_not_found'],
      ['GET', '/api/v1/agents/a1/tasks/none/log', undefined, 404, 'task_not_found'],
      ['GET', '/api/v1/agents/a1/tasks/none', undefined, 404, 'task_not_found'],
      ['GET', '/api/v1/agents?limit=0', undefined, 400, 'bad_request'],
    ]
    for (const [method, path, body, status, error] of cases) {
      const reply = await hub.operator(method, path, body as never)
      expect([reply.status, reply.body.error], `${method} ${path}`).toEqual([status, error])
      expect(reply.body.message, `${method} ${path} needs a remedy`).toMatch(/must .+\.$|\. .+\.$/)
    }
    const xml = await fetch(new URL(controls, hub.url), {
      method: 'POST',
      body: '<a/>',
      headers: { authorization: `Bearer ${hub.token}`, 'content-type': 'text/xml' },
    })
    expect(xml.status).toBe(415)
  })

  test('when a token lacks the scope, or there is none > it is refused before anything is made', async () => {
    await using hub = await startHub({ scopes: ['read'] })
    expect((await hub.operator('POST', controls, pause)).body.error).toBe('forbidden')
    expect((await hub.operator('GET', '/api/v1/agents')).status).toBe(200)
    const bare = await fetch(new URL('/api/v1/agents', hub.url))
    expect([bare.status, bare.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    expect((await fetch(new URL('/healthz', hub.url))).status).toBe(200)
  })
})

/** A store whose updates of `bucket` (all, if undefined) fail as long as `failure` says so. */
function failingStore(failure: () => StoreError['code'] | undefined, bucketThatFails?: Bucket) {
  return (inner: Store): Store =>
    storeWith(inner, {
      update(bucket, key, change) {
        const code = bucketThatFails === undefined || bucket === bucketThatFails ? failure() : undefined
        return code === undefined
          ? inner.update(bucket, key, change)
          : Promise.reject(new StoreError(code, 'The disk is full.'))
      },
    })
}

describe('given a store that fails', () => {
  test('when a control is asked for > 503 says whether it was stored, and nothing is pushed', async () => {
    let failure: StoreError['code'] | undefined
    await using hub = await startHub({ wrapStore: failingStore(() => failure) })
    const agent = await hub.enroll('a1')
    await using stream = await agent.openStream({ 'downlink-boot': 'b', 'downlink-connect': '1' })
    failure = 'store_unavailable'
    const refused = await hub.operator('POST', controls, pause)
    expect([refused.status, refused.body.error]).toEqual([503, 'store_unavailable'])
    expect(refused.headers.get('retry-after')).toBe('1')
    expect((await agent.sync(ours(2))).status).toBe(503)
    failure = 'outcome_unknown'
    expect((await hub.operator('POST', controls, pause)).body.error).toBe('outcome_unknown')
    failure = undefined
    const made = await hub.operator('POST', controls, { action: 'cancel', taskId: 't2' })
    const text = await stream.until(/event: command/)
    expect(text.match(/"controlId":"([^"]+)"/g)).toEqual([`"controlId":"${made.body.controlId}"`])
  })

  test('when it fails between the use of a key and the credential (R-61) > repeating the exchange mends it', async () => {
    let failure: StoreError['code'] | undefined = 'store_unavailable'
    await using hub = await startHub({ wrapStore: failingStore(() => failure, 'agents') })
    const request = { authKey: await hub.enrollmentKey(), agentId: 'a1', exchangeId: 'x1' }
    expect((await hub.exchange(request)).status).toBe(503)
    failure = undefined
    expect((await hub.exchange({ ...request, exchangeId: 'x2' })).body.error).toBe('used')
    const mended = await hub.exchange(request)
    expect((await hub.agent('a1', mended.body.apiKey).sync()).status).toBe(200)
  })
})
