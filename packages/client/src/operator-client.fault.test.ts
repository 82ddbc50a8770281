/** Tests of the operators' client against a real server on loopback. */
import { DownlinkError, type HttpError, limits, systemClock, type Clock, type Json } from '@downlink/protocol'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { createTestClock } from '../../testkit/src/test-clock.ts'
import { createOperatorClient, errorDetails, type OperatorClient } from './index.ts'

const TOKEN = 'dlo.keykeykey.secretsecretsecret'
const servers: Server[] = []

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

interface Seen {
  readonly method: string
  readonly url: URL
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

type Answer = (seen: Seen, response: ServerResponse) => void

async function hubThat(
  answer: Answer,
  options: { clock?: Clock } = {},
): Promise<{ client: OperatorClient; seen: Seen[] }> {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      const one = {
        method,
        url: new URL(url, 'http://hub'),
        headers,
        body: Buffer.concat(chunks).toString('utf8'),
      }
      seen.push(one)
      answer(one, response)
    })
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { client: createOperatorClient({ url, token: TOKEN, random: () => 0, ...options }), seen }
}

function json(
  response: ServerResponse,
  status: number,
  body: Json,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

function controlJson(state: string, observed = false): Json {
  return {
    controlId: 'a1~1',
    agentId: 'a1',
    taskId: 't1',
    action: 'pause',
    args: null,
    epoch: 1,
    revision: 1,
    lane: 'state',
    outcome: state === 'applied' ? { state, confirmedBy: 'agent' } : { state },
    stamps: {
      created: { at: '2026-01-01T00:00:00.000Z', by: 'ann' },
      ...(observed ? { observed: { at: '2026-01-01T00:00:01.000Z', by: 'agent' } } : {}),
    },
  }
}

async function failureOf(promise: Promise<unknown>): Promise<DownlinkError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error, 'the call should have failed; let it throw').toBeInstanceOf(DownlinkError)
  return error as DownlinkError
}

test('given a control is issued > it carries the token, a fresh key and the body of the API', async () => {
  const { client, seen } = await hubThat((_, response) => json(response, 201, controlJson('pending')))
  const record = await client.task('a1', 't/1').control('speed', { perSecond: 5 }, { ttlMs: 1_000 })
  await client.task('a1', 't/1').cancel()
  expect(record.outcome.state).toBe('pending')
  expect(seen[0]).toMatchObject({
    method: 'POST',
    url: { pathname: '/api/v1/agents/a1/controls', search: '' },
  })
  expect(seen[0]?.headers.authorization).toBe(`Bearer ${TOKEN}`)
  expect(JSON.parse(seen[0]?.body ?? '')).toEqual({
    action: 'speed',
    taskId: 't/1',
    args: { perSecond: 5 },
    ttlMs: 1_000,
  })
  expect(JSON.parse(seen[1]?.body ?? '')).toEqual({ action: 'cancel', taskId: 't/1' })
  const keys = seen.map((one) => one.headers['idempotency-key'])
  expect(keys[0], 'send an Idempotency-Key with every control').toMatch(/^[0-9a-f-]{36}$/)
  expect(keys[0], 'use a new key for a new control').not.toBe(keys[1])
})

test('given a task is read > its record is asked for by both ids', async () => {
  const task = { agentId: 'a1', taskId: 't/1', state: 'completed', result: { parts: 2 } }
  const { client, seen } = await hubThat((_, response) => json(response, 200, task))
  expect(await client.task('a1', 't/1').read()).toEqual(task)
  expect(seen.map(({ method, url }) => `${method} ${url.pathname}`)).toEqual([
    'GET /api/v1/agents/a1/tasks/t%2F1',
  ])
})

test('given many agents to nudge > every part of them is asked for, and the reached ones are counted', async () => {
  const answers: Json[] = [
    { nudged: 2, withinMs: 9, nextCursor: 'a2' },
    { nudged: 1, withinMs: 9 },
  ]
  const { client, seen } = await hubThat((_, response) => json(response, 200, answers.shift() ?? {}))
  expect(await client.nudgeAll({ label: 'region=eu', withinMs: 9 })).toBe(3)
  const body = { selector: { label: 'region=eu' }, withinMs: 9 }
  expect(seen.map(({ url }) => url.pathname)).toEqual(['/api/v1/sync', '/api/v1/sync'])
  expect(seen.map((one) => JSON.parse(one.body) as unknown)).toEqual([body, { ...body, cursor: 'a2' }])
  expect((await failureOf(client.nudgeAll())).code, 'a reply that counts nothing is none').toBe('bad_reply')
})

