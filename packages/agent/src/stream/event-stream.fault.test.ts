import { limits, type Clock, type DownlinkEvent } from '@downlink/protocol'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { createBoot } from '../boot.ts'
import { createAgentClient, type AgentClient } from '../client.ts'
import { openEventStream, type EventStream } from './event-stream.ts'

const TOKEN = 'dla.secret-that-must-not-be-seen'
const PREAMBLE = 'retry: 2000\n: connected hb=15000\n\n'

const cleanUp: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of cleanUp.splice(0).toReversed()) await step()
})

async function listen(server: Server): Promise<{ url: string; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanUp.push(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets }
}

/** Accepts, reads and never answers. */
function silentServer(): Server {
  return createTcpServer((socket) => socket.resume())
}

function clientOf(url: string, clock: Clock = createTestClock()): AgentClient {
  const boot = createBoot((size) => new Uint8Array(size))
  const client = createAgentClient({
    hubs: [url],
    credential: () => TOKEN,
    boot,
    clock,
    journalId: () => 'j1',
  })
  cleanUp.push(() => client.close())
  return client
}

/** A hub whose answers are `listener`'s. */
async function hubOf(
  listener: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
  clock?: Clock,
) {
  const server = await listen(createServer((request, response) => void listener(request, response)))
  return { ...server, client: clientOf(server.url, clock) }
}

/** A hub that opens a stream, writes `text` and hands out the response. */
async function streamOf(text: string, clock?: Clock) {
  const opened = Promise.withResolvers<ServerResponse>()
  const hub = await hubOf((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    if (text !== '') response.write(text)
    opened.resolve(response)
  }, clock)
  const stream = await openEventStream(hub.client)
  return { ...hub, stream, response: await opened.promise }
}

async function read(stream: EventStream, count = Infinity): Promise<DownlinkEvent[]> {
  const events: DownlinkEvent[] = []
  for await (const event of stream) {
    events.push(event)
    if (events.length === count) break
  }
  return events
}

const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

describe('given a hub that streams', () => {
  test('when the agent asks > its request is the one of the wire, with its boot and a growing counter', async () => {
    const requests: IncomingMessage[] = []
    const { client } = await hubOf((request, response) => {
      requests.push(request)
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' }).end(PREAMBLE)
    })
    for (let i = 0; i < 2; i++) await read(await openEventStream(client))
    expect(requests.map(({ url }) => url)).toEqual(Array(2).fill('/api/internal/agent/events'))
    expect(requests[1]?.headers).toMatchObject({
      accept: 'text/event-stream',
      'accept-encoding': 'identity',
      authorization: `Bearer ${TOKEN}`,
      'cache-control': 'no-cache',
      'downlink-boot': '0'.repeat(32),
      'downlink-connect': '2',
      'downlink-journal': 'j1',
      'user-agent': 'downlink-agent',
    })
  })

  test('when it speaks all of our wire > every event comes, typed and in order', async () => {
    const { stream, response } = await streamOf(`${PREAMBLE}: hb n=7 t=1700\n\n`)
    response.end(
      'event: sync\ndata: {"reason":"wake"}\n\nevent: command\ndata: {"controls":[{"action":"cancel","taskId":"t1"}]}\n\nevent: later\ndata: {}\n\n',
    )
    expect(await read(stream)).toEqual([
      { type: 'ping', comment: 'connected hb=15000' },
      { type: 'ping', comment: 'hb n=7 t=1700' },
      { type: 'sync', reason: 'wake' },
      { type: 'command', controls: [{ action: 'cancel', taskId: 't1', args: null }] },
      { type: 'unknown', event: 'later', data: '{}' },
    ])
    expect(await stream.closed).toEqual({ reason: 'ended' })
    expect(stream).toMatchObject({
      heartbeatMs: 15_000,
      retryMs: 2_000,
      lastHeartbeat: { counter: 7, hubMs: 1_700, receivedMs: 0 },
    })
    expect(stream.url.pathname).toBe('/api/internal/agent/events')
  })

  test('when it knows only the original wire, sends a BOM and CRLF, byte by byte > it is understood', async () => {
    const text = '\ufeff: connected hb=9000\r\n\r\nevent: sync\r\ndata: {"reason":"wake"}\r\n\r\n:\r\n\r\n'
    const { client } = await hubOf(async (_, response) => {
      response.writeHead(200, { 'content-type': 'Text/Event-Stream' })
      for (const byte of Buffer.from(text)) {
        await new Promise((resolve) => response.write(Uint8Array.of(byte), resolve))
      }
      response.end()
    })
    const stream = await openEventStream(client)
    expect(await read(stream)).toEqual([
      { type: 'ping', comment: 'connected hb=9000' },
      { type: 'sync', reason: 'wake' },
      { type: 'ping', comment: '' },
    ])
    expect([stream.heartbeatMs, stream.lastHeartbeat, stream.retryMs]).toEqual([9_000, undefined, undefined])
  })
})

