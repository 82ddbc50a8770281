import { limits } from '@downlink/protocol'
import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { clientOf, failureOf, SYNC, tcpServer } from '../../test/servers.ts'

const BODY = '{"watching":true}'

/** A hub that answers each request with `head` and a good body, and keeps every connection. */
async function keepingHub(head = '', status = '200 OK') {
  const made: Socket[] = []
  const answer = `HTTP/1.1 ${status}\r\n${head}content-length: ${BODY.length}\r\n\r\n${BODY}`
  const server = await tcpServer((socket) => {
    made.push(socket)
    socket.on('data', () => socket.write(answer))
  })
  return { ...server, made, ...clientOf([server.url]) }
}

describe('given a connection that is kept', () => {
  test.each([
    ['says nothing', '', limits.KEPT_CONNECTION_MS_DEFAULT],
    ['says so', 'keep-alive: max=9, Timeout=10\r\n', 10_000 - limits.KEPT_CONNECTION_MARGIN_MS],
    ['says far too much', 'keep-alive: timeout=999999999\r\n', limits.KEPT_CONNECTION_MS_MAX],
  ])('when its server %s > it is used for so long, and no longer', async (_, head, keptMs) => {
    const { client, clock, connections, sockets } = await keepingHub(head)
    await client.sync(SYNC)
    clock.advance(keptMs - 1)
    await client.sync(SYNC)
    expect(connections(), 'it was given up too soon').toBe(1)
    clock.advance(keptMs)
    await client.sync(SYNC)
    expect(connections(), 'it was used for too long').toBe(2)
    await vi.waitUntil(() => sockets.size === 1)
  })

  test.each([
    ['says that it closes it', 'connection: Keep-Alive, Close\r\n'],
    ['keeps it for no time', 'keep-alive: timeout=1\r\n'],
  ])('when its server %s > the next request dials', async (_, head) => {
    const { client, connections, sockets } = await keepingHub(head)
    await client.sync(SYNC)
    await vi.waitUntil(() => sockets.size === 0)
    await client.sync(SYNC)
    expect(connections()).toBe(2)
  })

  test('when something comes that nobody asked for > the next request dials, and gets its own answer', async () => {
    const { client, connections, made, sockets } = await keepingHub('keep-alive: timeout=99\r\n')
    await client.sync(SYNC)
    made[0]?.write('HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n')
    await vi.waitUntil(() => sockets.size === 0)
    expect(await client.sync(SYNC)).toMatchObject({ watching: true })
    expect(connections()).toBe(2)
  })

  test('when more comes than the reply has bytes > the rest is not the answer to the next request', async () => {
    const smuggling = await tcpServer((socket) =>
      socket.on('data', () => {
        const answer = `HTTP/1.1 200 OK\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`
        socket.write(answer + answer.replace('true', 'null'))
      }),
    )
    const other = clientOf([smuggling.url])
    for (let count = 0; count < 3; count += 1) {
      expect(await other.client.sync(SYNC)).toMatchObject({ watching: true })
      await turn()
    }
    expect(smuggling.connections()).toBe(3)
  })
})

describe('given more requests at once than a hub gets connections', () => {
  test('when some wait > each has its turn, and an abort or a close ends those that wait', async () => {
    const made: Socket[] = []
    const server = await tcpServer((socket) => socket.on('data', () => made.push(socket)))
    const { client } = clientOf([server.url])
    const given = Array.from({ length: 5 }, () => client.sync(SYNC))
    const ends = new AbortController()
    const aborted = failureOf(client.sync(SYNC, { signal: ends.signal }))
    const closed = failureOf(client.sync(SYNC))
    await vi.waitUntil(() => made.length === 4)
    ends.abort(new Error('stop'))
    expect(await aborted).toEqual(new Error('stop'))
    const answer = `HTTP/1.1 200 OK\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`
    for (const socket of made.splice(0)) socket.write(answer)
    await vi.waitUntil(() => made.length === 2)
    expect(server.connections()).toBe(4)
    made[0]?.write(answer)
    await Promise.all(given)
    await client.close()
    expect(await closed).toMatchObject({ code: 'client_closed' })
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'client_closed' })
    await vi.waitUntil(() => server.sockets.size === 0)
  })
})

describe('given a reply that changes the protocol', () => {
  test('when nobody asked for that > it is malformed', async () => {
    const { client, sockets } = await keepingHub('upgrade: x\r\n', '101 Switching Protocols')
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'reply_malformed' })
    await vi.waitUntil(() => sockets.size === 0)
  })
})