test('given the hub answers 503, 429 and drops a connection > the same request goes again with the same key', async () => {
  const answers: Answer[] = [
    (_, response) => json(response, 503, { error: 'outcome_unknown' }),
    (_, response) => json(response, 429, { error: 'too_many_requests' }, { 'retry-after': '0' }),
    (_, response) => response.destroy(),
    (_, response) => json(response, 201, controlJson('pending')),
  ]
  const { client, seen } = await hubThat((one, response) => answers.shift()?.(one, response))
  await client.task('a1', 't1').pause()
  expect(seen).toHaveLength(4)
  expect(
    new Set(seen.map((one) => `${String(one.headers['idempotency-key'])} ${one.body}`)).size,
    'repeat key and body unchanged, else the hub makes a second control',
  ).toBe(1)
})

test('given the hub stays away > attempts end within their bound', async () => {
  const { client, seen } = await hubThat((_, response) => json(response, 503, { error: 'draining' }))
  const error = await failureOf(client.agent('a1'))
  expect(error).toMatchObject({ status: 503, code: 'draining' })
  expect(seen).toHaveLength(limits.CLIENT_ATTEMPTS_MAX)
})

test('given a Retry-After beyond the bound > the error is handed over with it instead of being waited for', async () => {
  const { client, seen } = await hubThat((_, response) =>
    json(response, 429, { error: 'too_many_requests' }, { 'retry-after': '60' }),
  )
  expect(await failureOf(client.agent('a1'))).toMatchObject({ retryAfterMs: 60_000 })
  expect(seen).toHaveLength(1)
})

test('given a caller that gives up between attempts > the reason of its signal is thrown', async () => {
  const controller = new AbortController()
  const { client } = await hubThat((_, response) => {
    controller.abort(new Error('enough'))
    json(response, 503, { error: 'draining' })
  })
  await expect(client.agent('a1', { signal: controller.signal })).rejects.toThrow('enough')
})

test('given nobody listens > the error says so and what to check, without the token', async () => {
  const { client } = await hubThat(() => undefined)
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve))
  const error = await failureOf(client.agent('a1'))
  expect(error.code).toBe('hub_unreachable')
  expect(error.message).toContain('ECONNREFUSED')
  expect(error.message).not.toContain('secretsecret')
})

test('given several pages > the listing goes on by itself and passes the filter each time', async () => {
  const agent = (agentId: string): Json => ({ agentId, status: 'online', labels: {} })
  const { client, seen } = await hubThat(({ url }, response) =>
    json(
      response,
      200,
      url.searchParams.get('cursor') === null
        ? { items: [agent('a1'), agent('a2')], nextCursor: 'c2' }
        : { items: [agent('a3')] },
    ),
  )
  const ids: string[] = []
  for await (const { agentId } of client.agents({ status: 'online' })) ids.push(agentId)
  expect(ids).toEqual(['a1', 'a2', 'a3'])
  expect(seen.map((one) => one.url.search)).toEqual(['?status=online', '?status=online&cursor=c2'])
})

test('given a hub that hands out the same cursor for ever > the listing ends with an error', async () => {
  const { client } = await hubThat((_, response) => json(response, 200, { items: [], nextCursor: 'c' }))
  const drain = async (): Promise<void> => {
    for await (const _ of client.tasks('a1')) expect.unreachable('there are no tasks')
  }
  expect((await failureOf(drain())).code).toBe('bad_reply')
})

test('given a wait longer than the hub holds a request > it is repeated by the id of the control', async () => {
  let nowMs = 0
  const { client, seen } = await hubThat(
    ({ url }, response) => {
      const waitMs = Number.parseInt(url.searchParams.get('wait') ?? '0', 10)
      nowMs += waitMs
      json(response, 200, controlJson('applied', nowMs >= 120_000))
    },
    { clock: { ...systemClock, monotonicMs: () => nowMs } },
  )
  const record = await client.task('a1', 't1').pause({ until: 'observed', timeoutMs: 120_000 })
  expect(record.stamps.observed).toBeDefined()
  expect(seen.map((one) => `${one.method} ${one.url.pathname}${one.url.search}`)).toEqual([
    'POST /api/v1/agents/a1/controls?wait=55000ms&until=observed',
    'GET /api/v1/controls/a1~1?wait=55000ms&until=observed',
    'GET /api/v1/controls/a1~1?wait=10000ms&until=observed',
  ])
})

