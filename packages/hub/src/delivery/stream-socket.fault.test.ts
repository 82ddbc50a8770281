/** The socket of a stream that ends while its reader stands still. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { limits } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { openRawClient } from '../../test/raw-client.ts'
import { createSession } from './session.ts'
import { StreamSocket } from './stream-socket.ts'

test('given bytes that the kernel does not take, but no drain to wait for, when the stream ends > the reader has REPLY_SEND_MS_MAX, then it is cut', async () => {
  const clock = createTestClock()
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const { port } = server.address() as AddressInfo
  await using client = await openRawClient(new URL(`http://127.0.0.1:${port}`))
  client.socket.pause()
  const [socket] = await accepted
  const stream = new StreamSocket(socket, clock)
  const session = createSession({ agentId: 'a1', connection: stream, clock })
  const isClosed = Promise.withResolvers<void>()
  stream.serve(session, () => isClosed.resolve())
  const frame = { bytes: new Uint8Array(1_000) }
  for (let n = 0; n < 100_000 && socket.writableLength === 0; n++) session.send(frame)
  expect(socket.writableLength, 'send more if the kernel took it all').toBeGreaterThan(0)
  expect(socket.writableNeedDrain).toBe(false)

  session.end()
  clock.advance(limits.REPLY_SEND_MS_MAX - 1)
  expect(socket.destroyed).toBe(false)
  clock.advance(1)
  await isClosed.promise
  expect(clock.pendingTimers).toBe(0)
  server.close()
})
