/** What the application around a hub hands in: its own authentication, and its own content of syncs. */
import { limits, type Json } from '@downlink/protocol'
import { afterEach, describe, expect, test } from 'vitest'
import { createTestClock, type TestClock } from '../../testkit/src/test-clock.ts'
import { startHub, type HubFixture } from '../test/hub-fixture.ts'
import type { HubOptions, Logger, Operator, OwnSyncContent } from './index.ts'

let fixture: HubFixture
let clock: TestClock
/** What was logged, with its sentence. */
let logged: { readonly fields: object; readonly message: string }[]

async function start(hub: Partial<HubOptions>): Promise<void> {
  logged = []
  clock = createTestClock()
  const log = (fields: object, message: string): void => void logged.push({ fields, message })
  const logger: Logger = { debug() {}, info() {}, warn: log, error: log }
  fixture = await startHub({ clock, hub: { logger, ...hub } })
}
afterEach(() => fixture[Symbol.asyncDispose]())

async function until(what: string, isSo: () => boolean): Promise<void> {
  await expect.poll(isSo, { message: `${what}: it never came to that` }).toBe(true)
}

const pause = { action: 'pause', taskId: 't1' }

describe('given an authentication of one’s own', () => {
  const users: Record<string, Operator> = {
    ada: { name: 'ada@example.com', scopes: ['control'] },
    bob: { name: 'bob@example.com', scopes: [] },
  }
  const as = (user: string, method = 'GET', path = '/api/v1/agents', body?: Json) =>
    fixture.operator(method, path, body, { authorization: '', cookie: `user=${user}` })
  const byCookie = async (request: Request): Promise<Operator | undefined> =>
    users[/user=(\w+)/.exec(request.headers.get('cookie') ?? '')?.[1] ?? '']

  test('when it knows who asks > scopes and the audit trail are theirs; tokens go on working', async () => {
    const asked: string[] = []
    await start({
      basePath: '',
      authenticateOperator(request) {
        asked.push(`${request.method} ${new URL(request.url).pathname} ${request.body === null}`)
        return byCookie(request)
      },
    })
    await fixture.enroll('a1')
    const made = await as('ada', 'POST', '/api/v1/agents/a1/controls', pause)
    expect(made.status).toBe(201)
    const audit = await fixture.operator('GET', '/api/v1/audit')
    expect(JSON.stringify(audit.body), 'the audit trail names who it was').toContain('ada@example.com')
    expect(asked).toContain('POST /api/v1/agents/a1/controls true')
    const refused = await as('ada', 'GET', '/api/v1/audit')
    expect([refused.status, refused.body.error]).toEqual([403, 'forbidden'])
    expect((await as('bob')).status, 'known and allowed nothing').toBe(403)
    const unknown = await as('eve')
    expect([unknown.status, unknown.body.error, unknown.headers.get('www-authenticate')]).toEqual([
      401,
      'unauthorized',
      'Bearer',
    ])
    expect((await fixture.operator('GET', '/api/v1/agents')).status, 'a token of the hub').toBe(200)
  })

  test('when one of them asks too often > 429 goes by the name', async () => {
    users.carl = { name: 'carl@example.com', scopes: ['admin'] }
    await start({ operatorRequestsPerS: 1, authenticateOperator: byCookie })
    const statuses = new Set<number>()
    for (let count = 0; count <= limits.REQUESTS_BURST_S; count += 1) statuses.add((await as('carl')).status)
    expect([...statuses]).toEqual([200, 429])
    users.dora = { name: 'dora@example.com', scopes: ['admin'] }
    expect((await as('dora')).status).toBe(200)
  })

  test.for<[string, () => Promise<Operator | undefined>]>([
    ['throws', () => Promise.reject(new Error('the directory is down'))],
    [
      'throws at once',
      () => {
        throw new Error('a mistake')
      },
    ],
    ['gives no name', () => Promise.resolve({ name: '', scopes: ['admin'] })],
    [
      'gives a long name',
      () => Promise.resolve({ name: 'x'.repeat(limits.OPERATOR_NAME_CHARS_MAX + 1), scopes: [] }),
    ],
    ['gives an unknown scope', () => Promise.resolve({ name: 'ada', scopes: ['root' as 'admin'] })],
    ['gives no scopes', () => Promise.resolve({ name: 'ada' } as Operator)],
    ['gives null', () => Promise.resolve(null as unknown as undefined)],
  ])('when it %s > nobody is let in, 503 says so, and so does the log', async ([, authenticateOperator]) => {
    await start({ authenticateOperator })
    const reply = await as('ada')
    expect([reply.status, reply.body.error]).toEqual([503, 'authentication_unavailable'])
    expect(reply.headers.get('retry-after')).toBe('1')
    expect(JSON.stringify(reply.body)).not.toMatch(/directory|mistake/)
    expect(logged.map(({ message }) => message).join()).toMatch(/authenticateOperator failed/)
  })

  test('when it does not answer > 503 after 5 s, its signal aborts, and the number of those that wait is bounded', async () => {
    const signals: AbortSignal[] = []
    await start({
      authenticateOperator(request) {
        signals.push(request.signal)
        return new Promise(() => {})
      },
    })
    const waiting = Array.from({ length: limits.OWN_AUTHENTICATIONS_MAX }, () =>
      fixture.hub.fetch('http://hub.test/api/v1/agents'),
    )
    await until('all of them wait', () => signals.length === limits.OWN_AUTHENTICATIONS_MAX)
    const oneMore = await as('ada')
    expect([oneMore.status, oneMore.body.error]).toEqual([503, 'too_many_waiters'])
    clock.advance(limits.OWN_AUTHENTICATION_MS_MAX)
    const replies = await Promise.all(waiting)
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([503]))
    await Promise.all(replies.map((reply) => reply.text()))
    // The hub hears of the end of a reply a little after who reads it.
    await until('their signals abort', () => signals.every(({ aborted }) => aborted))
    expect(clock.pendingTimers, 'no timer of it may stay').toBeLessThan(limits.OWN_AUTHENTICATIONS_MAX)
  })
})

