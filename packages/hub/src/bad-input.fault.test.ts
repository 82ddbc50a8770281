/** Every bad input of every endpoint of both APIs, with the answer to it: a code, a sentence, a remedy. */
import { ERROR_CODES, limits, OPERATOR_SCOPES, type ErrorCode, type OperatorScope } from '@downlink/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startHub, type AgentFixture, type HubFixture } from '../test/hub-fixture.ts'
import { exchangeBytes, head } from '../test/raw-client.ts'
import { createOperatorToken } from './operator/operator-tokens.ts'

/** A bad request: method, path, body (text as it is, anything else as JSON), more headers. */
type Bad = readonly [
  method: string,
  path: string,
  body: unknown,
  code: ErrorCode,
  headers?: Record<string, string>,
]

const agentPath = (path: string): string => `/api/internal/agent/${path}`
const controls = '/api/v1/agents/a1/controls'
const tasks = '/api/v1/agents/a1/tasks'
const keys = '/api/v1/enrollment-keys'
const pause = { action: 'pause', taskId: 't1' }
const deep = `${'['.repeat(70)}${']'.repeat(70)}`
const xml = { 'content-type': 'text/xml' }
const gzip = { 'content-encoding': 'gzip' }
const long = 'x'.repeat(limits.ID_CHARS_MAX + 1)

let hub: HubFixture
let agent: AgentFixture

beforeAll(async () => {
  hub = await startHub()
  agent = await hub.enroll('a1')
  await hub.enroll('b1')
  await hub.operator('POST', keys, {}, {})
})
afterAll(() => hub[Symbol.asyncDispose]())

interface Answer {
  readonly status: number
  readonly text: string
  readonly headers: Headers
}

async function send(token: string, [method, path, body, , headers]: Bad): Promise<Answer> {
  const bytes = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  const response = await fetch(new URL(path, hub.url), {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(bytes === undefined ? {} : { body: bytes as string }),
  })
  return { status: response.status, text: await response.text(), headers: response.headers }
}

/** Fails unless it is an error of this code that a person can act on, and that gives nothing away. */
function expectRefusal(what: string, { status, text }: Omit<Answer, 'headers'>, code: ErrorCode): void {
  expect([status, text.startsWith('{') ? (JSON.parse(text) as object) : text], what).toEqual([
    ERROR_CODES[code].status,
    expect.objectContaining({ error: code }),
  ])
  const { message } = JSON.parse(text) as { message: string }
  expect(message, `${what}: a sentence with a remedy, please`).toMatch(/must .+\.$|\. .+\.$/)
  expect(text, `${what}: this gives away what is inside`).not.toMatch(
    /\bat .+:\d+|node_modules|\.ts\b|\bdl[aeo]\.|FST_|Error:|undefined/,
  )
  expect(text).not.toContain(hub.token)
  expect(text).not.toContain(agent.apiKey)
}

function named(bad: Bad): { what: string; code: ErrorCode; bad: Bad } {
  const [method, path, body, code] = bad
  const text = typeof body === 'string' ? body : (JSON.stringify(body) ?? 'nothing')
  return { what: `${method} ${path.slice(0, 60)} with ${text.slice(0, 60)}`, code, bad }
}

