/** Every limit of both APIs is reached once over real sockets; nobody else notices. */
import { createServer } from 'node:http'
import { limits } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTestClock, type TestClock } from '../../testkit/src/test-clock.ts'
import { startHub, type AgentFixture, type HubFixture } from '../test/hub-fixture.ts'
import { listen, type Listening } from '../test/listen.ts'
import { head, openRawClient } from '../test/raw-client.ts'
import { createAgentMemories } from './controls/agent-memory.ts'
import { createControlWaits } from './controls/control-waits.ts'
import { createMailboxChanges } from './controls/mailbox-changes.ts'
import { createHttpServer, type ServerOptions } from './http-server.ts'
import { createIsProxy } from './http/address.ts'
import { createRateLimits } from './http/rate-limits.ts'
import { RequestCounts } from './http/request-facts.ts'
import { createRequestGuard } from './http/request-guard.ts'
import { createOperatorToken } from './operator/operator-tokens.ts'

let clock: TestClock
let hub: HubFixture
let agent: AgentFixture

async function start(options: Parameters<typeof startHub>[0] = {}): Promise<void> {
  clock = createTestClock()
  hub = await startHub({ clock, ...options })
  agent = await hub.enroll('a1')
}
beforeEach(() => start())
afterEach(() => hub[Symbol.asyncDispose]())

async function until(what: string, isSo: () => boolean): Promise<void> {
  await expect.poll(isSo, { message: `${what}: it never came to that` }).toBe(true)
}

describe('given a sender that is slow (R-02)', () => {
  const routes = (): [string, string, string][] => [
    ['the agent API', '/api/internal/agent/sync', agent.apiKey],
    ['the operator API', '/api/v1/agents/a1/controls', hub.token],
    ['the key exchange', '/api/internal/agent/authkey/exchange', 'none'],
  ]
  test('when a body drips in > 408, and its connection ends', async () => {
    for (const [what, path, token] of routes()) {
      const timers = clock.pendingTimers
      await using client = await openRawClient(hub.url)
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
      client.write(`${head('POST', path, { ...headers, 'content-length': '20' })}\r\n{"a"`)
      await until(what, () => clock.pendingTimers > timers)
      clock.advance(limits.REQUEST_BODY_MS_MAX - 1)
      client.write(':')
      expect(client.text).toBe('')
      clock.advance(1)
      await client.closed
      expect(client.text, what).toMatch(/^HTTP\/1\.1 408 [\s\S]*connection: close[\s\S]*"request_timeout"/i)
      await until(what, () => clock.pendingTimers === timers)
    }
  })

  test('when a body comes in time > nothing of the time limit stays', async () => {
    const timers = clock.pendingTimers
    expect((await agent.sync()).status).toBe(200)
    await until('the timers', () => clock.pendingTimers === timers)
  })
})

