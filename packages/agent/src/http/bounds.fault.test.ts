import { limits } from '@downlink/protocol'
import type { Socket } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import { clientOf, failureOf, httpServer, SYNC, tcpServer } from '../../test/servers.ts'
import type { AgentClient } from '../client.ts'
import { openEventStream } from '../stream/event-stream.ts'

const CALLS: readonly (readonly [string, (client: AgentClient) => Promise<unknown>])[] = [
  ['sync', (client) => client.sync(SYNC)],
  ['wake', (client) => client.wake()],
  ['events', (client) => openEventStream(client)],
]

/** Writes `text` again and again for as long as the socket takes it; returns how many bytes it took. */
function pour(socket: Socket, text: string): () => number {
  const write = (): void => {
    if (!socket.destroyed) socket.write(text, () => setImmediate(write))
  }
  write()
  return () => socket.bytesWritten
}

/** A server that answers `start`, and then `text` without end. */
async function pouring(start: string, text: string) {
  let poured = (): number => 0
  const server = await tcpServer((socket) =>
    socket.once('data', () => {
      socket.write(start)
      poured = pour(socket, text)
    }),
  )
  return { ...server, poured: () => poured() }
}

const STREAM_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n'
const JSON_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n'
/** What kernels and buffers between hold beyond what the agent has read. */
const IN_TRANSIT_BYTES = 16_777_216

describe.each(CALLS)('given a call of %s', (_, call) => {
  test.each([
    ['headers without end', 'HTTP/1.1 200 OK\r\n', `x: ${'y'.repeat(900)}\r\n`, 'reply_headers_too_large'],
    ['a header without end', 'HTTP/1.1 200 OK\r\nx: ', 'y'.repeat(9_000), 'reply_headers_too_large'],
    ['tiny headers without end', 'HTTP/1.1 200 OK\r\n', 'x:\r\n'.repeat(100), 'reply_headers_too_large'],
    ['spaces in a header without end', 'HTTP/1.1 200 OK\r\nx:', ' '.repeat(9_000), 'reply_headers_too_large'],
    [
      'interim replies without end',
      '',
      'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n',
      'too_many_interim_replies',
    ],
  ])('when %s come > it ends by its own error', async (__, start, text, code) => {
    const server = await pouring(start, text)
    const { client, clock } = clientOf([server.url])
    expect(await failureOf(call(client))).toMatchObject({ code, retry: 'backoff' })
    await vi.waitUntil(() => server.sockets.size === 0)
    expect(server.poured()).toBeLessThan(limits.RAW_BYTES_WITHOUT_FRAME_MAX + IN_TRANSIT_BYTES)
    expect(clock.pendingTimers, 'timers left behind').toBe(0)
  })

  test('when more headers come than are taken, small as they are > it ends', async () => {
    const names = Array.from({ length: limits.RESPONSE_HEADERS_MAX + 1 }, (___, index) => `x-${index}: 1\r\n`)
    const server = await tcpServer((socket) =>
      socket.once('data', () => socket.write(`HTTP/1.1 200 OK\r\n${names.join('')}\r\n`)),
    )
    const { client } = clientOf([server.url])
    const failure = await failureOf(call(client))
    expect(failure).toMatchObject({ code: 'reply_headers_too_large' })
    expect((failure as Error).message).toContain('129 headers, and 128')
    await vi.waitUntil(() => server.sockets.size === 0)
  })

  test('when the same header comes again and again > each one counts', async () => {
    const server = await httpServer((___, response) => {
      const cookies = Array.from({ length: limits.RESPONSE_HEADERS_MAX }, (____, index) => `c=${index}`)
      response.writeHead(200, { 'set-cookie': cookies }).end('{}')
    })
    const { client } = clientOf([server.url])
    expect(await failureOf(call(client))).toMatchObject({ code: 'reply_headers_too_large' })
  })

  test('when it asks > it asks for no compression', async () => {
    const encodings: unknown[] = []
    const server = await httpServer((request, response) => {
      encodings.push(request.headers['accept-encoding'])
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('x')
    })
    const { client } = clientOf([server.url])
    expect(await failureOf(call(client))).toMatchObject({ code: 'compressed_reply' })
    expect(encodings).toEqual(['identity'])
  })
})

describe('given a stream', () => {
  test.each([
    ['chunk extensions', `1;${'x'.repeat(8_000)}\r\n:\r\n`, 'raw_bytes_exceeded', 'lost'],
    ['one long chunk extension', 'x'.repeat(9_000), 'raw_bytes_exceeded', 'lost'],
    ['blank lines', `2\r\n\n\n\r\n`.repeat(500), 'raw_bytes_exceeded', 'lost'],
    ['retry lines', `a\r\nretry: 1\n\n\r\n`.repeat(500), 'raw_bytes_exceeded', 'lost'],
  ])('when %s come without end > it ends by its own error', async (what, text, code, reason) => {
    const start = what === 'one long chunk extension' ? `${STREAM_HEAD}1;` : STREAM_HEAD
    const server = await pouring(start, text)
    const { client, clock } = clientOf([server.url])
    const stream = await openEventStream(client)
    expect(await stream.closed).toMatchObject({ reason, error: { code } })
    await vi.waitUntil(() => server.sockets.size === 0)
    expect(server.poured()).toBeLessThan(limits.RAW_BYTES_WITHOUT_FRAME_MAX + IN_TRANSIT_BYTES)
    expect(clock.pendingTimers, 'timers left behind').toBe(0)
  })

  test('when frames come in tiny padded chunks > it goes on past the bound, as each frame is of use', async () => {
    const frame = Array.from(': hb\n', (char) => `1;${'x'.repeat(4_000)}\r\n${char}\r\n`).join('')
    const server = await pouring(STREAM_HEAD, frame)
    const { client } = clientOf([server.url])
    await using stream = await openEventStream(client)
    let frames = 0
    for await (const event of stream) {
      expect(event).toEqual({ type: 'ping', comment: 'hb' })
      frames += 1
      if (frames * frame.length > 2 * limits.RAW_BYTES_WITHOUT_FRAME_MAX) break
    }
    expect(frames).toBeGreaterThan(1_000)
  })
})

describe('given a sync', () => {
  test('when its reply is padded without end > it ends by its own error', async () => {
    const server = await pouring(JSON_HEAD, `1;${'x'.repeat(8_000)}\r\n \r\n`)
    const { client } = clientOf([server.url])
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'raw_bytes_exceeded' })
    await vi.waitUntil(() => server.sockets.size === 0)
  })

  test('when many syncs use a connection > what came for one does not count against the next', async () => {
    const size = 900_000
    const server = await httpServer((_, response) => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ watching: false, padding: 'x'.repeat(size) }))
    })
    const { client } = clientOf([server.url])
    const count = Math.ceil((2.5 * limits.RAW_BYTES_WITHOUT_FRAME_MAX) / size)
    for (let done = 0; done < count; done += 1) await client.sync(SYNC)
    expect(server.asked).toHaveLength(count)
    expect(server.connections(), 'each connection must bring more than the bound').toBeLessThanOrEqual(2)
  })

  test('when trailers have no end > they are bounded as headers are', async () => {
    const server = await pouring(`${JSON_HEAD}2\r\n{}\r\n0\r\n`, `x: ${'y'.repeat(900)}\r\n`)
    const { client } = clientOf([server.url])
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'reply_headers_too_large' })
    await vi.waitUntil(() => server.sockets.size === 0)
  })
})
