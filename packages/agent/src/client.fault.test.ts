import { limits, type Json, type SyncRequest } from '@downlink/protocol'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createTestClock } from '../../testkit/src/test-clock.ts'
import { createBoot } from './boot.ts'
import { createAgentClient } from './client.ts'

const TOKEN = 'dla.secret-that-must-not-be-seen'
const AUTH_KEY = 'dle.secret-that-must-not-be-seen'
const SYNC: SyncRequest = {
  agentId: 'a1',
  tasks: [],
  freeSlots: 2,
  outcomes: [],
  received: [],
  decisions: [],
}

const cleanUp: (() => Promise<unknown>)[] = []
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const step of cleanUp.splice(0).toReversed()) await step()
})

interface Asked {
  readonly url: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: Json
}

/** A hub that answers as `answer` does, and a client of it on a clock that stands still. */
async function hubOf(answer: (response: ServerResponse) => void, credential: string | undefined = TOKEN) {
  const asked: Asked[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      asked.push({ url: request.url, headers: request.headers, body: JSON.parse(body) as Json })
      answer(response)
    })
  })
  server.on('connection', (socket) => {
    connections += 1
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUp.push(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  const clock = createTestClock()
  const client = createAgentClient({
    hubs: [`http://127.0.0.1:${(server.address() as AddressInfo).port}/below/`],
    credential: () => credential,
    boot: createBoot((size) => new Uint8Array(size)),
    clock,
    userAgent: 'acme/1.0',
  })
  cleanUp.push(() => client.close())
  return { asked, sockets, clock, client, connections: () => connections }
}

const json = (value: Json) => (response: ServerResponse) => void response.end(JSON.stringify(value))

/** What `promise` fails with. Fails itself if a key can be seen in it. */
async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  const seen = inspect(error, { depth: 8 })
  expect(seen, 'the request succeeded; it must fail').not.toBe('undefined')
  for (const key of [TOKEN, AUTH_KEY]) expect(seen, 'an error shows a key').not.toContain(key)
  return error
}

describe('given a hub that answers', () => {
  test('when the agent syncs twice > the requests are the ones of the wire, their counter growing', async () => {
    const { asked, client, clock } = await hubOf(
      json({ controls: [{ action: 'cancel', taskId: 't1' }], watching: true, nextSyncMs: 10_000, later: 1 }),
    )
    const reply = {
      controls: [{ action: 'cancel', taskId: 't1', args: null }],
      newTasks: [],
      watching: true,
      acked: [],
      nextSyncMs: 10_000,
    }
    expect([await client.sync(SYNC), await client.sync(SYNC)]).toEqual([reply, reply])
    expect(asked[1]).toMatchObject({
      url: '/below/api/internal/agent/sync',
      headers: {
        authorization: `Bearer ${TOKEN}`,
        'content-type': 'application/json',
        'accept-encoding': 'identity',
        'user-agent': 'acme/1.0',
      },
      body: { agentId: 'a1', freeSlots: 2, bootNonce: '0'.repeat(32), connectCounter: 2 },
    })
    expect(clock.pendingTimers, 'timers left behind').toBe(0)
  })

  test('when its kept connections are dropped > the next request dials anew', async () => {
    const { client, connections, sockets } = await hubOf(json({ controls: [] }))
    await client.sync(SYNC)
    const before = connections()
    client.dropConnections()
    await client.sync(SYNC)
    expect(connections()).toBe(before + 1)
    await vi.waitUntil(() => sockets.size === 1)
  })

  test('when a key is exchanged > no credential is sent, none is needed, and the new one comes back', async () => {
    const { asked, client } = await hubOf(json({ apiKey: 'k2', userId: 'u1' }), '')
    const request = { authKey: AUTH_KEY, agentId: 'a1', exchangeId: 'x1' }
    expect(await client.exchangeKey(request)).toEqual({ apiKey: 'k2', userId: 'u1' })
    expect(asked[0]).toMatchObject({ url: '/below/api/internal/agent/authkey/exchange', body: request })
    expect(asked[0]?.headers.authorization).toBeUndefined()
  })

  test('when it registers and deregisters > both are posted, and a new key is handed on', async () => {
    const { asked, client } = await hubOf(json({ success: true, agentKey: 'k3', user: {}, features: [] }))
    const request = { agentId: 'a1', version: '1.0', labels: { site: 'x' } }
    expect(await client.register(request)).toEqual({ agentKey: 'k3', user: {}, features: [] })
    await client.deregister({ agentId: 'a1' })
    expect(asked.map(({ url, body }) => [url?.split('/').at(-1), body])).toEqual([
      ['register', { ...request, bootNonce: '0'.repeat(32), connectCounter: 1 }],
      ['deregister', { agentId: 'a1', bootNonce: '0'.repeat(32), connectCounter: 2 }],
    ])
  })

  test('when proxies are set in the environment > nobody but the hub is dialled', async () => {
    const proxy = await hubOf(json({}))
    const { client } = await hubOf(json({ watching: false }))
    for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'ALL_PROXY']) {
      vi.stubEnv(name, proxy.client.mirrors.current.origin)
    }
    vi.stubEnv('NO_PROXY', '')
    vi.stubEnv('NODE_USE_ENV_PROXY', '1')
    await client.sync(SYNC)
    expect(proxy.connections()).toBe(0)
  })
})