test('given the wait ends before it is so > the control is returned as it stands', async () => {
  let nowMs = 0
  const { client, seen } = await hubThat(
    ({ url }, response) => {
      nowMs += Number.parseInt(url.searchParams.get('wait') ?? '0', 10)
      json(response, 200, controlJson('delivered'))
    },
    { clock: { ...systemClock, monotonicMs: () => nowMs } },
  )
  const record = await client.control('a1~1', { until: 'applied', timeoutMs: 3_000 })
  expect(record.outcome.state).toBe('delivered')
  expect(seen.map((one) => one.url.search)).toEqual(['', '?wait=3000ms&until=applied'])
})

test('given a verb that no state shows > the hub is asked to wait until it is applied', async () => {
  const { client, seen } = await hubThat((_, response) =>
    json(response, 201, { ...(controlJson('applied') as object), action: 'speed' }),
  )
  await client.task('a1', 't1').control('speed', null, { until: 'observed', timeoutMs: 1_000 })
  expect(seen.map((one) => one.url.searchParams.get('until'))).toEqual(['applied'])
})

test('given a hub that answers a wait at once > the client rests before it asks again', async () => {
  let nowMs = 0
  const restsMs: number[] = []
  const clock: Clock = {
    wallMs: () => 0,
    monotonicMs: () => nowMs,
    setTimer(delayMs, callback) {
      // Deadlines of requests never pass here; rests pass at once.
      if (delayMs >= limits.REQUEST_MS_MAX) return { cancel: () => undefined }
      restsMs.push(delayMs)
      nowMs += delayMs
      queueMicrotask(callback)
      return { cancel: () => undefined }
    },
  }
  const { client, seen } = await hubThat((_, response) => json(response, 200, controlJson('delivered')), {
    clock,
  })
  await client.control('a1~1', { until: 'applied', timeoutMs: 1_000 })
  expect(restsMs).toEqual([250, 250, 250, 250])
  expect(seen, 'look once to learn the verb, and once more after the last rest').toHaveLength(6)
})

test('given a refusal with details > the error has the code, the sentence and the details', async () => {
  const { client } = await hubThat((_, response) =>
    json(response, 409, {
      error: 'task_cancelling',
      message: 'A cancel is open.\u001b[2J',
      details: { controlId: 'a1~9' },
    }),
  )
  const error = await failureOf(client.task('a1', 't1').pause())
  expect(error).toMatchObject({ status: 409, code: 'task_cancelling' })
  expect(error.message).toContain('A cancel is open.\\x1b[2J')
  expect(errorDetails(error as HttpError)).toEqual({ controlId: 'a1~9' })
})

test.each([
  ['the token', TOKEN],
  ['a part of the token at its end', TOKEN.slice(0, 20)],
])('given an error that echoes %s > neither message nor body shows it', async (_, echo) => {
  const { client } = await hubThat((_, response) => response.writeHead(401).end(`<html>Bearer ${echo}`))
  const error = await failureOf(client.agent('a1'))
  expect(error).toMatchObject({ status: 401, code: 'http_401' })
  expect(`${error.message} ${(error as HttpError).body}`).not.toContain(echo)
})

test('given an endless reply > reading stops at the bound', async () => {
  let written = 0
  const { client } = await hubThat((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const chunk = Buffer.alloc(1_048_576, 0x20)
    const more = (): void => {
      while (!response.destroyed && written < 16 * limits.OPERATOR_REPLY_BYTES_MAX) {
        written += chunk.length
        if (!response.write(chunk)) return void response.once('drain', more)
      }
    }
    more()
  })
  expect((await failureOf(client.agent('a1'))).code).toBe('reply_too_large')
  expect(written, 'cancel the body once it is too large').toBeLessThan(4 * limits.OPERATOR_REPLY_BYTES_MAX)
})

test('given an endless error body > the status is reported with its first bytes', async () => {
  const { client } = await hubThat((_, response) => {
    response.writeHead(500)
    const chunk = Buffer.alloc(65_536, 0x61)
    const more = (): void => {
      while (!response.destroyed) if (!response.write(chunk)) return void response.once('drain', more)
    }
    more()
  })
  const error = await failureOf(client.agent('a1'))
  expect(error).toMatchObject({ status: 500, code: 'http_500' })
  expect((error as HttpError).body).toHaveLength(limits.ERROR_BODY_BYTES_MAX)
})

test('given a redirect > it is refused and nothing is sent to the other place', async () => {
  const other = await hubThat((_, response) => json(response, 200, {}))
  const { client } = await hubThat((_, response) =>
    response.writeHead(302, { location: new URL('/api/v1/agents/a1', other.client.url).href }).end(),
  )
  expect((await failureOf(client.agent('a1'))).code).toBe('redirect_refused')
  expect(other.seen).toEqual([])
})