const OF_AGENTS: readonly Bad[] = [
  // Every endpoint: the wrong method, none of its paths, and a body that cannot be read.
  ...['events', 'wake'].flatMap((path): Bad[] => [
    ['POST', agentPath(path), {}, 'method_not_allowed'],
    ['DELETE', agentPath(path), undefined, 'method_not_allowed'],
  ]),
  ...['sync', 'register', 'deregister', 'status', 'task-control', 'authkey/exchange'].flatMap(
    (path): Bad[] => [
      ['GET', agentPath(path), undefined, 'method_not_allowed'],
      ['PUT', agentPath(path), {}, 'method_not_allowed'],
      ['POST', agentPath(path), '', 'bad_json'],
      ['POST', agentPath(path), '{', 'bad_json'],
      ['POST', agentPath(path), '[]', 'bad_json'],
      ['POST', agentPath(path), 'null', 'bad_json'],
      ['POST', agentPath(path), '<a/>', 'bad_json', xml],
      ['POST', agentPath(path), `{"x":${deep}}`, 'bad_json'],
      ['POST', agentPath(path), '{}', 'unsupported_media_type', gzip],
      ['POST', agentPath(path), 'x'.repeat(limits.AGENT_BODY_BYTES_MAX + 1), 'body_too_large'],
    ],
  ),
  ['GET', agentPath('nowhere'), undefined, 'not_found'],
  ['GET', agentPath('events/'), undefined, 'not_found'],
  ['GET', agentPath('%2e%2e/sync'), undefined, 'not_found'],
  ['POST', agentPath('sync'), {}, 'bad_request'],
  ['POST', agentPath('sync'), { agentId: 7 }, 'bad_request'],
  ['POST', agentPath('sync'), { agentId: long }, 'bad_request'],
  ['POST', agentPath('sync'), { agentId: 'b1' }, 'agent_mismatch'],
  ['POST', agentPath('register'), {}, 'agent_mismatch'],
  ['POST', agentPath('register'), { agentId: 'b1' }, 'agent_mismatch'],
  ['POST', agentPath('deregister'), { agentId: 'b1' }, 'agent_mismatch'],
  ['POST', agentPath('task-control'), { ...pause, agentId: 'b1' }, 'agent_mismatch'],
  ['POST', agentPath('task-control'), { agentId: 'a1' }, 'bad_request'],
  ['POST', agentPath('task-control'), { agentId: 'a1', taskId: 't', action: 7 }, 'bad_request'],
  ['POST', agentPath('task-control'), { agentId: 'a1', taskId: long, action: 'pause' }, 'bad_request'],
  ['POST', agentPath('authkey/exchange'), {}, 'bad_request'],
  ['POST', agentPath('authkey/exchange'), { authKey: 'k', agentId: 'a b' }, 'bad_request'],
  ['POST', agentPath('authkey/exchange'), { authKey: 'x'.repeat(2_000), agentId: 'a' }, 'bad_request'],
  ['POST', agentPath('authkey/exchange'), { authKey: 'k', agentId: 'a' }, 'invalid'],
]