describe('given content of one’s own for syncs', () => {
  test('when it is given > it stands beside the hub’s own, which stays as it is', async () => {
    const seen: unknown[] = []
    await start({
      onSync(sync) {
        seen.push(sync)
        return Promise.resolve({
          controls: [{ action: 'boost', taskId: 'job-1', args: { mbps: 5 } }],
          newTasks: [{ id: 'job-2', kind: 'job', input: 'x' }],
          extra: { motd: 'hello', nextSyncMs: 1, acked: ['forged'] },
        })
      },
    })
    const agent = await fixture.enroll('a1')
    await fixture.operator('POST', '/api/v1/agents/a1/controls', pause)
    await fixture.operator('POST', '/api/v1/agents/a1/tasks', { kind: 'backup', taskId: 'hub-1' })
    const { body } = await agent.sync({ journalId: 'j', quota: 7 })
    expect(body).toMatchObject({
      controls: [pause, { action: 'boost', taskId: 'job-1', mbps: 5, args: { mbps: 5 } }],
      newTasks: [{ id: 'hub-1' }, { id: 'job-2', kind: 'job', input: 'x' }],
      motd: 'hello',
      acked: [],
    })
    expect(body.nextSyncMs).toBeGreaterThanOrEqual(limits.NEXT_SYNC_MS_MIN)
    expect(body.controls[1], 'it is no control of the hub’s').not.toHaveProperty('controlId')
    expect(seen).toMatchObject([{ agentId: 'a1', body: { quota: 7, journalId: 'j' } }])
    expect(logged).toMatchObject([
      {
        fields: {
          agentId: 'a1',
          faults: [expect.stringMatching('nextSyncMs'), expect.stringMatching('acked')],
        },
      },
    ])
  })

  test.for<[string, () => Promise<OwnSyncContent | undefined>]>([
    ['throws', () => Promise.reject(new Error('no database'))],
    [
      'throws at once',
      () => {
        throw new Error('a mistake')
      },
    ],
    ['gives too much', () => Promise.resolve({ extra: { text: 'x'.repeat(limits.OWN_CONTENT_BYTES_MAX) } })],
    ['gives no JSON', () => Promise.resolve({ extra: { n: 1n as unknown as number } })],
  ])('when it %s > the hub’s controls go out all the same, and the log says so', async ([, onSync]) => {
    await start({ onSync })
    const agent = await fixture.enroll('a1')
    await fixture.operator('POST', '/api/v1/agents/a1/controls', pause)
    const reply = await agent.sync({ journalId: 'j' })
    expect([reply.status, reply.body]).toMatchObject([200, { controls: [pause], newTasks: [] }])
    expect(logged).toMatchObject([
      { fields: { agentId: 'a1' }, message: expect.stringMatching(/onSync failed/) },
    ])
  })

  test('when it does not answer > the sync is answered after 2 s, and its signal aborts', async () => {
    let signal: AbortSignal | undefined
    await start({
      onSync(sync) {
        signal = sync.signal
        return new Promise(() => {})
      },
    })
    const agent = await fixture.enroll('a1')
    await fixture.operator('POST', '/api/v1/agents/a1/controls', pause)
    const answered = agent.sync({ journalId: 'j' })
    await until('it is asked', () => signal !== undefined)
    clock.advance(limits.OWN_SYNC_MS_MAX)
    expect((await answered).body).toMatchObject({ controls: [pause] })
    expect(signal?.aborted).toBe(true)
  })

  test('when a clone syncs > it is not asked: nothing that a clone says counts', async () => {
    const asked: unknown[] = []
    await start({ onSync: (sync) => Promise.resolve(void asked.push(sync)) as Promise<undefined> })
    const agent = await fixture.enroll('a1')
    for (const bootNonce of ['old', 'new', 'old'])
      await agent.sync({ journalId: 'j', bootNonce, connectCounter: 1 })
    expect(asked).toHaveLength(2)
  })
})