test.each([
  ['a login page', '<html>please sign in</html>'],
  ['another shape', '{"ok":true}'],
  ['nesting without end', '['.repeat(10_000)],
])('given a success that is %s > it is refused as no reply of a hub', async (_, body) => {
  const { client } = await hubThat((_, response) => response.writeHead(200).end(body))
  expect((await failureOf(client.agent('a1'))).code).toBe('bad_reply')
})

const AGENT = { agentId: 'a1', status: 'online', labels: {}, keyRotation: 'asked' }

test('given the calls without a wait > each asks its own path', async () => {
  const { client, seen } = await hubThat(({ url, method }, response) => {
    if (url.pathname.endsWith('/log')) return json(response, 200, { firstLine: 3, nextLine: 4, lines: ['x'] })
    if (url.pathname.endsWith('/enrollment-keys') && method === 'POST')
      return json(response, 201, { id: 'k1', key: 'dle.k.s' })
    if (url.pathname.endsWith('/sync') || method === 'DELETE') return void response.writeHead(204).end()
    if (url.pathname.endsWith('/rotate-key')) return json(response, 200, AGENT)
    if (method === 'POST') return json(response, 201, { taskId: 't9', state: 'assigned' })
    return json(response, 200, { items: [] })
  })
  const handle = await client.start('a1', 'archive', { folder: '/data' }, { taskId: 't9' })
  expect(handle.taskId).toBe('t9')
  expect(await handle.log()).toEqual({ firstLine: 3, nextLine: 4, lines: ['x'] })
  for await (const _ of client.enrollmentKeys()) expect.unreachable('there are no keys')
  await client.revokeEnrollmentKey('k/1')
  expect(await client.createEnrollmentKey({ uses: 2, labels: { zone: 'eu' } })).toMatchObject({ id: 'k1' })
  await client.nudge('a1')
  expect(await client.rotateKey('a1')).toEqual(AGENT)
  await client.revokeAgent('a 1')
  for await (const _ of client.controls('a1')) expect.unreachable('there are no controls')
  expect(seen.map((one) => `${one.method} ${one.url.pathname} ${one.body}`.trim())).toEqual([
    'POST /api/v1/agents/a1/tasks {"kind":"archive","input":{"folder":"/data"},"taskId":"t9"}',
    'GET /api/v1/agents/a1/tasks/t9/log',
    'GET /api/v1/enrollment-keys',
    'DELETE /api/v1/enrollment-keys/k%2F1',
    'POST /api/v1/enrollment-keys {"uses":2,"labels":{"zone":"eu"}}',
    'POST /api/v1/agents/a1/sync',
    'POST /api/v1/agents/a1/rotate-key',
    'DELETE /api/v1/agents/a%201',
    'GET /api/v1/agents/a1/controls',
  ])
})

test('given more controls than one request may hold > they go out in several, each under a key of its own', async () => {
  const { client, seen } = await hubThat(({ body }, response) => {
    const { items } = JSON.parse(body) as { items: { agentId: string; taskId: string }[] }
    json(response, 200, {
      items: items.map(({ agentId, taskId }) => ({ agentId, taskId, controlId: `${agentId}~${taskId}` })),
    })
  })
  const items = Array.from({ length: limits.BATCH_CONTROLS_MAX + 1 }, (_, n) => ({
    agentId: 'a1',
    action: 'pause',
    taskId: `t${n}`,
  }))
  const large = { agentId: 'a2', action: 'tune', args: 'ü'.repeat(limits.OPERATOR_BODY_BYTES_MAX / 2 - 200) }
  const results = await client.issueAll([...items, { ...large, taskId: 'x' }, { ...large, taskId: 'y' }])
  expect(results.map(({ taskId }) => taskId)).toEqual([...items.map(({ taskId }) => taskId), 'x', 'y'])
  expect(seen.map(({ body }) => JSON.parse(body).items.length)).toEqual([limits.BATCH_CONTROLS_MAX, 2, 1])
  expect(new Set(seen.map(({ headers }) => headers['idempotency-key'])).size).toBe(seen.length)
  for (const { body } of seen) {
    expect(Buffer.byteLength(body)).toBeLessThanOrEqual(limits.OPERATOR_BODY_BYTES_MAX)
  }
})