const OF_OPERATORS: readonly Bad[] = [
  ...[
    '/api/v1/agents',
    '/api/v1/agents/a1',
    '/api/v1/agents/a1/sync',
    controls,
    '/api/v1/controls/a1~1',
    tasks,
    `${tasks}/t1/log`,
    keys,
    `${keys}/k1`,
    '/healthz',
    '/readyz',
  ].map((path): Bad => ['PATCH', path, undefined, 'method_not_allowed']),
  ...[controls, tasks, keys].flatMap((path): Bad[] => [
    ['POST', path, '', 'bad_json'],
    ['POST', path, '{', 'bad_json'],
    ['POST', path, '7', 'bad_request'],
    ['POST', path, '[]', 'bad_request'],
    ['POST', path, 'null', 'bad_request'],
    ['POST', path, `{"args":${deep}}`, 'bad_json'],
    ['POST', path, new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'bad_json'],
    ['POST', path, '{"__proto__":{"admin":true}}', 'bad_request'],
    ['POST', path, { constructor: 1 }, 'bad_request'],
    ['POST', path, '<a/>', 'unsupported_media_type', xml],
    ['POST', path, '{}', 'unsupported_media_type', gzip],
    ['POST', path, 'x'.repeat(limits.OPERATOR_BODY_BYTES_MAX + 1), 'body_too_large'],
  ]),
  ...['/api/v1/agents', controls, keys].flatMap((path): Bad[] => [
    ...['0', '-1', '1.5', 'x', '1e2', '99999', ''].map((limit): Bad => [
      'GET',
      `${path}?limit=${limit}`,
      undefined,
      'bad_request',
    ]),
    ['GET', `${path}?limit=1&limit=2`, undefined, 'bad_request'],
    ['GET', `${path}?unknown=1`, undefined, 'bad_request'],
    ['GET', `${path}?cursor=${'x'.repeat(600)}`, undefined, 'bad_request'],
  ]),
  ['GET', '/', undefined, 'not_found'],
  ['GET', '/api/v1', undefined, 'not_found'],
  ['GET', '/api/v1/nothing', undefined, 'not_found'],
  ['GET', '/api/internal/other', undefined, 'not_found'],
  ['GET', '/api/v1/agents/%', undefined, 'bad_request'],
  ['GET', '/api/v1/agents/%ff', undefined, 'bad_request'],
  ['GET', '/api/v1/agents/%00', undefined, 'agent_not_found'],
  ['GET', '/api/v1/agents/__proto__', undefined, 'agent_not_found'],
  ['GET', `/api/v1/agents/${'x'.repeat(1_000)}`, undefined, 'not_found'],
  ['GET', '/api/v1/agents?status=lost', undefined, 'bad_request'],
  ['GET', '/api/v1/agents/nobody', undefined, 'agent_not_found'],
  ['DELETE', '/api/v1/agents/nobody', undefined, 'agent_not_found'],
  ['POST', '/api/v1/agents/nobody/sync', undefined, 'agent_not_found'],
  ['GET', '/api/v1/agents/nobody/controls', undefined, 'agent_not_found'],
  ['POST', '/api/v1/agents/nobody/controls', pause, 'agent_not_found'],
  ['GET', '/api/v1/agents/nobody/tasks', undefined, 'agent_not_found'],
  ['POST', '/api/v1/agents/nobody/tasks', { kind: 'k' }, 'agent_not_found'],
  ['GET', '/api/v1/agents/nobody/tasks/t1/log', undefined, 'agent_not_found'],
  ['GET', `${tasks}/none/log`, undefined, 'task_not_found'],
  ['GET', `${tasks}/t1/log?after=-1`, undefined, 'bad_request'],
  ['GET', `${tasks}/t1/log?after=x`, undefined, 'bad_request'],
  ['GET', `${controls}?cursor=nonsense`, undefined, 'bad_request'],
  ['GET', '/api/v1/controls/nonsense', undefined, 'control_not_found'],
  ['GET', '/api/v1/controls/a1~1', undefined, 'control_not_found'],
  ['GET', '/api/v1/controls/a1~1?wait=soon', undefined, 'bad_request'],
  ['GET', '/api/v1/controls/a1~1?until=never', undefined, 'bad_request'],
  ['POST', `${controls}?wait=60s`, pause, 'bad_request'],
  ['POST', `${controls}?wait=-1`, pause, 'bad_request'],
  ['POST', `${controls}?until=seen`, pause, 'bad_request'],
  ['POST', controls, { action: 'pause' }, 'bad_request'],
  ['POST', controls, { ...pause, extra: 1 }, 'bad_request'],
  ['POST', controls, { ...pause, action: 'Pause!' }, 'bad_request'],
  ['POST', controls, { ...pause, action: 'x'.repeat(65) }, 'bad_request'],
  ['POST', controls, { ...pause, action: 7 }, 'bad_request'],
  ['POST', controls, { ...pause, taskId: '' }, 'bad_request'],
  ['POST', controls, { ...pause, taskId: 'with space' }, 'bad_request'],
  ['POST', controls, { ...pause, taskId: long }, 'bad_request'],
  ['POST', controls, { ...pause, taskId: 'ä' }, 'bad_request'],
  ['POST', controls, { ...pause, ttlMs: '5' }, 'bad_request'],
  ['POST', controls, { ...pause, ttlMs: 0 }, 'bad_request'],
  ['POST', controls, { ...pause, ttlMs: 1.5 }, 'bad_request'],
  ['POST', controls, '{"action":"pause","taskId":"t1","ttlMs":1e400}', 'bad_request'],
  ['POST', controls, { ...pause, ttlMs: limits.CONTROL_TTL_MS_MAX + 1 }, 'bad_request'],
  ['POST', controls, { ...pause, lane: 'fast' }, 'bad_request'],
  ['POST', controls, { ...pause, delivery: 'often' }, 'bad_request'],
  ['POST', controls, { ...pause, args: { taskId: 'x' } }, 'args_reserved_name'],
  ['POST', controls, '{"action":"a","taskId":"t","args":{"__proto__":1}}', 'args_reserved_name'],
  ['POST', controls, { ...pause, args: 'x'.repeat(limits.CONTROL_ARGS_BYTES_MAX) }, 'args_too_large'],
  ['POST', controls, pause, 'bad_idempotency_key', { 'idempotency-key': 'with space' }],
  ['POST', controls, pause, 'bad_idempotency_key', { 'idempotency-key': 'x'.repeat(256) }],
  ['POST', tasks, {}, 'bad_request'],
  ['POST', tasks, { kind: 'with space' }, 'bad_request'],
  ['POST', tasks, { kind: 'x'.repeat(65) }, 'bad_request'],
  ['POST', tasks, { kind: 'k', taskId: '' }, 'bad_request'],
  ['POST', tasks, { kind: 'k', extra: 1 }, 'bad_request'],
  ['POST', tasks, { kind: 'k', input: 'x'.repeat(limits.TASK_INPUT_BYTES_MAX) }, 'input_too_large'],
  ['POST', tasks, { kind: 'k' }, 'bad_idempotency_key', { 'idempotency-key': '' }],
  ['POST', keys, {}, 'bad_idempotency_key', { 'idempotency-key': 'with space' }],
  ['POST', keys, {}, 'bad_idempotency_key', { 'idempotency-key': 'x'.repeat(256) }],
  ['POST', keys, { uses: 0 }, 'bad_request'],
  ['POST', keys, { uses: 1e9 }, 'bad_request'],
  ['POST', keys, { ttlMs: -1 }, 'bad_request'],
  ['POST', keys, { ttlMs: 1e15 }, 'bad_request'],
  ['POST', keys, { agentId: 'a b' }, 'bad_request'],
  ['POST', keys, { labels: { a: 1 } }, 'bad_request'],
  ['POST', keys, { labels: { a: long } }, 'bad_request'],
  ['POST', keys, { labels: { [long]: 'a' } }, 'bad_request'],
  [
    'POST',
    keys,
    { labels: Object.fromEntries(Array.from({ length: limits.LABELS_MAX + 1 }, (_, n) => [`l${n}`, 'v'])) },
    'bad_request',
  ],
  ['DELETE', `${keys}/none`, undefined, 'not_found'],
]