describe('given a body in many parts (R-02)', () => {
  const send = async (method: string, path: string, token: string, body: string): Promise<string> => {
    await using client = await openRawClient(hub.url)
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    client.write(`${head(method, path, { ...headers, 'transfer-encoding': 'chunked' })}\r\n${body}`)
    const text = await client.until(/^HTTP\/1\.1 \d{3} [\s\S]*\}$/)
    return text
  }
  const spaces = (count: number): string => '1\r\n \r\n'.repeat(count)
  const refused = /^HTTP\/1\.1 413 [\s\S]*connection: close[\s\S]*"body_too_large"[\s\S]*larger chunks/i

  test('when they are as many as allowed > it is read, and with one more it is refused on both APIs', async () => {
    const exchange = '/api/internal/agent/authkey/exchange'
    const last = '2\r\n{}\r\n0\r\n\r\n'
    const allowed = `${spaces(limits.REQUEST_PARTS_MAX - 1)}${last}`
    expect(await send('POST', exchange, 'none', allowed)).toMatch(/^HTTP\/1\.1 400 [\s\S]*"bad_request"/)
    expect(await send('POST', '/api/v1/enrollment-keys', hub.token, allowed)).toMatch(/^HTTP\/1\.1 201 /)
    const more = `${spaces(limits.REQUEST_PARTS_MAX)}${last}`
    expect(await send('POST', exchange, 'none', more)).toMatch(refused)
    expect(await send('POST', '/api/v1/enrollment-keys', hub.token, more)).toMatch(refused)
    expect((await agent.sync()).status).toBe(200)
  })

  test('when they are mostly extensions > it is refused before it has brought its bytes', async () => {
    const part = `1;${'x'.repeat(16_000)}\r\n \r\n`
    // A first read of the socket, in which the headers came, is not counted.
    const count = Math.ceil((limits.REQUEST_WIRE_BYTES_MAX + 65_536) / part.length) + 1
    expect(count).toBeLessThan(limits.REQUEST_PARTS_MAX)
    await using client = await openRawClient(hub.url)
    const headers = { authorization: `Bearer ${agent.apiKey}`, 'transfer-encoding': 'chunked' }
    client.write(`${head('POST', '/api/internal/agent/sync', headers)}\r\n${part.repeat(count)}`)
    await client.closed
    // Whoever still writes when it is cut may not get to see the reply.
    if (client.text !== '') expect(client.text).toMatch(refused)
  })

  test('when no route reads it > it is answered, and its connection cut', async () => {
    await using client = await openRawClient(hub.url)
    client.write(`${head('GET', '/healthz', { 'transfer-encoding': 'chunked' })}\r\n${spaces(3)}`)
    await client.closed
    expect(client.text).toMatch(/^HTTP\/1\.1 200 [\s\S]*connection: close/i)
  })

  test('when it waits behind another request > the connection is cut', async () => {
    await using client = await openRawClient(hub.url)
    const auth = { authorization: `Bearer ${agent.apiKey}` }
    await agent.sync()
    const stream = `${head('GET', '/api/internal/agent/events', auth)}\r\n`
    const sync = head('POST', '/api/internal/agent/sync', { ...auth, 'transfer-encoding': 'chunked' })
    client.write(`${stream}${sync}\r\n${spaces(limits.REQUEST_PARTS_MAX + 1)}`)
    await client.closed
  })
})

describe('given a reader that does not take its reply (R-02)', () => {
  test('when the time is up > its connection is cut', async () => {
    const guard = createRequestGuard(clock)
    await using server = await listen(
      createServer((request, response) =>
        guard.admit(request, response, () => response.end(Buffer.alloc(64 * 1_048_576))),
      ),
    )
    const timers = clock.pendingTimers
    await using client = await openRawClient(server.url)
    client.socket.pause()
    client.write(`${head('GET', '/')}\r\n`)
    await until('the reply waits', () => clock.pendingTimers > timers)
    clock.advance(limits.REPLY_SEND_MS_MAX)
    await until('the timers', () => clock.pendingTimers === timers)
    client.socket.resume()
    await client.closed
    expect(client.text.length, 'it took all of it: make the reply larger').toBeLessThan(64 * 1_048_576)
  })
})