describe('given a credential that cannot be used', () => {
  test.each([
    ['', 'no_credential'],
    ['k\r\nx: y', 'bad_credential'],
  ])('when it is %j > nothing is dialled', async (credential, code) => {
    const { client, connections } = await hubOf(json({}), credential)
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code, retry: 'never' })
    expect(connections()).toBe(0)
  })
})

describe('given a reply that cannot be used', () => {
  test.each<[string, string, (response: ServerResponse) => void]>([
    ['is a login page', 'bad_reply', (response) => response.end('<form>')],
    ['is empty', 'bad_reply', (response) => response.end()],
    ['is a success of another kind', 'http_201', (response) => response.writeHead(201).end('{}')],
    ['is no object', 'bad_reply', json([])],
    [
      'is nested too deep',
      'bad_reply',
      (response) => response.end(`{"a":${'['.repeat(99)}${']'.repeat(99)}}`),
    ],
    ['is a redirect', 'redirect_refused', (response) => response.writeHead(307, { location: '/' }).end()],
    [
      'is compressed',
      'compressed_reply',
      (response) => response.writeHead(200, { 'content-encoding': 'br' }).end('x'),
    ],
    [
      'announces too much',
      'reply_too_large',
      (response) => response.writeHead(200, { 'content-length': limits.REPLY_BYTES_MAX + 1 }).write('{'),
    ],
    ['breaks off', 'connection_lost', (response) => response.write('{', () => response.destroy())],
    [
      'refuses, and echoes the credential',
      'unauthorized',
      (response) => response.writeHead(401).end(`{"error":"unauthorized","message":"${TOKEN}"}`),
    ],
  ])('when it %s > the error is %s', async (_, code, answer) => {
    const { client, clock } = await hubOf(answer)
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code })
    expect(clock.pendingTimers, 'timers left behind').toBe(0)
  })

  test('when it does not end > it is read up to its bound, and the connection cut', async () => {
    const { client, sockets } = await hubOf((response) => {
      const write = (): void => {
        if (!response.destroyed) response.write(' '.repeat(65_536), () => setImmediate(write))
      }
      write()
    })
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'reply_too_large' })
    await vi.waitUntil(() => sockets.size === 0)
  })

  test('when it refuses an exchange, and echoes the key > the key is not shown', async () => {
    const { client } = await hubOf((response) =>
      response.writeHead(409).end(`{"error":"used","a":"${AUTH_KEY}"}`),
    )
    const request = { authKey: AUTH_KEY, agentId: 'a1' }
    expect(await failureOf(client.exchangeKey(request))).toMatchObject({ code: 'used', retry: 'never' })
  })

  test('when it holds no key > an exchange fails', async () => {
    const { client } = await hubOf(json({ apiKey: 7 }))
    const request = { authKey: AUTH_KEY, agentId: 'a1' }
    expect(await failureOf(client.exchangeKey(request))).toMatchObject({ code: 'bad_reply' })
  })
})