describe('given a request that is wrong (R-02, R-70)', () => {
  test.for(OF_AGENTS.map(named))('when an agent sends $what > $code', async ({ what, code, bad }) => {
    expectRefusal(what, await send(agent.apiKey, bad), code)
  })

  test.for(OF_OPERATORS.map(named))('when an operator sends $what > $code', async ({ what, code, bad }) => {
    expectRefusal(what, await send(hub.token, bad), code)
  })

  test('when all that is over > both ends go on as if nothing had been', async () => {
    expect((await agent.sync()).body).toEqual({
      controls: [],
      newTasks: [],
      watching: expect.any(Boolean) as boolean,
      acked: [],
      nextSyncMs: expect.any(Number) as number,
      hubMs: expect.any(Number) as number,
    })
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('admin')
    expect((await hub.operator('POST', controls, pause)).status).toBe(201)
  })
})

describe('given bytes that no client would send', () => {
  const auth = (): Record<string, string> => ({ authorization: `Bearer ${agent.apiKey}` })
  const sync = (headers: Record<string, string> = {}): string =>
    head('POST', agentPath('sync'), { ...auth(), ...headers })
  const cases: readonly (readonly [what: string, bytes: () => string, code: ErrorCode])[] = [
    ['no request', () => 'nonsense\r\n\r\n', 'bad_request'],
    ['no host', () => 'GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n', 'bad_request'],
    [
      'a NUL in a token',
      () => head('GET', '/api/v1/agents', { authorization: 'Bearer a\0b' }),
      'bad_request',
    ],
    [
      'a bare CR in a token',
      () => head('GET', '/api/v1/agents', { authorization: 'Bearer a\rb' }),
      'bad_request',
    ],
    [
      'a newline in a token',
      () => head('GET', '/api/v1/agents', { authorization: 'Bearer a\nb' }),
      'bad_request',
    ],
    ['a length that is no number', () => sync({ 'content-length': 'x' }), 'bad_request'],
    ['two lengths', () => `${sync({ 'content-length': '2' })}content-length: 3\r\n\r\n{}`, 'bad_request'],
    [
      'a length and chunks',
      () => `${sync({ 'content-length': '4', 'transfer-encoding': 'chunked' })}\r\n0\r\n\r\n`,
      'bad_request',
    ],
    ['an unknown transfer coding', () => `${sync({ 'transfer-encoding': 'gzip' })}\r\nx`, 'bad_request'],
    ['a chunk of no size', () => `${sync({ 'transfer-encoding': 'chunked' })}\r\nzz\r\n`, 'bad_request'],
    ['headers too large', () => sync({ pad: 'x'.repeat(20_000) }), 'headers_too_large'],
    [
      'too many headers',
      () => `${sync()}${'a: b\r\n'.repeat(limits.REQUEST_HEADERS_MAX)}connection: close\r\n`,
      'headers_too_large',
    ],
  ]
  test.for(cases)('when it is %s > it is answered and the connection closed', async ([what, bytes, code]) => {
    const text = await exchangeBytes(hub.url, `${bytes()}\r\n`)
    const [, status, body = ''] = /^HTTP\/1\.1 (\d{3}) [\s\S]*?\r\n\r\n([\s\S]*)$/.exec(text) ?? []
    expectRefusal(what, { status: Number(status), text: body }, code)
  })

  test('when a request expects what nobody knows > it is answered as if it did not', async () => {
    const headers = { expect: 'a-miracle', connection: 'close' }
    expect(await exchangeBytes(hub.url, `${head('GET', '/healthz', headers)}\r\n`)).toMatch(
      /^HTTP\/1\.1 200 /,
    )
  })
})

