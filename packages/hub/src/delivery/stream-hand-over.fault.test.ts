/** Which connections of streams node:http hands over, and that those behave as its own do. */
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { limits } from '@downlink/protocol'
import { describe, expect, test, vi } from 'vitest'
import {
  boot,
  interruptedStore,
  openRawStream,
  ours,
  startHub,
  type AgentFixture,
  type HubFixture,
  type HubFixtureOptions,
} from '../../test/hub-fixture.ts'
import { exchangeBytes, head, openRawClient, type RawClient } from '../../test/raw-client.ts'
import { createHttpServer } from '../http-server.ts'
import { silentLogger, type Logger } from '../logger.ts'
import type { Store } from '../store/store.ts'

const EVENTS = '/api/internal/agent/events'
const credentials = ({ apiKey }: AgentFixture): Record<string, string> => ({
  authorization: `Bearer ${apiKey}`,
})
const handedOver =
  /^HTTP\/1\.1 200 (?![\s\S]*transfer-encoding)[\s\S]*\r\nconnection: close\r\n[\s\S]*?\r\n\r\nretry: /i

describe('given the hub’s own server', () => {
  test('when a stream opens > it has its connection to itself, and a body that the close ends', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    await using client = await openRawClient(hub.url)
    client.write(`${head('GET', `${EVENTS}?x=1`, credentials(agent))}\r\n`)
    expect(await client.until(/hb n=/), 'this Node hands no stream over: see hand-over.ts').toMatch(
      handedOver,
    )
    expect(client.text).toMatch(/\r\ndate: /i)
    expect(await streamsOf(hub)).toBe(1)
    client.socket.destroy()
    await vi.waitUntil(async () => (await streamsOf(hub)) === 0)
  })

  test('when it comes on a connection that was used before > it is handed over as well', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    await using client = await openRawClient(hub.url)
    client.write(`${head('GET', '/healthz')}\r\n`)
    await client.until(/"ok"/)
    const replied = client.text.length
    client.write(`${head('GET', EVENTS, credentials(agent))}\r\n`)
    await client.until(/hb n=/)
    expect(client.text.slice(replied)).toMatch(handedOver)
  })

  test('when it is sent before an earlier reply > the replies keep their order', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    const healthz = head('GET', '/healthz')
    const stream = head('GET', EVENTS, credentials(agent))
    await using client = await openRawClient(hub.url)
    client.write(`${healthz}\r\n${healthz}\r\n${stream}\r\n`)
    expect(await client.until(/hb n=/)).toMatch(/"ok"[\s\S]*"ok"[\s\S]*text\/event-stream/)
  })

  test('when it has a body, or is a HEAD, or is of HTTP 1.0 > it is answered as ever', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    await using withBody = await openRawClient(hub.url)
    withBody.write(`${head('GET', EVENTS, { ...credentials(agent), 'content-length': '2' })}\r\n{}`)
    await withBody.until(/hb n=/)
    expect(await exchangeBytes(hub.url, `${head('HEAD', EVENTS, { connection: 'close' })}\r\n`)).toMatch(
      / 405 /,
    )
    await using old = await openRawClient(hub.url)
    old.write(`GET ${EVENTS} HTTP/1.0\r\nauthorization: ${credentials(agent)['authorization'] ?? ''}\r\n\r\n`)
    expect(await old.until(/hb n=/)).toMatch(handedOver)
  })

  test('when the guard refuses it > the reply is that to any request', async () => {
    await using hub = await startHub()
    const withoutHost = (path: string): Promise<string> =>
      exchangeBytes(hub.url, `GET ${path} HTTP/1.1\r\n\r\n`)
    const [refused, other] = [await withoutHost(EVENTS), await withoutHost('/healthz')]
    expect(refused).toMatch(/^HTTP\/1\.1 400 [\s\S]*no Host/)
    expect(refused.replace(/date: .*/i, '')).toBe(other.replace(/date: .*/i, ''))
  })

  test('when another upgrade is asked for > the request is answered as if it were not', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    const websocket = { connection: 'Upgrade', upgrade: 'websocket' }
    await using client = await openRawClient(hub.url)
    client.write(`${head('GET', '/healthz', websocket)}\r\n`)
    expect(await client.until(/"ok"/)).toMatch(/^HTTP\/1\.1 200 /)
    // As curl --http2 does.
    const http2 = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABk' }
    await using stream = await openRawClient(hub.url)
    stream.write(`${head('GET', EVENTS, { ...credentials(agent), ...http2 })}\r\n`)
    expect(await stream.until(/hb n=/)).toMatch(handedOver)
    expect(await exchangeBytes(hub.url, `${head('CONNECT', 'hub:443')}\r\n`), 'a CONNECT is cut').toBe('')
  })

  test('when its client ends its half > the hub ends the other', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    await using client = await openRawClient(hub.url)
    client.write(`${head('GET', EVENTS, credentials(agent))}\r\n`)
    await client.until(/retry: /)
    client.socket.end()
    await client.closed
    await vi.waitUntil(async () => (await streamsOf(hub)) === 0)
  })

  test('when its client ends its half, or resets, before it is answered > nothing is left of it', async () => {
    const ends: ((client: RawClient) => void)[] = [
      (client) => void client.socket.end(),
      (client) => void client.socket.resetAndDestroy(),
    ]
    for (const end of ends) {
      const held = holdMailbox()
      await using hub = await startHub({ wrapStore: held.wrap })
      const agent = await hub.enroll('a1')
      held.hold()
      await using client = await openRawClient(hub.url)
      client.write(`${head('GET', EVENTS, { ...credentials(agent), ...boot('boot-1', 1) })}\r\n`)
      await vi.waitUntil(() => held.isReached, { timeout: 5_000 })
      end(client)
      held.release()
      await client.closed
      await vi.waitUntil(async () => (await openOf(hub)) === 1)
      expect(await streamsOf(hub)).toBe(0)
    }
  })

  test('when its client goes on sending > what comes is thrown away, and too much is cut', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    const request = `${head('GET', EVENTS, credentials(agent))}\r\n`
    await using client = await openRawClient(hub.url)
    client.write(`${request}${request}`)
    await client.until(/hb n=/)
    expect(client.text.match(/HTTP\/1/g)).toHaveLength(1)
    client.write('x'.repeat(limits.STREAM_INPUT_BYTES_MAX + 1))
    await client.closed
    expect(await exchangeBytes(hub.url, request + 'x'.repeat(limits.STREAM_INPUT_BYTES_MAX + 1))).toBe('')
  })

  test('when the hub stops > it waits for the last bytes, and no connection is left', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    await using client = await openRawClient(hub.url)
    client.write(`${head('GET', EVENTS, credentials(agent))}\r\n`)
    await client.until(/retry: /)
    await hub.hub.drain({ drainMs: 0, restartMs: 0 })
    await client.closed
    expect(client.text).toMatch(/event: drain\n/)
  })

  test('when it stops while a reader stands still > that is cut at the deadline', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    await using client = await openRawClient(hub.url)
    client.write(`${head('GET', EVENTS, credentials(agent))}\r\n`)
    await client.until(/retry: /)
    client.socket.pause()
    await hub.hub.drain({ drainMs: 0, restartMs: 0, deadlineMs: 50 })
    client.socket.resume()
    await client.closed
  })

  test('when it stops while a request is not yet answered > that is cut at the deadline', async () => {
    const held = holdMailbox()
    await using hub = await startHub({ wrapStore: held.wrap })
    const agent = await hub.enroll('a1')
    held.hold()
    await using client = await openRawClient(hub.url)
    client.write(`${head('GET', EVENTS, { ...credentials(agent), ...boot('boot-1', 1) })}\r\n`)
    await vi.waitUntil(() => held.isReached, { timeout: 5_000 })
    await hub.hub.drain({ drainMs: 0, restartMs: 0, deadlineMs: 50 })
    await client.closed
    expect(client.text).toBe('')
    held.release()
  })

  test('when as many streams are open as it takes connections > another is closed at once', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    const server = createHttpServer((request, response) => hub.hub.handler(request, response), {
      connectionsMax: 1,
      isStream: ({ url }) => url === EVENTS,
    })
    const url = await listening(server)
    await using client = await openRawClient(url)
    client.write(`${head('GET', EVENTS, credentials(agent))}\r\n`)
    expect(await client.until(/retry: /)).toMatch(handedOver)
    await using refused = await openRawClient(url)
    await refused.closed
    client.socket.destroy()
    const isAccepted = async (): Promise<boolean> =>
      (await exchangeBytes(url, `${head('GET', '/healthz', { connection: 'close' })}\r\n`)) !== ''
    await vi.waitUntil(isAccepted)
    server.close()
  })
})

