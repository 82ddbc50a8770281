import { limits } from '@downlink/protocol'
import { createServer } from 'node:https'
import { connect, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { createAuthority, type Authority } from '../../test/certificates.ts'
import {
  clientOf,
  failureOf,
  httpServer,
  hubAnswer,
  listen,
  passTimer,
  refusedPort,
  SYNC,
  TOKEN,
} from '../../test/servers.ts'
import type { AgentClientOptions } from '../client.ts'
import { openEventStream } from '../stream/event-stream.ts'

let authority: Authority
beforeAll(() => {
  authority = createAuthority()
})
afterAll(() => authority[Symbol.dispose]())
afterEach(() => {
  vi.unstubAllEnvs()
})

async function httpsHub() {
  const asked: (string | undefined)[] = []
  const server = createServer(authority.issue('IP:127.0.0.1'), (request, response) => {
    expect(request.headers.authorization).toBe(`Bearer ${TOKEN}`)
    expect(request.headers['proxy-authorization']).toBeUndefined()
    asked.push(request.url?.split('/').at(-1))
    hubAnswer()(request, response)
  })
  const listening = await listen(server)
  return { ...listening, url: `https://${listening.host}`, asked }
}

/** A proxy that makes tunnels, or answers `reply` to whoever asks for one; it keeps all that it sees. */
async function connectProxy(
  reply?: string,
  serve: (onSocket: (socket: Socket) => void) => Server = createTcpServer,
) {
  const heads: string[] = []
  let seen = ''
  const server = serve((socket) => {
    socket.on('error', () => {})
    let head = ''
    const onData = (bytes: Buffer): void => {
      seen += bytes.toString('latin1')
      head += bytes.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      socket.off('data', onData)
      heads.push(head)
      if (reply !== undefined) socket.write(reply)
      else tunnel(socket, head, (text) => (seen += text))
    }
    socket.on('data', onData)
  })
  const listening = await listen(server)
  return { ...listening, url: `http://${listening.host}`, heads, seen: () => seen }
}

function tunnel(socket: Socket, head: string, note: (text: string) => void): void {
  const [, host = '', port = ''] = /^CONNECT (.*):(\d+) HTTP/.exec(head) ?? []
  const upstream = connect(Number(port), host, () => {
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
    socket.on('data', (bytes: Buffer) => note(bytes.toString('latin1')))
    socket.pipe(upstream).pipe(socket)
  })
  upstream.on('error', () => socket.destroy())
  socket.on('close', () => upstream.destroy())
  onTestFinished(() => void upstream.destroy())
}

const trusting = (proxy: AgentClientOptions['proxy']): Partial<AgentClientOptions> => ({
  ...(proxy === undefined ? {} : { proxy }),
  tls: { extraCa: authority.ca },
})

describe('given a proxy', () => {
  test('when the hub is on https > calls and streams go through tunnels, into which the proxy cannot look', async () => {
    const hub = await httpsHub()
    const proxy = await connectProxy()
    const { client, clock } = clientOf([hub.url], trusting(proxy.url))
    await client.sync(SYNC)
    await using stream = await openEventStream(client)
    expect(stream.url.origin).toBe(hub.url)
    expect(hub.asked).toEqual(['sync', 'events'])
    expect(proxy.heads).toHaveLength(2)
    for (const head of proxy.heads) expect(head).toMatch(new RegExp(`^CONNECT ${hub.host} HTTP/1\\.1\r\n`))
    expect(proxy.seen()).not.toMatch(/dla\.secret|authorization/i)
    // Nobody but the proxy was connected to the hub.
    expect(hub.connections()).toBe(2)
    await vi.waitUntil(() => clock.pendingTimers === 1)
  })

  test('when its URL has a user and password > they go to the proxy, and to nobody else', async () => {
    const hub = await httpsHub()
    const proxy = await connectProxy()
    const { client } = clientOf([hub.url], trusting(proxy.url.replace('//', '//user:p%40ss@')))
    await client.sync(SYNC)
    const expected = `proxy-authorization: Basic ${Buffer.from('user:p@ss').toString('base64')}`
    expect(proxy.heads[0]?.toLowerCase()).toContain(expected.toLowerCase())
    expect(hub.asked).toEqual(['sync'])
  })

  test('when the proxy itself is on https > it is spoken to over TLS', async () => {
    const hub = await httpsHub()
    const proxy = await connectProxy(undefined, (serve) =>
      createTlsServer(authority.issue('IP:127.0.0.1'), serve),
    )
    const { client } = clientOf([hub.url], trusting(proxy.url.replace('http:', 'https:')))
    await client.sync(SYNC)
    expect([proxy.heads.length, hub.asked]).toEqual([1, ['sync']])
  })

  test('when the hub is on plain http > the proxy hears nothing, whoever names it', async () => {
    const hub = await httpServer(hubAnswer())
    const proxy = await connectProxy()
    for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY']) {
      vi.stubEnv(name, proxy.url)
    }
    vi.stubEnv('NO_PROXY', '')
    for (const option of [undefined, proxy.url]) {
      const { client } = clientOf([hub.url], trusting(option))
      await client.sync(SYNC)
      await using _ = await openEventStream(client)
    }
    expect([hub.asked.length, proxy.connections()]).toEqual([4, 0])
  })

  test('when the environment names it > it is used, but for hosts in NO_PROXY', async () => {
    const proxy = await connectProxy('HTTP/1.1 503 No\r\n\r\n')
    vi.stubEnv('https_proxy', proxy.url)
    vi.stubEnv('no_proxy', '')
    const first = clientOf(['https://hub.invalid:8443'])
    expect(await failureOf(first.client.sync(SYNC))).toMatchObject({ code: 'proxy_failed' })
    expect(proxy.heads[0]).toMatch(/^CONNECT hub\.invalid:8443 /)
    vi.stubEnv('no_proxy', '.invalid')
    const second = clientOf(['https://hub.invalid:8443'])
    expect(await failureOf(second.client.sync(SYNC))).toMatchObject({ code: 'dns_failed' })
    expect(proxy.heads).toHaveLength(1)
  })

  test('when the option is false > it is not used', async () => {
    const proxy = await connectProxy('HTTP/1.1 503 No\r\n\r\n')
    vi.stubEnv('https_proxy', proxy.url)
    const { client } = clientOf(['https://hub.invalid'], { proxy: false })
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'dns_failed' })
    expect(proxy.connections()).toBe(0)
  })
})