/** Every route that needs a scope, with the scope. */
const SCOPED: readonly (readonly [method: string, path: string, scope: OperatorScope, body?: unknown])[] = [
  ['GET', '/api/v1/agents', 'read'],
  ['GET', '/api/v1/agents/a1', 'read'],
  ['POST', '/api/v1/agents/a1/sync', 'control'],
  ['DELETE', '/api/v1/agents/nobody', 'admin'],
  ['GET', controls, 'read'],
  ['POST', controls, 'control', pause],
  ['GET', '/api/v1/controls/a1~1', 'read'],
  ['GET', tasks, 'read'],
  ['POST', tasks, 'run', { kind: 'k' }],
  ['GET', `${tasks}/t1/log`, 'read'],
  ['GET', keys, 'admin'],
  ['POST', keys, 'admin', {}],
  ['DELETE', `${keys}/none`, 'admin'],
  ['GET', '/api/v1/operator-tokens', 'admin'],
  ['POST', '/api/v1/operator-tokens', 'admin', { name: 'n', scopes: ['admin'] }],
  ['DELETE', '/api/v1/operator-tokens/none', 'admin'],
]

describe('given a token (R-71)', () => {
  test('when it lacks the scope of a route > 403, before the body is even looked at', async () => {
    for (const [method, path, needed, body] of SCOPED) {
      for (const scope of OPERATOR_SCOPES.filter((other) => other !== needed && other !== 'admin')) {
        const { token } = await createOperatorToken(hub.store, { name: scope, scopes: [scope] })
        const what = `${method} ${path} with the scope ${scope}`
        expectRefusal(what, await send(token, [method, path, body, 'forbidden']), 'forbidden')
        if (body !== undefined) {
          expectRefusal(what, await send(token, [method, path, '{', 'forbidden']), 'forbidden')
        }
      }
    }
  })

  test('when it is none, another kind’s, forged or odd > 401 on every route, and nothing of it comes back', async () => {
    const forge = (token: string): string => token.slice(0, -4) + (token.endsWith('AAAA') ? 'BBBB' : 'AAAA')
    const routes: [string, string, 'agents' | 'operators'][] = [
      ['POST', agentPath('sync'), 'agents'],
      ['GET', agentPath('wake'), 'agents'],
      ['GET', agentPath('events'), 'agents'],
      ['GET', '/api/v1/agents', 'operators'],
      ['POST', '/api/v1/agents/a1/controls', 'operators'],
    ]
    for (const [method, path, of] of routes) {
      // One each: too many failures of one address are answered otherwise.
      await using fresh = await startHub()
      const other = await fresh.enroll('a1')
      const enrollment = await fresh.enrollmentKey()
      const otherKind = of === 'agents' ? fresh.token : other.apiKey
      const odd = ['', ' ', 'nonsense', 'x'.repeat(8_192), 'a\\nb', 'a%00b', `${other.apiKey} x`]
      const tokens = [...odd, otherKind, enrollment, forge(other.apiKey), forge(fresh.token)]
      for (const token of tokens) {
        const response = await fetch(new URL(path, fresh.url), {
          method,
          headers: { authorization: `Bearer ${token}` },
        })
        const text = await response.text()
        expect([response.status, response.headers.get('www-authenticate')], path).toEqual([401, 'Bearer'])
        if (token.trim().length > 4) expect(text, 'no token may come back').not.toContain(token)
      }
      const basic = await fetch(new URL(path, fresh.url), {
        method,
        headers: { authorization: 'Basic eDp5' },
      })
      expect(basic.status).toBe(401)
      expect((await fetch(new URL(path, fresh.url), { method })).status).toBe(401)
    }
  })
})