describe('given a stream that is refused', () => {
  const reply = (status: number, code: string, header = ''): RegExp =>
    new RegExp(
      `^HTTP/1\\.1 ${status} (?=[^]*connection: close\r\n)[^]*${header}[^]*\\{"error":"${code}".*\\}$`,
      'i',
    )

  async function start(options: HubFixtureOptions['hub'] = {}) {
    const lines: object[] = []
    const logger: Logger = { ...silentLogger, info: (fields) => void lines.push(fields) }
    const hub = await startHub({ hub: { ...options, logger, isAccessLogged: true } })
    const agent = await hub.enroll('a1')
    return { hub, agent, lines, [Symbol.asyncDispose]: () => hub[Symbol.asyncDispose]() }
  }
  /** Its connection ends with it: it was handed over. It is counted and logged as on any other path. */
  async function expectRefusal(
    { hub, lines }: { readonly hub: HubFixture; readonly lines: readonly object[] },
    headers: Readonly<Record<string, string>>,
    [status, code, header]: readonly [number, string, string?],
  ): Promise<void> {
    const text = await exchangeBytes(hub.url, `${head('GET', EVENTS, headers)}\r\n`)
    expect(text).toMatch(reply(status, code, header))
    const [, length, body = ''] = /content-length: (\d+)[^]*\r\n\r\n(.*)/i.exec(text) ?? []
    expect(Buffer.byteLength(body)).toBe(Number(length))
    const metrics = await (
      await fetch(new URL('/metrics', hub.url), { headers: { authorization: `Bearer ${hub.token}` } })
    ).text()
    expect(metrics).toContain(`downlink_refusals_total{code="${code}"} 1\n`)
    const statusClass = `${String(status)[0] ?? ''}xx`
    expect(metrics).toContain(`{api="agents",route="events",status="${statusClass}"} 1\n`)
    expect(lines).toContainEqual(
      expect.objectContaining({ route: 'events', status, code, address: '127.0.0.1' }),
    )
  }

  test('when its key is wrong > 401', async () => {
    await using fixture = await start()
    await expectRefusal(fixture, { authorization: 'Bearer wrong' }, [401, 'unauthorized'])
  })

  test('when a newer process is its agent > 409', async () => {
    await using fixture = await start()
    await fixture.agent.sync(ours(1))
    await fixture.agent.sync(ours(1, { bootNonce: 'boot-2' }))
    const headers = { ...credentials(fixture.agent), ...boot('boot-1', 2) }
    await expectRefusal(fixture, headers, [409, 'agent_hash_taken'])
  })

  test('when its agent asks too often > 429 and when to come back', async () => {
    await using fixture = await start({ agentRequestsPerS: 1 })
    for (let n = 0; n < limits.REQUESTS_BURST_S; n++) await fixture.agent.sync(ours(n))
    const refusal = [429, 'too_many_requests', 'retry-after: \\d+\r\n'] as const
    await expectRefusal(fixture, credentials(fixture.agent), refusal)
  })

  test('when the hub stops > 503 and when to come back', async () => {
    await using fixture = await start()
    const { hub, agent } = fixture
    await using other = await agent.openStream()
    await other.until(/retry: /)
    const stop = new AbortController()
    const drained = hub.hub.drain({ drainMs: 3_600_000, restartMs: 7_000, signal: stop.signal })
    await expectRefusal(fixture, credentials(agent), [503, 'draining', 'retry-after: \\d+\r\n'])
    stop.abort()
    await drained
  })
})

