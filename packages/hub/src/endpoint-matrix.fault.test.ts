/** Every endpoint of both APIs crossed with everything that can be wrong with a request to any of them. */
import { ERROR_CODES, limits, OPERATOR_SCOPES, type ErrorCode, type OperatorScope } from '@downlink/protocol'
import { createTestClock, type TestClock } from '../../testkit/src/test-clock.ts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startHub, type AgentFixture, type HubFixture } from '../test/hub-fixture.ts'
import { ENDPOINTS, type Endpoint } from '../test/endpoints.ts'
import { exchangeBytes, head } from '../test/raw-client.ts'
import { createOperatorToken } from './operator/operator-tokens.ts'

const BODIES: readonly (readonly [
  what: string,
  body: string,
  type: string,
  code: ErrorCode,
  ofAgents: ErrorCode,
])[] = [
  ['no body', '', 'application/json', 'bad_json', 'bad_json'],
  ['broken JSON', '{"a":', 'application/json', 'bad_json', 'bad_json'],
  ['a body of the wrong type', '"text"', 'application/json', 'bad_request', 'bad_json'],
  ['another content type', '<a/>', 'text/xml', 'unsupported_media_type', 'bad_json'],
  [
    'JSON nested too deep',
    `{"a":${'['.repeat(65)}${']'.repeat(65)}}`,
    'application/json',
    'bad_json',
    'bad_json',
  ],
  [
    'a body too large',
    `"${'x'.repeat(limits.AGENT_BODY_BYTES_MAX)}"`,
    'application/json',
    'body_too_large',
    'body_too_large',
  ],
]

let hub: HubFixture
let agent: AgentFixture
const tokens = new Map<OperatorScope, string>()

beforeAll(async () => {
  hub = await startHub()
  agent = await hub.enroll('a1')
  await hub.enroll('b1')
  for (const scope of OPERATOR_SCOPES) {
    tokens.set(scope, (await createOperatorToken(hub.store, { name: scope, scopes: [scope] })).token)
  }
})
afterAll(() => hub[Symbol.asyncDispose]())

function keyFor({ by }: Endpoint): string {
  if (by === 'nobody') return ''
  return by === 'agents' ? agent.apiKey : (tokens.get(by) ?? '')
}

async function send(
  endpoint: Endpoint,
  path: string,
  key: string,
  init: RequestInit = {},
): Promise<readonly [status: number, text: string]> {
  const authorization = key === '' ? {} : { authorization: `Bearer ${key}` }
  const headers = { ...authorization, ...(init.headers as Record<string, string> | undefined) }
  const response = await fetch(new URL(path, hub.url), { method: endpoint.method, ...init, headers })
  return [response.status, await response.text()]
}

function expectCode([status, text]: readonly [number, string], code: ErrorCode): void {
  expect([status, JSON.parse(text)]).toEqual([
    ERROR_CODES[code].status,
    expect.objectContaining({ error: code }),
  ])
  const { message } = JSON.parse(text) as { message: string }
  expect(message, 'a sentence with a remedy, please').toMatch(/must .+\.$|\. .+\.$/)
}

const named = (endpoints: readonly Endpoint[]): (Endpoint & { name: string })[] =>
  endpoints.map((endpoint) => ({ ...endpoint, name: `${endpoint.method} ${endpoint.path}` }))

describe('given every endpoint', () => {
  test.for(named(ENDPOINTS))('when the method is another > $name says which are not', async (endpoint) => {
    expectCode(
      await send(endpoint, endpoint.path, keyFor(endpoint), { method: 'PATCH' }),
      'method_not_allowed',
    )
  })

  test.for(named(ENDPOINTS))(
    'when a token has a NUL or a line end in it > $name answers 400',
    async (endpoint) => {
      for (const odd of ['a\0b', 'a\nb', 'a\rb']) {
        const bytes = `${head(endpoint.method, endpoint.path, { authorization: `Bearer ${odd}` })}\r\n`
        expect(await exchangeBytes(hub.url, bytes), JSON.stringify(odd)).toMatch(/^HTTP\/1\.1 400 /)
      }
    },
  )
})

describe('given every endpoint that asks who it is', () => {
  const asking = ENDPOINTS.filter(({ by }) => by !== 'nobody')
  test.for(named(asking))('when there is no token, or a wrong one > $name answers 401', async (endpoint) => {
    // More of them from one address would be answered otherwise.
    for (const key of ['', `${hub.token}x`])
      expectCode(await send(endpoint, endpoint.path, key), 'unauthorized')
  })

  const scoped = asking.filter(({ by }) => by !== 'agents')
  test.for(named(scoped))('when the scope is another > $name answers 403', async (endpoint) => {
    for (const scope of OPERATOR_SCOPES.filter((other) => other !== endpoint.by && other !== 'admin')) {
      expectCode(await send(endpoint, endpoint.path, tokens.get(scope) ?? ''), 'forbidden')
    }
  })
})