describe('given one who asks too often (R-03, R-71)', () => {
  test('when an agent does > 429 says when to come back, and another agent is served', async () => {
    await hub[Symbol.asyncDispose]()
    await start({ hub: { agentRequestsPerS: 1 } })
    const other = await hub.enroll('b1')
    for (let n = 0; n < limits.REQUESTS_BURST_S; n++) expect((await agent.sync()).status).toBe(200)
    const refused = await agent.sync()
    expect([refused.status, refused.body.error]).toEqual([429, 'too_many_requests'])
    expect(refused.headers.get('retry-after')).toBe('1')
    expect((await agent.wake()).status, 'all its calls count together').toBe(429)
    expect((await other.sync()).status).toBe(200)
    clock.advance(1_000)
    expect((await agent.sync()).status).toBe(200)
  })

  test('when an operator’s token does > 429, and another token is served', async () => {
    await hub[Symbol.asyncDispose]()
    await start({ hub: { operatorRequestsPerS: 1 } })
    const replies = []
    for (let n = 0; n <= limits.REQUESTS_BURST_S; n++)
      replies.push(await hub.operator('GET', '/api/v1/agents'))
    expect(replies.at(-1)?.status).toBe(429)
    expect(replies.at(-1)?.headers.get('retry-after')).toBe('1')
    const other = await createOperatorToken(hub.store, { name: 'bob', scopes: ['read'] })
    const authorization = `Bearer ${other.token}`
    expect((await hub.operator('GET', '/api/v1/agents', undefined, { authorization })).status).toBe(200)
    expect((await hub.operator('GET', '/healthz')).status, 'a health check needs no token').toBe(200)
    clock.advance(1_000)
    expect((await hub.operator('GET', '/api/v1/agents')).status).toBe(200)
  })

  test('when an address fails to authenticate > 429 instead of 401, and right credentials still work', async () => {
    const forged = hub.agent('a1', `${agent.apiKey.slice(0, -4)}AAAA`)
    const statuses = []
    for (let n = 0; n < limits.AUTH_FAILURES_BURST; n++) statuses.push((await forged.sync()).status)
    expect(new Set(statuses)).toEqual(new Set([401]))
    const refused = [
      await forged.sync(),
      await hub.exchange({ authKey: 'none', agentId: 'x' }),
      await forged.call('GET', '../../v1/agents'),
    ]
    expect(refused.map(({ status, body }) => [status, body.error as string])).toEqual(
      Array(3).fill([429, 'too_many_requests']),
    )
    expect(refused[0]?.headers.get('retry-after')).toBe('1')
    expect((await agent.sync()).status).toBe(200)
    expect((await hub.operator('GET', '/api/v1/agents')).status).toBe(200)
    expect((await hub.exchange({ authKey: await hub.enrollmentKey(), agentId: 'new' })).status).toBe(200)
    clock.advance(1_000)
    expect((await forged.sync()).status).toBe(401)
  })

  test('when streams of an original take each other’s place > the sixth in a minute is refused, the last stays', async () => {
    let last = await agent.openStream()
    for (let n = 0; n < limits.ORIGINAL_DISPLACEMENTS_MAX; n++) {
      const next = await agent.openStream()
      await last.ended
      last = next
    }
    const refused = await agent.call('GET', 'events')
    expect([refused.status, refused.body.error]).toEqual([503, 'too_many_streams'])
    expect(refused.headers.get('retry-after')).toBe('60')
    expect((await hub.operator('GET', '/api/v1/agents/a1')).body).toMatchObject({
      status: 'cloned',
      transport: 'stream',
    })
    await hub.operator('POST', '/api/v1/agents/a1/controls', { action: 'pause', taskId: 't1' })
    await last.until(/event: command/)
    clock.advance(limits.ORIGINAL_DISPLACEMENTS_MS)
    await agent.openStream()
    await last.ended
  })

  test('when more wait than a hub allows > the next is refused, until one has left', () => {
    const memories = createAgentMemories()
    const changes = createMailboxChanges()
    using waits = createControlWaits({ clock, memories, changes, read: () => Promise.resolve(undefined) })
    const slots = Array.from({ length: limits.WAITERS_MAX }, (_, index) =>
      waits.reserve('a1', `t${index % 4}`),
    )
    expect(() => waits.reserve('a2', 'other')).toThrow(/already wait at this hub/)
    slots[0]?.[Symbol.dispose]()
    expect(() => waits.reserve('a2', 'other')).not.toThrow()
  })

  test('when one token waits for more than it may > it is refused, another waits, and a place that was left is free', () => {
    const memories = createAgentMemories()
    const changes = createMailboxChanges()
    using waits = createControlWaits({ clock, memories, changes, read: () => Promise.resolve(undefined) })
    const slots = Array.from({ length: limits.WAITERS_PER_TOKEN_MAX }, () => waits.reserve('a1', 'greedy'))
    expect(() => waits.reserve('a1', 'greedy')).toThrow(/of this token already wait/)
    expect(() => waits.reserve('a1', 'other')).not.toThrow()
    slots[0]?.[Symbol.dispose]()
    expect(() => waits.reserve('a1', 'greedy')).not.toThrow()
  })

  test('when an address exchanges keys too often > 429, and neither another address nor a proxy is held up', () => {
    const requests = new RequestCounts()
    const perS = { agentRequestsPerS: 1, operatorRequestsPerS: 1 }
    const rates = createRateLimits({ clock, requests, ...perS, isProxy: createIsProxy(['192.0.2.0/24']) })
    const exchange = (address: string): void => rates.countExchange(address)
    for (let n = 0; n < limits.EXCHANGES_BURST; n++) exchange('203.0.113.1')
    expect(() => exchange('203.0.113.1')).toThrow(/may exchange 20 enrollment keys per second/)
    expect(requests.limited.address).toBe(1)
    for (let n = 0; n <= limits.EXCHANGES_BURST; n++) {
      for (const free of ['192.0.2.9', '127.0.0.1', '::1', '::ffff:127.0.0.1', '']) exchange(free)
    }
    exchange('203.0.113.2')
    for (let n = 0; n < limits.EXCHANGES_BURST; n++) exchange(`2001:db8:1:2::${n}`)
    expect(() => exchange('2001:db8:1:2:ffff::1'), 'one machine has a whole /64').toThrow(/may exchange/)
    clock.advance(1_000)
    expect(() => exchange('203.0.113.1')).not.toThrow()
    for (const wrong of ['proxy', '10.0.0.0/33', '::/129', '10.0.0.0/x']) {
      expect(() => createIsProxy([wrong]), wrong).toThrow(RangeError)
    }
  })
})

