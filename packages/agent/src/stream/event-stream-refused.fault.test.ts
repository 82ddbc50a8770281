import { HttpError, limits, type Clock } from '@downlink/protocol'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { createBoot } from '../boot.ts'
import { createAgentClient } from '../client.ts'
import { openEventStream } from './event-stream.ts'

const TOKEN = 'dla.secret-that-must-not-be-seen'

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

/** What opening a stream there is refused with. Fails if the token can be seen in it. */
async function refusedBy(url: string, clock: Clock = createTestClock()): Promise<unknown> {
  const boot = createBoot((size) => new Uint8Array(size))
  const client = createAgentClient({ hubs: [url], credential: () => TOKEN, boot, clock })
  cleanUp.push(() => client.close())
  const error: unknown = await openEventStream(client).then(
    (stream) => stream,
    (reason: unknown) => reason,
  )
  expect(error, 'the stream opened; it must be refused').toBeInstanceOf(Error)
  expect(inspect(error, { depth: 8 }), 'an error shows the credential').not.toContain(TOKEN)
  return error
}

async function refusedByListener(listener: RequestListener, clock?: Clock): Promise<unknown> {
  const { url, sockets } = await listen(createServer(listener))
  const error = await refusedBy(url, clock)
  // Nothing that was refused may go on talking.
  await vi.waitUntil(() => sockets.size === 0)
  return error
}