describe('given a consumer', () => {
  test('when it leaves the loop > the stream is closed and the hub sees it', async () => {
    const { stream, response } = await streamOf(PREAMBLE)
    const gone = once(response, 'close')
    expect(await read(stream, 1)).toHaveLength(1)
    expect(await stream.closed).toEqual({ reason: 'closed' })
    await gone
  })

  test('when there is a second one > it is refused', async () => {
    const { stream } = await streamOf(PREAMBLE)
    stream[Symbol.asyncIterator]()
    expect(() => stream[Symbol.asyncIterator]()).toThrow(expect.objectContaining({ code: 'stream_consumed' }))
    await stream.close()
  })

  test('when it closes twice, with an event waiting and a read pending > both resolve alike and nothing more comes', async () => {
    const { stream, response } = await streamOf('')
    const events = stream[Symbol.asyncIterator]()
    const pending = events.next()
    const gone = once(response, 'close')
    expect(await Promise.all([stream.close(), stream.close()])).toEqual(Array(2).fill({ reason: 'closed' }))
    expect(await pending).toEqual({ done: true, value: undefined })
    expect(await events.next()).toEqual({ done: true, value: undefined })
    expect(await stream.close()).toEqual({ reason: 'closed' })
    await gone
  })

  test('when it uses the stream in a block > leaving the block closes it', async () => {
    const { client } = await hubOf((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(PREAMBLE)
    })
    let closed: Promise<unknown>
    {
      await using stream = await openEventStream(client)
      closed = stream.closed
    }
    expect(await closed).toEqual({ reason: 'closed' })
  })

  test('when it does not read > the socket is not read either, and later every event is there', async () => {
    const frame = `event: sync\ndata: {"reason":"${'x'.repeat(1_000)}"}\n\n`
    const framesMax = 65_536
    let written = 0
    const { client } = await hubOf(async (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const gone = once(response, 'close')
      for (; written < framesMax && !response.destroyed; written++) {
        if (!response.write(frame)) await Promise.race([once(response, 'drain'), gone])
      }
      response.end()
    })
    const clock = createTestClock()
    const stream = await openEventStream(clientOf(client.mirrors.current.href, clock))
    // Written so far, once it has not grown over several looks: the kernel's buffers are full, or there is no bound.
    let seen = -1
    await vi.waitFor(
      () => {
        const before = seen
        seen = written
        if (written === 0 || before !== written) throw new Error('The hub still gets rid of bytes.')
      },
      { interval: 100, timeout: 20_000 },
    )
    expect(written * frame.length, 'bytes that the hub could write; look for a buffer').toBeLessThan(20e6)
    // Silence is nobody's fault while nobody reads.
    expect(clock.pendingTimers).toBe(0)
    clock.advance(limits.LIVENESS_MS_MAX * 2)
    let events = 0
    for await (const event of stream) if (event.type === 'sync') events += 1
    expect([events, await stream.closed]).toEqual([framesMax, { reason: 'ended' }])
  })
})