describe('given a server', () => {
  const serve = (bounds: ServerOptions): Promise<Listening> =>
    listen(createHttpServer((request, response) => hub.hub.handler(request, response), bounds))
  const health = `${head('GET', '/healthz')}\r\n`

  test('when headers drip in > 408, and the connection ends', async () => {
    await using server = await serve({ headersMs: 100 })
    await using client = await openRawClient(server.url)
    client.write(head('GET', '/healthz'))
    await client.closed
    expect(client.text).toMatch(/^HTTP\/1\.1 408 [\s\S]*"request_timeout"/)
  })

  test('when more connections come than it takes > they are closed, and served once others have gone', async () => {
    await using server = await serve({ connectionsMax: 2 })
    const clients = [await openRawClient(server.url), await openRawClient(server.url)]
    for (const client of clients) {
      client.write(health)
      await client.until(/200 OK/)
    }
    await using tooMany = await openRawClient(server.url)
    await tooMany.closed
    expect(tooMany.text).toBe('')
    for (const client of clients) await client[Symbol.asyncDispose]()
    await expect.poll(async () => (await fetch(new URL('/healthz', server.url))).status).toBe(200)
  })

  test('when an address has more connections than it may > 503 with Retry-After, and once others have gone it is served', async () => {
    const refused: string[] = []
    await using server = await serve({
      connectionsPerAddress: 2,
      isProxy: () => false,
      onRefused: (address) => refused.push(address),
    })
    const clients = [await openRawClient(server.url), await openRawClient(server.url)]
    for (const client of clients) {
      client.write(health)
      await client.until(/200 OK/)
    }
    await using tooMany = await openRawClient(server.url)
    tooMany.write(health)
    await tooMany.closed
    expect(refused).toEqual(['127.0.0.1'])
    expect(tooMany.text, 'what it asked was done').not.toContain('200 OK')
    expect(tooMany.text).toMatch(/^HTTP\/1\.1 503 [\s\S]*Retry-After: 5[\s\S]*"too_many_waiters"/)
    for (const client of clients) await client[Symbol.asyncDispose]()
    await expect.poll(async () => (await fetch(new URL('/healthz', server.url))).status).toBe(200)
    await using unbound = await serve({ connectionsPerAddress: 1 })
    const local = [await openRawClient(unbound.url), await openRawClient(unbound.url)]
    for (const client of local) {
      client.write(health)
      await client.until(/200 OK/)
      await client[Symbol.asyncDispose]()
    }
  })

  test('when a connection idles > it is closed', async () => {
    await using server = await serve({ keepAliveMs: 50 })
    await using client = await openRawClient(server.url)
    client.write(health)
    await client.closed
    expect(client.text).toMatch(/^HTTP\/1\.1 200 [\s\S]*"status":"ok"/)
  })

  test('when requests come without waiting for replies > they are answered in order, and too many are cut', async () => {
    await using client = await openRawClient(hub.url)
    client.write(health + `${head('GET', '/nothing')}\r\n` + health)
    await client.until(/200 OK[\s\S]*404 Not Found[\s\S]*200 OK/)
    await using greedy = await openRawClient(hub.url)
    const wake = head('GET', '/api/internal/agent/wake', { authorization: `Bearer ${agent.apiKey}` })
    await agent.sync()
    greedy.write(`${wake}\r\n`.repeat(limits.PIPELINED_REQUESTS_MAX + 2))
    await greedy.closed
    expect(greedy.text, 'none of them was answered yet').toBe('')
    expect((await hub.operator('GET', '/healthz')).status).toBe(200)
  })
})