describe('given an answer that is no event stream', () => {
  test('when it is a redirect > it is refused, and the other origin hears nothing', async () => {
    let heard = 0
    const other = await listen(createServer(() => (heard += 1)))
    for (const status of [301, 302, 303, 307, 308]) {
      const error = await refusedByListener((_, response) =>
        response.writeHead(status, { location: `${other.url}/events?token=1` }).end(),
      )
      expect(error).toMatchObject({ name: 'HttpError', code: 'redirect_refused', status })
      expect((error as Error).message).toContain(other.url)
    }
    expect([heard, other.sockets.size]).toEqual([0, 0])
  })

  test('when it is a login page > it is refused by its name', async () => {
    const error = await refusedByListener((_, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<form>'),
    )
    expect(error).toMatchObject({ code: 'not_a_hub', status: 200 })
    expect((error as Error).message).toMatch(/text\/html.*login page/)
  })

  test.each([{ 'content-type': 'text/event-stream-ish' }, {}])(
    'when its content type is %o > it is refused',
    async (headers) => {
      const error = await refusedByListener((_, response) => response.writeHead(200, headers).end())
      expect(error).toMatchObject({ code: 'not_an_event_stream' })
    },
  )

  test('when it is compressed > it is refused, as it was not asked for', async () => {
    const headers = { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }
    const error = await refusedByListener((_, response) => response.writeHead(200, headers).end())
    expect(error).toMatchObject({ code: 'compressed_reply' })
  })

  test('when it is a success of another kind > it is refused', async () => {
    const error = await refusedByListener((_, response) => response.writeHead(204).end())
    expect(error).toMatchObject({ code: 'http_204' })
  })
})

describe('given an error as the answer', () => {
  test('when it is JSON > its code, message and Retry-After come through, and an echoed token does not', async () => {
    const body = JSON.stringify({ error: 'agent_revoked', message: `${TOKEN} is\nrevoked` })
    const error = await refusedByListener((_, response) =>
      response.writeHead(410, { 'retry-after': '7' }).end(body),
    )
    expect(error).toBeInstanceOf(HttpError)
    expect(error).toMatchObject({ status: 410, code: 'agent_revoked', retry: 'never', retryAfterMs: 7_000 })
    expect((error as Error).message).toContain('[credential] is\\nrevoked')
  })

  test.each(['<html>502 Bad Gateway</html>', '', '{"error":7}', '{"error":"../../x"}', '[[['])(
    'when it is %j > the status is the code',
    async (body) => {
      const error = await refusedByListener((_, response) => response.writeHead(502).end(body))
      expect(error).toMatchObject({ status: 502, code: 'http_502', retry: 'backoff', body })
    },
  )

  test('when it never stops > what came first is kept, up to its bound', async () => {
    const error = await refusedByListener((_, response) => {
      response.writeHead(500)
      const write = (): void => void response.write('x'.repeat(700), () => setImmediate(write))
      write()
    })
    expect((error as HttpError).body).toBe('x'.repeat(limits.ERROR_BODY_BYTES_MAX))
  })

  test('when the bound cuts an echoed token in two > neither half is shown', async () => {
    const start = 'x'.repeat(limits.ERROR_BODY_BYTES_MAX - 10)
    const error = await refusedByListener((_, response) => response.writeHead(400).end(start + TOKEN))
    expect((error as HttpError).body).toBe(`${start}[credentia`)
  })

  test('when a part of an echoed token stands at the bound > what stands for it does not pass the bound', async () => {
    const body = 'x'.repeat(limits.ERROR_BODY_BYTES_MAX - 6) + TOKEN
    const error = await refusedByListener((_, response) => response.writeHead(400).end(body))
    expect((error as HttpError).body).toBe(`${'x'.repeat(limits.ERROR_BODY_BYTES_MAX - 6)}[crede`)
  })

  test('when it drips > it is read for its time and no longer', async () => {
    const clock = createTestClock()
    const error = refusedByListener((_, response) => response.writeHead(503).write('{"error":'), clock)
    // The proof of life, and the error's body.
    await vi.waitUntil(() => clock.pendingTimers === 2)
    clock.advance(limits.ERROR_BODY_MS_MAX)
    expect(await error).toMatchObject({ status: 503, code: 'http_503' })
    expect(clock.pendingTimers).toBe(0)
  })
})

describe('given a connection that comes to nothing', () => {
  test('when the hub accepts and never answers > it was silent, by the clock that began before the dial', async () => {
    const clock = createTestClock()
    const { url, sockets } = await listen(createTcpServer((socket) => socket.resume()))
    const error = refusedBy(url, clock)
    expect(clock.nextTimerMs).toBe(limits.CONNECT_MS_MAX)
    await vi.waitUntil(() => clock.pendingTimers === 1)
    expect(clock.nextTimerMs).toBe(limits.HEARTBEAT_MS_DEFAULT * limits.LIVENESS_HEARTBEATS)
    await vi.waitUntil(() => sockets.size === 1)
    clock.advance(limits.HEARTBEAT_MS_DEFAULT * limits.LIVENESS_HEARTBEATS)
    expect(await error).toMatchObject({ code: 'stream_silent', retry: 'backoff' })
    await vi.waitUntil(() => sockets.size === 0)
    expect(clock.pendingTimers).toBe(0)
  })

  test('when it is reset before the headers > it was lost', async () => {
    const { url } = await listen(
      createTcpServer((socket) => socket.once('data', () => socket.resetAndDestroy())),
    )
    expect(await refusedBy(url)).toMatchObject({ code: 'connection_lost', retry: 'backoff' })
  })

  test('when nobody listens > the error says so', async () => {
    const server = createTcpServer()
    const { url } = await listen(server)
    await cleanUp.pop()?.()
    const error = await refusedBy(url)
    expect(error).toMatchObject({ code: 'connect_failed' })
    expect((error as Error).message).toMatch(/^GET events at 127\.0\.0\.1:\d+ failed: ECONNREFUSED\. /)
  })

  test('when what answers speaks something else > the error says so, and shows none of it', async () => {
    const { url } = await listen(createTcpServer((socket) => socket.end(`SSH-2.0 ${TOKEN}\r\n`)))
    const error = await refusedBy(url)
    expect(error).toMatchObject({ code: 'reply_malformed' })
    expect(error).not.toHaveProperty('cause')
  })

  test('when the headers have no end > they are not read further than their bound', async () => {
    const { url, sockets } = await listen(
      createTcpServer((socket) => {
        socket.resume().write('HTTP/1.1 200 OK\r\n')
        const write = (): void => {
          if (!socket.destroyed) socket.write(`x: ${'y'.repeat(1_000)}\r\n`, () => setImmediate(write))
        }
        write()
      }),
    )
    expect(await refusedBy(url)).toMatchObject({ code: 'reply_headers_too_large' })
    await vi.waitUntil(() => sockets.size === 0)
  })

  test('when what answers does not speak TLS > the error says so', async () => {
    const { url } = await listen(
      createTcpServer((socket) => socket.once('data', () => socket.end('HTTP/1.1'))),
    )
    expect(await refusedBy(url.replace('http:', 'https:'))).toMatchObject({ code: 'tls_failed' })
  })
})
