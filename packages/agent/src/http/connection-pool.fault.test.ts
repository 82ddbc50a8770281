import { expect, test, vi } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { tcpServer } from '../../test/servers.ts'
import { ConnectionPool } from './connection-pool.ts'
import type { Connection } from './connection.ts'
import { createConnector } from './connector.ts'
import type { ReplyRequest } from './reply.ts'

const ANSWER = 'HTTP/1.1 200 OK\r\nkeep-alive: timeout=99\r\ncontent-length: 0\r\n\r\n'

test('given requests that wait for a turn > one that is aborted just as it gets it hands it on', async () => {
  const { url, sockets } = await tcpServer(() => {})
  const dial = createConnector({
    clock: createTestClock(),
    hub: new URL(url),
    proxy: undefined,
    tls: {},
  })
  const made: Connection[] = []
  const pool = new ConnectionPool(async (signal) => {
    const connection = await dial(signal)
    made.push(connection)
    return connection
  })
  const ask = (signal = new AbortController().signal) => {
    const request: ReplyRequest = { method: 'GET', path: '/', headers: {}, signal, onInterim: () => {} }
    return pool.request(request)
  }
  const first = Promise.allSettled([ask(), ask(), ask(), ask()])
  await vi.waitUntil(() => sockets.size === 4 && made.length === 4)
  const ends = new AbortController()
  const aborted = ask(ends.signal)
  const next = ask()
  for (const connection of made) {
    const { onFree } = connection
    connection.onFree = () => {
      onFree()
      ends.abort(new Error('stop'))
    }
  }
  const [socket] = sockets
  socket?.write(ANSWER)
  await expect(aborted).rejects.toThrow('stop')
  // Only one connection is free, and only one turn: that of the request that did not take it.
  socket?.on('data', () => socket.write(ANSWER))
  expect(await next).toMatchObject({ statusCode: 200 })
  await pool.destroy(new Error('over'))
  await first
})