test('given a broadcast that takes several pages > the next one is sent when the one before has been read', async () => {
  const { client, seen } = await hubThat(({ body }, response) => {
    const { cursor } = JSON.parse(body) as { cursor?: string }
    json(response, 200, {
      items: [{ agentId: cursor ?? 'a0', taskId: 't', error: 'mailbox_full', message: 'Wait.' }],
      ...(cursor === undefined ? { nextCursor: 'a1' } : {}),
    })
  })
  const results = client.broadcast({ selector: { label: 'region=eu' }, action: 'pause', taskId: 't' })
  const agentIds: string[] = []
  for await (const result of results) {
    agentIds.push(result.agentId)
    expect(seen).toHaveLength(agentIds.length)
  }
  expect(agentIds).toEqual(['a0', 'a1'])
  expect(new Set(seen.map(({ headers }) => headers['idempotency-key'])).size, 'one key for the whole').toBe(1)
})

describe('given a feed', () => {
  const event = (id: number): string =>
    `event: control\nid: ${id}\ndata: ${JSON.stringify({ id: String(id), type: 'control', control: controlJson('pending') })}\n\n`
  const feed = (response: ServerResponse, text: string): void => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(text)
  }

  test('when its connection breaks or is refused for a while > it goes on where it was', async () => {
    const answers: Answer[] = [
      (_, response) => {
        feed(response, 'event: begin\nid: 6\ndata: {}\n\n')
        setImmediate(() => response.destroy())
      },
      (_, response) => json(response, 503, { error: 'draining', message: 'Come back.' }),
      (_, response) => {
        feed(response, `${event(7)}event: unknown\nid: 8\ndata: {}\n\nevent: control\nid: 9`)
        setImmediate(() => response.end())
      },
      (_, response) => feed(response, `event: reset\nid: 20\ndata: {}\n\n${event(21)}`),
    ]
    const { client, seen } = await hubThat((request, response) => answers.shift()?.(request, response))
    const got: string[] = []
    for await (const { id, type } of client.events()) {
      got.push(`${type} ${id}`)
      if (id === '21') break
    }
    expect(got).toEqual(['begin 6', 'control 7', 'reset 20', 'control 21'])
    const places = seen.map(({ url }) => url.searchParams.get('after'))
    expect(places, 'each connection goes on after the last event').toEqual([null, '6', '6', '8'])
  })

  test('when only the presence of an agent changes > its place stays; a reset says why', async () => {
    const presence = `event: agent\ndata: ${JSON.stringify({ type: 'agent', agent: AGENT })}\n\n`
    const { client, seen } = await hubThat((_, response) => {
      if (seen.length === 1) {
        feed(response, `${presence}event: reset\nid: 5\ndata: {"reason":"hub_restarted"}\n\n${presence}`)
        setImmediate(() => response.end())
      } else feed(response, `${presence}${event(6)}`)
    })
    const got: string[] = []
    for await (const change of client.events({ after: '5' })) {
      got.push(`${change.type} ${change.id} ${change.type === 'reset' ? change.reason : ''}`.trim())
      if (change.id === '6') break
    }
    expect(got).toEqual(['agent 5', 'reset 5 hub_restarted', 'agent 5', 'agent 5', 'control 6'])
  })

  test('when it falls silent > it is connected again', async () => {
    const clock = createTestClock()
    const { client, seen } = await hubThat((_, response) => feed(response, event(seen.length)), { clock })
    const events = client.events()[Symbol.asyncIterator]()
    expect((await events.next()).value).toMatchObject({ id: '1' })
    const next = events.next()
    clock.advance(limits.FEED_SILENCE_MS)
    await expect.poll(() => clock.nextTimerMs, { message: 'it must rest before it connects again' }).toBe(0)
    clock.advance(0)
    expect((await next).value).toMatchObject({ id: '2' })
    await events.return?.()
  })

  test('when it is refused for good, or is none > the reader is told; an abort ends it', async () => {
    const { client } = await hubThat((_, response) =>
      json(response, 403, { error: 'forbidden', message: 'No.' }),
    )
    await expect(client.events()[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'forbidden' })
    const { client: login } = await hubThat((_, response) => void response.end('<html>'))
    await expect(login.events()[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'bad_reply' })
    const { client: open } = await hubThat((_, response) => feed(response, event(1)))
    const controller = new AbortController()
    const events = open.events({ signal: controller.signal })[Symbol.asyncIterator]()
    expect((await events.next()).value).toMatchObject({ id: '1' })
    const next = events.next()
    controller.abort(new Error('enough'))
    await expect(next).rejects.toThrow('enough')
  })
})
