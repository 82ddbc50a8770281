import type { Socket } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import { clientOf, failureOf, SYNC, tcpServer } from '../../test/servers.ts'

const BODY = '{"watching":true}'
const LENGTH = `content-length: ${BODY.length}\r\n`
const GOOD = `HTTP/1.1 200 OK\r\n${LENGTH}\r\n${BODY}`

/** A hub that does with the first connection what `first` does once it was asked, and answers well over all others. */
async function oddHub(first: (socket: Socket) => void) {
  let asked = 0
  let made = 0
  const server = await tcpServer((socket) => {
    const isFirst = (made += 1) === 1
    socket.on('data', () => {
      asked += 1
      if (!isFirst) socket.write(GOOD)
      else if (asked === 1) first(socket)
    })
  })
  return { ...server, ...clientOf([server.url]) }
}

describe('given a reply that another may not follow', () => {
  test.each([
    ['is of HTTP/1.0', (socket: Socket) => socket.write(GOOD.replace('1.1', '1.0'))],
    ['is closed by the hub', (socket: Socket) => socket.end(GOOD)],
    ['is followed by a reset', (socket: Socket) => socket.write(GOOD, () => socket.resetAndDestroy())],
    ['ends with the connection', (socket: Socket) => socket.end(`HTTP/1.1 200 OK\r\n\r\n${BODY}`)],
    [
      'of HTTP/1.0 ends with the connection',
      (socket: Socket) => socket.end(`HTTP/1.0 200 OK\r\n\r\n${BODY}`),
    ],
  ])('when it %s > it is the answer, and the next request dials', async (_, first) => {
    const { client, connections, sockets } = await oddHub(first)
    expect(await client.sync(SYNC)).toMatchObject({ watching: true })
    await vi.waitUntil(() => sockets.size === 0)
    expect(await client.sync(SYNC)).toMatchObject({ watching: true })
    expect(connections()).toBe(2)
  })
})

describe('given a reply that is not there in full', () => {
  test.each([
    ['before its head', ''],
    ['in its head', 'HTTP/1.1 200 OK\r\ncontent-le'],
    ['in its body', GOOD.slice(0, -1)],
    ['in a chunk', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n${BODY}`],
    ['before the last chunk', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11\r\n${BODY}\r\n`],
    ['behind an interim reply', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ])('when the connection is closed %s > it is lost', async (_, sent) => {
    const { client, clock, sockets } = await oddHub((socket) => socket.end(sent))
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'connection_lost', retry: 'backoff' })
    await vi.waitUntil(() => sockets.size === 0)
    expect(clock.pendingTimers, 'timers left behind').toBe(0)
  })

  test('when a body that ends with the connection breaks off > it is lost', async () => {
    const { client } = await oddHub((socket) =>
      socket.write(`HTTP/1.1 200 OK\r\n\r\n${BODY}`, () => socket.resetAndDestroy()),
    )
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'connection_lost' })
  })
})

describe('given a reply that comes before the request is written', () => {
  test('when it refuses > it is the answer, and the next request dials', async () => {
    const refusal = `{"error":"too_large"}`
    const { client, connections, sockets } = await oddHub((socket) => {
      socket.pause()
      socket.write(`HTTP/1.1 413 Too Large\r\ncontent-length: ${refusal.length}\r\n\r\n${refusal}`)
    })
    // More than what the system's buffers hold.
    const request = { authKey: 'dle.key', agentId: 'x'.repeat(30_000_000) }
    expect(await failureOf(client.exchangeKey(request))).toMatchObject({ status: 413, code: 'too_large' })
    // A paused socket would not notice the close.
    for (const socket of sockets) socket.resume()
    await vi.waitUntil(() => sockets.size === 0)
    expect(await client.sync(SYNC)).toMatchObject({ watching: true })
    expect(connections()).toBe(2)
  })
})

describe('given an interim reply', () => {
  test.each([['content-length: 2'], ['transfer-encoding: chunked'], ['connection: close']])(
    'when it says %s > what follows could be read in two ways, and is not',
    async (header) => {
      const { client, sockets } = await oddHub((socket) =>
        socket.write(`HTTP/1.1 103 Early Hints\r\n${header}\r\n\r\n${GOOD}`),
      )
      expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'reply_malformed' })
      await vi.waitUntil(() => sockets.size === 0)
    },
  )

  test('when it says nothing of that > it is passed over', async () => {
    const { client } = await oddHub((socket) => socket.write(`HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n${GOOD}`))
    expect(await client.sync(SYNC)).toMatchObject({ watching: true })
  })
})