describe('given a proxy that makes no tunnel', () => {
  test.each([
    ['asks for a password', 'HTTP/1.1 407 Authenticate\r\nproxy-authenticate: Basic\r\n\r\n'],
    ['refuses', 'HTTP/1.1 502 Bad gateway\r\ncontent-length: 2\r\n\r\nno'],
    ['redirects', 'HTTP/1.1 302 Found\r\nlocation: http://evil.example/\r\n\r\n'],
    ['speaks something else', 'SSH-2.0-x\r\n\r\n'],
    ['speaks into the tunnel first', 'HTTP/1.1 200 Ok\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}'],
    ['has endless headers', `HTTP/1.1 200 Ok\r\n${`x: ${'y'.repeat(999)}\r\n`.repeat(40)}`],
  ])('when it %s > the call fails by its name, and the hub hears nothing', async (_, reply) => {
    const hub = await httpsHub()
    const proxy = await connectProxy(reply)
    const { client, clock } = clientOf([hub.url], trusting(proxy.url.replace('//', '//user:s3cret@')))
    for (const call of [client.sync(SYNC), openEventStream(client)]) {
      const failure = await failureOf(call)
      expect(failure).toMatchObject({ code: 'proxy_failed', retry: 'backoff' })
      expect((failure as Error).message).toContain(`The proxy ${proxy.host}`)
      expect((failure as Error).message).not.toContain('s3cret')
    }
    expect(hub.connections()).toBe(0)
    await vi.waitUntil(() => proxy.sockets.size === 0)
    expect(clock.pendingTimers, 'timers left behind').toBe(0)
  })

  test('when it says why in a body > its status is told', async () => {
    const reply = 'HTTP/1.1 407 Authenticate\r\ncontent-length: 5\r\n\r\nlogin'
    const proxy = await connectProxy(reply)
    const { client } = clientOf(['https://hub.test'], trusting(proxy.url))
    const failure = await failureOf(client.sync(SYNC))
    expect((failure as Error).message, 'look at how the answer to CONNECT is read').toContain('with 407')
  })

  test('when nobody listens there > the call fails by its name', async () => {
    const hub = await httpsHub()
    const { client } = clientOf([hub.url], trusting(`http://127.0.0.1:${await refusedPort()}`))
    const failure = await failureOf(client.sync(SYNC))
    expect(failure).toMatchObject({ code: 'proxy_failed' })
    expect((failure as Error).message).toContain('ECONNREFUSED')
  })

  test('when it is silent > the one deadline of the connection holds', async () => {
    const hub = await httpsHub()
    const proxy = await connectProxy('')
    const { client, clock } = clientOf([hub.url], trusting(proxy.url))
    const failure = failureOf(client.sync(SYNC))
    await vi.waitUntil(() => proxy.heads.length === 1)
    await passTimer(clock, limits.CONNECT_MS_MAX)
    expect(await failure).toMatchObject({ code: 'connect_timeout' })
    await vi.waitUntil(() => proxy.sockets.size === 0)
  })

  test('when it is silent > a close and an abort do not wait for it', async () => {
    const hub = await httpsHub()
    const proxy = await connectProxy('')
    const { client } = clientOf([hub.url], trusting(proxy.url))
    const controller = new AbortController()
    const failures = [
      failureOf(client.sync(SYNC)),
      failureOf(openEventStream(client, { signal: controller.signal })),
    ]
    await vi.waitUntil(() => proxy.heads.length === 2)
    controller.abort(new Error('stop'))
    expect(await failures[1]).toEqual(new Error('stop'))
    await client.close()
    expect(await failures[0]).toMatchObject({ code: 'client_closed' })
    await vi.waitUntil(() => proxy.sockets.size === 0)
  })
})