describe('given a server of one’s own', () => {
  test('when a stream opens > it is a reply of that server, and closeAllConnections ends it', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    const server = createServer((request, response) => hub.hub.handler(request, response))
    const url = await listening(server)
    await using stream = await openRawStream(new URL(EVENTS, url), credentials(agent))
    await stream.until(/hb n=/)
    expect(stream.headers['transfer-encoding']).toBe('chunked')
    server.closeAllConnections()
    await stream.ended
    await vi.waitUntil(async () => (await streamsOf(hub)) === 0)
    server.close()
  })

  test('when something wraps its replies > the stream goes through that', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('a1')
    const wrap: RequestListener = (request, response) => {
      const wrapped = new PassThrough()
      const write = response.write.bind(response)
      wrapped.on('data', (chunk: Buffer) => write(String(chunk).toUpperCase()))
      response.write = ((chunk: Uint8Array) => wrapped.write(chunk)) as typeof response.write
      hub.hub.handler(request, response)
    }
    const server = createServer(wrap)
    await using stream = await openRawStream(new URL(EVENTS, await listening(server)), credentials(agent))
    await stream.until(/HB N=/)
    server.closeAllConnections()
    server.close()
  })
})

test('given a stream that was handed over > a revocation ends it', async () => {
  await using hub = await startHub()
  const agent = await hub.enroll('a1')
  await using stream = await openRawStream(new URL(EVENTS, hub.url), credentials(agent))
  await stream.until(/hb n=/)
  await hub.operator('DELETE', '/api/v1/agents/a1')
  await stream.ended
})

/** Holds up what reads a mailbox, as a stream's request of ours does before it is answered, from `hold` to `release`. */
function holdMailbox() {
  const { promise, resolve: release } = Promise.withResolvers<void>()
  const held = {
    isArmed: false,
    isReached: false,
    hold: () => void (held.isArmed = true),
    release,
    wrap: (store: Store): Store =>
      interruptedStore(store, 'read', () => {
        if (!held.isArmed) return undefined
        held.isReached = true
        return promise
      }),
  }
  return held
}

/** Replies and streams that the hub has under way, this request among them. */
async function openOf(hub: HubFixture): Promise<number> {
  const reply = await fetch(new URL('/metrics', hub.url), {
    headers: { authorization: `Bearer ${hub.token}` },
  })
  return Number(/^downlink_requests_open (\d+)$/m.exec(await reply.text())?.[1])
}

/** Streams that the hub has open. */
async function streamsOf(hub: HubFixture): Promise<number> {
  const { body } = await hub.operator('GET', '/api/v1/agents/a1')
  return body?.transport === 'stream' ? 1 : 0
}

async function listening(server: Server): Promise<URL> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}