describe('given a hub that is slow', () => {
  test.each(['nothing', 'a dripping reply'])('when it sends %s > one deadline ends it', async (what) => {
    const { client, clock, asked, sockets } = await hubOf((response) => {
      if (what !== 'nothing') response.write('{')
    })
    const failure = failureOf(client.sync(SYNC))
    await vi.waitUntil(() => asked.length === 1)
    clock.advance(limits.REQUEST_MS_MAX - 1)
    expect(clock.pendingTimers).toBe(1)
    clock.advance(1)
    expect(await failure).toMatchObject({ code: 'timed_out', retry: 'backoff' })
    await vi.waitUntil(() => sockets.size === 0)
  })

  test('when one of its connections was silent > the others are not tried, as each would cost a deadline', async () => {
    let answering = true
    const { client, clock, asked, sockets, connections } = await hubOf((response) => {
      if (answering) response.end('{"controls":[]}')
    })
    await Promise.all([client.sync(SYNC), client.sync(SYNC)])
    expect([sockets.size, connections()]).toEqual([2, 2])
    answering = false
    const failure = failureOf(client.sync(SYNC))
    await vi.waitUntil(() => asked.length === 3)
    clock.advance(limits.REQUEST_MS_MAX)
    expect(await failure).toMatchObject({ code: 'timed_out' })
    answering = true
    await client.sync(SYNC)
    expect(connections(), 'the sync went over a connection of the dead path').toBe(3)
    await vi.waitUntil(() => sockets.size === 1)
  })

  test('when its connections are dropped > what is under way fails at once, and the next request dials anew', async () => {
    let answering = false
    const { client, clock, asked, sockets, connections } = await hubOf((response) => {
      if (answering) response.end('{"controls":[]}')
    })
    const failure = failureOf(client.sync(SYNC))
    await vi.waitUntil(() => asked.length === 1)
    client.dropConnections()
    expect(await failure).toMatchObject({ code: 'connection_lost', retry: 'backoff' })
    await vi.waitUntil(() => sockets.size === 0)
    answering = true
    await client.sync(SYNC)
    expect([connections(), clock.pendingTimers]).toEqual([2, 0])
  })

  test('when the agent deregisters > it does not wait long', async () => {
    const { client, clock } = await hubOf(() => {})
    const failure = failureOf(client.deregister({ agentId: 'a1' }))
    clock.advance(limits.DEREGISTER_MS_MAX)
    expect(await failure).toMatchObject({ code: 'timed_out' })
  })

  test('when the caller aborts, before or while > its reason comes back', async () => {
    const { client, asked, clock } = await hubOf(() => {})
    const reason = new Error('stop')
    expect(await failureOf(client.sync(SYNC, { signal: AbortSignal.abort(reason) }))).toBe(reason)
    const controller = new AbortController()
    const failure = failureOf(client.sync(SYNC, { signal: controller.signal }))
    await vi.waitUntil(() => asked.length === 1)
    controller.abort(reason)
    expect(await failure).toBe(reason)
    expect(clock.pendingTimers).toBe(0)
  })

  // Well below the time that a connect may take by itself.
  test(
    'when no connection is made > an abort, and a close, do not wait for one',
    { timeout: 5_000 },
    async () => {
      const sockets = new Set<Socket>()
      const silent = createTcpServer((socket) => {
        sockets.add(socket.resume())
        socket.on('error', () => {}).on('close', () => sockets.delete(socket))
      })
      silent.listen(0, '127.0.0.1')
      await once(silent, 'listening')
      cleanUp.push(() => once(silent.close(), 'close'))
      const client = createAgentClient({
        hubs: [`https://127.0.0.1:${(silent.address() as AddressInfo).port}`],
        credential: () => TOKEN,
        boot: createBoot((size) => new Uint8Array(size)),
        clock: createTestClock(),
      })
      const controller = new AbortController()
      const failures = [
        failureOf(client.sync(SYNC, { signal: controller.signal })),
        failureOf(client.sync(SYNC)),
      ]
      await vi.waitUntil(() => sockets.size === 2)
      controller.abort(new Error('stop'))
      expect(await failures[0]).toEqual(new Error('stop'))
      await client.close()
      expect(await failures[1]).toMatchObject({ code: 'client_closed' })
      await vi.waitUntil(() => sockets.size === 0)
    },
  )

  test('when the client is closed > its requests fail and its connections end', async () => {
    const { client, asked, sockets } = await hubOf(() => {})
    const failure = failureOf(client.sync(SYNC))
    await vi.waitUntil(() => asked.length === 1)
    await client.close()
    await client.close()
    expect(await failure).toMatchObject({ code: 'client_closed' })
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'client_closed' })
    await vi.waitUntil(() => sockets.size === 0)
  })
})