describe('given every endpoint that asks who it is, and a token that is not right (R-71)', () => {
  let guarded: HubFixture
  let clock: TestClock
  let wrong: readonly (readonly [what: string, agents: string, operators: string])[]
  const logged: unknown[] = []
  const keep = (fields: object, message: string): void => void logged.push(fields, message)
  beforeAll(async () => {
    clock = createTestClock()
    const logger = { debug: keep, info: keep, warn: keep, error: keep }
    guarded = await startHub({ clock, hub: { logger, isAccessLogged: true } })
    const { apiKey } = await guarded.enroll('a1')
    const { token } = guarded
    const enrollment = await guarded.enrollmentKey()
    const forged = (text: string): string => `${text.slice(0, -8)}AAAAAAAA`
    const elsewhere = 'a'.repeat(43)
    wrong = [
      ['empty', '', ''],
      ['8 KB', 'k'.repeat(8_192), 'k'.repeat(8_192)],
      ['of the other kind', token, apiKey],
      ['an enrollment key', enrollment, enrollment],
      ['forged', forged(apiKey), forged(token)],
      ['of an unknown agent', `dla.nobody.abcdefgh.${elsewhere}`, `dlo.abcdefgh.${elsewhere}`],
    ]
  })
  afterAll(() => guarded[Symbol.asyncDispose]())

  const asking = ENDPOINTS.filter(({ by }) => by !== 'nobody')
  test.for(named(asking))(
    'when it is empty, 8 KB, forged or of another kind > $name answers alike, and tells and keeps nothing of it',
    async (endpoint) => {
      const { method, path, by, unknown: [unknownPath] = [path] } = endpoint
      // What one address may fail is another test's.
      clock.advance(60_000)
      const replies = new Set<string>()
      for (const [what, ofAgents, ofOperators] of wrong) {
        const key = by === 'agents' ? ofAgents : ofOperators
        for (const asked of new Set([path, unknownPath])) {
          const response = await fetch(new URL(asked, guarded.url), {
            method,
            headers: { authorization: `Bearer ${key}` },
          })
          const text = await response.text()
          expect(response.status, `${what} at ${asked}: ${text}`).toBe(401)
          replies.add(text)
          const secret = key.slice(-16)
          if (secret !== '') expect(text + JSON.stringify(logged), what).not.toContain(secret)
        }
      }
      expect([...replies], 'what is wrong, and whether the id exists, must not show').toHaveLength(1)
    },
  )
})

test('given an agent that names another in its body > it is refused alike, whether that one exists or not', async () => {
  for (const path of ['sync', 'register', 'deregister', 'task-control']) {
    const replies = new Set<string>()
    for (const agentId of ['b1', 'nobody']) {
      const body = { agentId, tasks: [], freeSlots: 0, taskId: 't1', action: 'pause' }
      const refused = await agent.call('POST', path, body)
      expect([refused.status, refused.body.error], path).toEqual([403, 'agent_mismatch'])
      replies.add(JSON.stringify(refused.body))
    }
    expect(replies.size, path).toBe(1)
  }
})

describe('given every endpoint with an id in its path', () => {
  const known = ENDPOINTS.flatMap(({ unknown, ...rest }) =>
    unknown === undefined ? [] : [{ ...rest, unknown }],
  )
  test.for(named(known))('when the id is of nobody > $name says so', async (endpoint) => {
    const [path, code] = endpoint.unknown ?? ['', 'not_found' as const]
    expectCode(await send(endpoint, path, keyFor(endpoint)), code)
  })

  const withId = ENDPOINTS.filter(({ path }) => path.includes('/a1'))
  test.for(named(withId))(
    'when it has a NUL, a line end or too many characters > $name refuses',
    async (endpoint) => {
      const body = '{"action":"pause","taskId":"t","kind":"k"}'
      const init = endpoint.hasBody === true ? { body, headers: { 'content-type': 'application/json' } } : {}
      for (const id of ['%00', 'a%0ab', 'a%0d%0ab', 'x'.repeat(limits.ID_CHARS_MAX + 1), '%2e%2e%2f']) {
        const [status, text] = await send(
          endpoint,
          endpoint.path.replace('/a1', `/${id}`),
          keyFor(endpoint),
          init,
        )
        expect([400, 404], text).toContain(status)
        expect(JSON.parse(text)).toHaveProperty('error')
      }
    },
  )
})

describe('given every endpoint of operators that takes no body', () => {
  const bodiless = named(
    ENDPOINTS.filter(
      ({ hasBody, by, unknown }) => hasBody !== true && by !== 'agents' && unknown !== undefined,
    ),
  )
  test.for(bodiless)('when JSON is announced and nothing sent > $name does not mind', async (endpoint) => {
    const [path, code] = endpoint.unknown ?? ['', 'not_found' as const]
    const headers = { 'content-type': 'application/json' }
    expectCode(await send(endpoint, path, keyFor(endpoint), { headers }), code)
  })
})

describe('given every endpoint that takes a body', () => {
  const taking = named(ENDPOINTS.filter(({ hasBody }) => hasBody === true))
  const cases = taking.flatMap((endpoint) =>
    BODIES.map(([what, body, type, ofOperators, ofAgents]) => {
      const isOfAgents = endpoint.by === 'agents' || endpoint.by === 'nobody'
      return { ...endpoint, what, body, type, code: isOfAgents ? ofAgents : ofOperators }
    }),
  )
  test.for(cases)('when it has $what > $name answers $code', async ({ body, type, code, ...endpoint }) => {
    const headers = { 'content-type': type }
    expectCode(await send(endpoint, endpoint.path, keyFor(endpoint), { body, headers }), code)
  })
})