describe('given an abort', () => {
  test('when it came before > nothing is dialled', async () => {
    const { client, sockets } = await hubOf(() => {})
    const reason = new Error('stop')
    expect(await failureOf(openEventStream(client, { signal: AbortSignal.abort(reason) }))).toBe(reason)
    expect(sockets.size).toBe(0)
  })

  test('when it comes while the hub is silent > it rejects with the reason, and the socket is gone', async () => {
    const clock = createTestClock()
    const { url, sockets } = await listen(silentServer())
    const controller = new AbortController()
    const opening = failureOf(openEventStream(clientOf(url, clock), { signal: controller.signal }))
    await vi.waitUntil(() => sockets.size === 1)
    controller.abort(new Error('stop'))
    expect(await opening).toEqual(new Error('stop'))
    await vi.waitUntil(() => sockets.size === 0)
    expect(clock.pendingTimers).toBe(0)
  })

  // Well below the time that a connect may take by itself.
  test(
    'when it comes during the TLS handshake > the socket is gone as well',
    { timeout: 5_000 },
    async () => {
      const { url, sockets } = await listen(silentServer())
      const controller = new AbortController()
      const client = clientOf(url.replace('http:', 'https:'))
      const opening = failureOf(openEventStream(client, { signal: controller.signal }))
      await vi.waitUntil(() => sockets.size === 1)
      controller.abort(new Error('stop'))
      expect(await opening).toEqual(new Error('stop'))
      await vi.waitUntil(() => sockets.size === 0)
    },
  )

  test('when it comes while open > the loop ends without an error and without what was waiting', async () => {
    const { client } = await hubOf((_, response) => {
      response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .write(PREAMBLE + 'data: 1\n\ndata: 2\n\n')
    })
    const controller = new AbortController()
    const stream = await openEventStream(client, { signal: controller.signal })
    const seen: string[] = []
    for await (const event of stream) {
      seen.push(event.type)
      controller.abort(new Error('stop'))
    }
    expect([seen, await stream.closed]).toEqual([['ping'], { reason: 'aborted' }])
  })

  test('when it comes after the end > the end stays what it was', async () => {
    const { client } = await hubOf((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(PREAMBLE)
    })
    const controller = new AbortController()
    const stream = await openEventStream(client, { signal: controller.signal })
    await read(stream)
    controller.abort()
    expect([await stream.closed, await stream.close()]).toEqual(Array(2).fill({ reason: 'ended' }))
  })
})

describe('given a stream that ends by itself', () => {
  test('when the hub said so > it was drained, even if the connection then broke', async () => {
    for (const finish of ['end', 'destroy'] as const) {
      const { stream, response } = await streamOf('event: drain\ndata: {"reconnectAfterMs":1000}\n\n')
      const events = stream[Symbol.asyncIterator]()
      expect(await events.next()).toEqual({ done: false, value: { type: 'drain', reconnectAfterMs: 1_000 } })
      response[finish]()
      expect([await events.next(), await stream.closed]).toEqual([
        { done: true, value: undefined },
        { reason: 'drained' },
      ])
    }
  })

  test('when the connection breaks > it was lost', async () => {
    const { stream, response } = await streamOf(PREAMBLE)
    response.destroy()
    expect(await stream.closed).toMatchObject({ reason: 'lost', error: { code: 'connection_lost' } })
    expect(await read(stream)).toHaveLength(1)
  })

  test('when the hub passes a bound > it is cut', async () => {
    const { stream, response } = await streamOf(PREAMBLE)
    const gone = once(response, 'close')
    response.write(`data: ${'x'.repeat(limits.SSE_LINE_BYTES_MAX)}\n`)
    expect(await stream.closed).toMatchObject({ reason: 'limit', error: { code: 'sse_line_too_long' } })
    await gone
  })

  test('when the headers come and then nothing > it was silent, by the clock that began before the dial', async () => {
    const clock = createTestClock()
    const { stream, response } = await streamOf('', clock)
    const gone = once(response, 'close')
    clock.advance(limits.HEARTBEAT_MS_DEFAULT * limits.LIVENESS_HEARTBEATS)
    expect(await stream.closed).toMatchObject({ reason: 'silent' })
    await gone
  })

  test('when no frame comes for two and a half heartbeats > it was silent; bytes of no whole line count for nothing', async () => {
    const clock = createTestClock()
    const { stream, response } = await streamOf(PREAMBLE, clock)
    const events = stream[Symbol.asyncIterator]()
    await events.next()
    clock.advance(37_000)
    response.write(': hb\n\n')
    await events.next()
    clock.advance(37_499)
    response.write(': no end of line')
    expect(clock.pendingTimers).toBe(1)
    clock.advance(1)
    expect(await stream.closed).toMatchObject({ reason: 'silent', error: { code: 'stream_silent' } })
    expect([await events.next(), clock.pendingTimers]).toEqual([{ done: true, value: undefined }, 0])
  })
})
